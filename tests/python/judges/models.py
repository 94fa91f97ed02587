"""The models that the golden matrix has, and how their providers are asked in tests."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

FIXTURES = Path(__file__).parents[2] / "fixtures/llm"
CASES = json.loads((FIXTURES / "cases.json").read_text())
KEY = "sk-a-secret-key"


@dataclass
class Model:
    """A model, and how its provider is asked."""

    name: str
    # Which judge it has, and which answers.
    protocol: str
    # The path of a request, and that of a stream where it is another one.
    path: str
    stream_path: str = ""
    # How the key goes over the wire; None where a test of its own looks at it.
    header: tuple | None = ("Authorization", f"Bearer {KEY}")
    # What is put behind the origin of the endpoint, for `api_base`.
    base: str = ""
    # Arguments of the call.
    options: dict = field(default_factory=dict)
    # Members of the body that the SDK does not know, by case, and that are sent all the same; `*` for all.
    strange: dict = field(default_factory=dict)
    # Environment variables of the call.
    variables: dict = field(default_factory=dict)

    def is_strange(self, case):
        """The members that the SDK does not know in a case."""
        return {*self.strange.get(case, ()), *self.strange.get("*", ())}

    @property
    def fetches(self):
        """Whether its protocol carries pictures as bytes alone, so that URLs are fetched."""
        return self.protocol in {"anthropic_on_vertex", "bedrock", "gemini", "ollama"}

    @property
    def golden(self):
        """What its provider gets for each case."""
        name = self.name.replace("/", "_").replace(":", "_")
        return json.loads((FIXTURES / f"requests/{name}.json").read_text())


# A parameter of the provider's own is passed on as it came.
PASSED = {"parameter_of_the_provider": {"top_k"}, "thinking": {"thinking"}}
SOUND = {"data", "expires_at", "transcript", "mime_type"}
# So is what a conversation keeps of other protocols, where nobody says that it is refused.
KEPT = {"thinking", "thinking_blocks", "reasoning_content", "cache_control", "images"}
FOREIGN = {**PASSED, "*": KEPT, "sound_goes_back": SOUND, "sound_of_another_goes_back": SOUND}
# Where models of Vertex AI are asked.
PLACE = {"vertex_project": "my-project", "vertex_location": "us-east5"}
VERTEX = "projects/my-project/locations/us-east5/publishers"

MODELS = [
    *(
        Model(f"anthropic/{name}", "anthropic", "/v1/messages", header=("x-api-key", KEY))
        for name in (
            "claude-3-haiku-20240307",
            "claude-sonnet-4-5",
            "claude-opus-4-6",
            "claude-opus-5",
        )
    ),
    *(
        Model(
            f"gemini/{name}",
            "gemini",
            f"/v1beta/models/{name}:generateContent",
            f"/v1beta/models/{name}:streamGenerateContent?alt=sse",
            header=("x-goog-api-key", KEY),
        )
        for name in ("gemini-2.5-flash", "gemini-3-pro-preview")
    ),
    *(
        Model(
            f"openai/{name}",
            "responses",
            "/v1/responses",
            base="/v1",
            strange={"parameter_of_the_provider": {"top_k"}},
        )
        for name in ("responses/gpt-4o", "gpt-5-pro")
    ),
    Model(
        "azure/responses/o4-mini",
        "responses",
        "/openai/v1/responses",
        header=("api-key", KEY),
        strange={"parameter_of_the_provider": {"top_k"}},
    ),
    *(
        Model(
            f"vertex_ai/{name}",
            "gemini",
            f"/v1beta1/{VERTEX}/google/models/{name}:generateContent",
            f"/v1beta1/{VERTEX}/google/models/{name}:streamGenerateContent?alt=sse",
            options=PLACE,
        )
        for name in ("gemini-2.5-flash", "gemini-3-pro-preview")
    ),
    *(
        Model(
            f"vertex_ai/{name}",
            "anthropic_on_vertex",
            f"/v1/{VERTEX}/anthropic/models/{name}:rawPredict",
            f"/v1/{VERTEX}/anthropic/models/{name}:streamRawPredict",
            options=PLACE,
        )
        for name in ("claude-sonnet-4-5@20250929", "claude-opus-4-6")
    ),
    Model(
        "cohere_chat/command-a-03-2025",
        "cohere",
        "/v2/chat",
        strange={},
    ),
    Model(
        "mistral/mistral-large-latest",
        "mistral",
        "/v1/chat/completions",
        base="/v1",
    ),
    Model("ollama_chat/llama3.2", "ollama", "/api/chat"),
    *(
        Model(
            f"bedrock/{name}",
            "bedrock",
            f"/model/{quote(name, safe='')}/converse",
            f"/model/{quote(name, safe='')}/converse-stream",
            options={"aws_region_name": "us-east-1"},
            variables={"AWS_ACCESS_KEY_ID": "key-id", "AWS_SECRET_ACCESS_KEY": KEY},
        )
        for name in ("anthropic.claude-sonnet-4-5-20250929-v1:0", "amazon.nova-pro-v1:0")
    ),
    Model(
        "replicate/meta/meta-llama-3-70b-instruct",
        "replicate",
        "/v1/models/meta/meta-llama-3-70b-instruct/predictions",
        base="/v1",
    ),
    *(
        Model(f"openai/{name}", "chat", "/v1/chat/completions", base="/v1", strange=PASSED)
        for name in ("gpt-4o", "gpt-5")
    ),
    Model(
        "azure/gpt-4o",
        "chat",
        "/openai/v1/chat/completions",
        header=("api-key", KEY),
        options={"api_version": "v1"},
        strange=PASSED,
    ),
    Model(
        "databricks/databricks-claude-sonnet-4-5",
        "databricks",
        "/serving-endpoints/chat/completions",
        strange={**FOREIGN, "*": {"images"}, "cache_markers": {"cache_control"}},
    ),
    Model(
        "watsonx/ibm/granite-3-8b-instruct",
        "watsonx",
        "/ml/v1/text/chat?version=2025-02-11",
        "/ml/v1/text/chat_stream?version=2025-02-11",
        options={"api_key": None, "project_id": "project-1"},
        variables={"WATSONX_TOKEN": KEY},
        strange=FOREIGN,
    ),
    Model(
        "snowflake/llama3.3-70b",
        "chat",
        "/api/v2/cortex/v1/chat/completions",
        strange=FOREIGN,
    ),
    Model(
        "snowflake/claude-sonnet-4-5",
        "anthropic",
        "/api/v2/cortex/v1/messages",
    ),
    Model(
        "huggingface/together/deepseek-ai/DeepSeek-R1",
        "chat",
        "/v1/chat/completions",
        strange=FOREIGN,
    ),
    *(
        Model(name, "chat", "/v1/chat/completions", base="/v1", strange=FOREIGN)
        for name in (
            "groq/llama-3.3-70b-versatile",
            "xai/grok-4",
            "deepseek/deepseek-chat",
            "moonshot/kimi-k2-0905-preview",
            "cerebras/llama-3.3-70b",
        )
    ),
    Model("perplexity/sonar", "chat", "/chat/completions", strange=FOREIGN),
]
