"""Every protocol, end to end: what a provider gets is judged by its official SDK, is what the golden file
says, and what the provider answers is the same answer whoever gave it.
"""

import re

import pytest

import toolbridge
from judges.answers import assert_is_what_was_told
from judges.endpoint import judging
from judges.models import CASES, KEY, MODELS


def ids(model):
    return model.name


# What is named by a URL is fetched where the protocol carries bytes, which a test of its own looks at:
# there is no network here.
PAIRS = [
    pytest.param(model, case, id=f"{case}-{model.name}")
    for case in CASES
    for model in MODELS
    if not (model.fetches and case == "image_by_url")
]


@pytest.mark.parametrize(("model", "case"), PAIRS)
@pytest.mark.asyncio
async def test_a_provider_gets_what_its_sdk_would_send(model, case):
    request = CASES[case]
    golden = model.golden[case]
    with judging(model.protocol, model.strange.get(case, ())) as judge:
        base = judge.origin + model.base
        settings = {"api_base": base, "api_key": KEY, "max_retries": 0, **model.options}
        if "error" in golden:
            with pytest.raises(toolbridge.APIError, match=re.escape(golden["message"])):
                await toolbridge.acompletion(model.name, **request, **settings)
            assert judge.received == []
            return
        answer = await toolbridge.acompletion(model.name, **request, **settings)
        if request.get("stream"):
            chunks = [chunk async for chunk in answer]
            answer = toolbridge.stream_chunk_builder(chunks)
    (received,) = judge.received
    assert received.body == golden
    wanted = model.stream_path if request.get("stream") else model.path
    assert received.path == (wanted or model.path)
    if model.header is not None:
        name, value = model.header
        assert {key.lower(): found for key, found in received.headers.items()}[
            name.lower()
        ] == value
    assert_is_what_was_told(answer)


@pytest.mark.parametrize("model", MODELS, ids=ids)
def test_every_case_has_its_golden_request(model):
    assert model.golden.keys() == CASES.keys()
