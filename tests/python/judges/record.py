"""What LiteLLM sends, for each model and case of the golden matrix; run where ``litellm`` is installed.

What is printed is a JSON object from each model to each case to the body that was sent, or the error that kept
it from being sent.
"""

import asyncio
import json
import os
import sys
import types
from copy import deepcopy
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).parents[1]))

from judges.endpoint import judging
from judges.models import CASES, KEY, MODELS, PLACE

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
os.environ["DEFAULT_REPLICATE_POLLING_DELAY_SECONDS"] = "0"
os.environ["LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS"] = "True"
# Tokens are counted without the tokenizers that LiteLLM would fetch for some models.
os.environ["HF_HUB_OFFLINE"] = "1"


def without_google():
    """Vertex AI by a token that LiteLLM is given, without Google's packages, which it wants to see."""
    from litellm.llms.vertex_ai.vertex_llm_base import VertexBase

    async def later(*_, **__):
        return KEY, PLACE["vertex_project"]

    VertexBase._ensure_access_token = lambda *_, **__: (KEY, PLACE["vertex_project"])
    VertexBase._ensure_access_token_async = later
    package = sys.modules["vertexai"] = types.ModuleType("vertexai")
    package.preview = types.ModuleType("vertexai.preview")
    package.preview.language_models = None


def at(base):
    """Replicate where `api_base` says, which LiteLLM does not read for it."""
    from litellm.llms.replicate.chat.transformation import ReplicateConfig

    known = ReplicateConfig.get_complete_url

    def get_complete_url(*arguments, **options):
        url = known(*arguments, **options)
        return url.replace("https://api.replicate.com/v1", base)

    return mock.patch.object(ReplicateConfig, "get_complete_url", get_complete_url)


async def record(model):
    """What LiteLLM sends for each case."""
    import litellm

    litellm.suppress_debug_info = True
    without_google()
    sent = {}
    os.environ.update(model.variables)
    for case, request in CASES.items():
        with judging(model.protocol, is_lenient=True) as judge, at(judge.origin + model.base):
            base = judge.origin + model.base
            settings = {"api_base": base, "api_key": KEY, **model.options}
            try:
                # LiteLLM changes what it is given.
                given = {**deepcopy(request), **settings, "max_retries": 0, "num_retries": 0}
                answer = await litellm.acompletion(model=model.name, **given)
                if request.get("stream"):
                    async for _ in answer:
                        pass
            except Exception as error:  # noqa: BLE001
                problem = f"{type(error).__name__}: {error}"
            else:
                problem = None
            if judge.received:
                sent[case] = judge.received[0].body
            else:
                sent[case] = {"error": problem}
    return sent


async def main():
    found = {model.name: await record(model) for model in MODELS}
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    asyncio.run(main())
