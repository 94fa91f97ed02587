"""Azure OpenAI: where a call goes, and whose token it carries."""

import pytest

import toolbridge
from judges.endpoint import judging

MESSAGES = [{"role": "user", "content": "What is the weather in Paris?"}]


@pytest.fixture(autouse=True)
def no_variables(monkeypatch):
    for name in ("AZURE_API_VERSION", "AZURE_API_KEY", "AZURE_OPENAI_API_KEY", "AZURE_AD_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.asyncio
async def test_a_deployment_is_asked_by_its_url_with_the_version_and_the_key():
    with judging("chat") as judge:
        answer = await toolbridge.acompletion(
            "azure/mine",
            MESSAGES,
            api_base=judge.origin,
            api_version="2024-10-21",
            api_key="azure-key",
        )
    (received,) = judge.received
    assert answer.choices[0].message.content == "It is sunny in Paris."
    wanted = "/openai/deployments/mine/chat/completions?api-version=2024-10-21"
    assert received.path == wanted
    assert {name.lower(): value for name, value in received.headers.items()}[
        "api-key"
    ] == "azure-key"
    assert received.body == {"model": "mine", "messages": MESSAGES}


@pytest.mark.asyncio
async def test_a_function_gives_the_token_of_each_call():
    tokens = iter(["token-1", "token-2"])
    with judging("chat") as judge:
        for _ in range(2):
            await toolbridge.acompletion(
                "azure/mine",
                MESSAGES,
                api_base=judge.origin,
                azure_ad_token_provider=lambda: next(tokens),
            )
    sent = [received.headers["authorization"] for received in judge.received]
    assert sent == ["Bearer token-1", "Bearer token-2"]
    assert all("azure_ad_token" not in received.body for received in judge.received)


@pytest.mark.asyncio
async def test_a_function_that_gives_no_text_is_refused_by_its_name():
    for wrong in (lambda: None, "a token"):
        with pytest.raises(TypeError, match="azure_ad_token_provider"):
            await toolbridge.acompletion("azure/mine", MESSAGES, azure_ad_token_provider=wrong)


@pytest.mark.asyncio
async def test_reasoning_goes_back_in_the_next_turn():
    item = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"}
    message = {"role": "assistant", "content": "Sunny.", "reasoning_items": [item]}
    with judging("responses") as judge:
        await toolbridge.acompletion(
            "azure/responses/o4-mini",
            [*MESSAGES, message, *MESSAGES],
            api_base=judge.origin,
            api_key="azure-key",
        )
    (received,) = judge.received
    assert received.body["input"][1] == item
