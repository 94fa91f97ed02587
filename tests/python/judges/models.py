"""The models that the golden matrix has, and how their providers are asked in tests."""

import json
from dataclasses import dataclass, field
from pathlib import Path

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
    # Members of the body that the SDK does not know, by case, and that are sent all the same.
    strange: dict = field(default_factory=dict)

    @property
    def fetches(self):
        """Whether its protocol carries pictures as bytes alone, so that URLs are fetched."""
        return self.protocol in {"anthropic_on_vertex", "gemini", "ollama"}

    @property
    def golden(self):
        """What its provider gets for each case."""
        name = self.name.replace("/", "_").replace(":", "_")
        return json.loads((FIXTURES / f"requests/{name}.json").read_text())


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
]
