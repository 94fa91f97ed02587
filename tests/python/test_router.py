"""The Router: many deployments behind names of models."""

from __future__ import annotations

import asyncio
import os
import threading

import pytest

import toolbridge
from scripted_openai import COMPLETION, DONE, answer, chunk, error, serve, stream

QUESTION = [{"role": "user", "content": "Hi"}]
BUSY = answer(error("slow down"), "429 Too Many Requests")
DOWN = answer(error("down"), "503 Service Unavailable")


def deployment(endpoint, name="m", model="openai/a", **params):
    base = {"model": model, "api_key": "sk-of-a-deployment", "api_base": endpoint.api_base}
    return {"model_name": name, "litellm_params": {**base, **params}}


def test_an_answer_says_which_deployment_it_is_of():
    with serve(answer()) as endpoint:
        router = toolbridge.Router([{**deployment(endpoint), "model_info": {"id": "first"}}])
        response = router.completion("m", QUESTION, temperature=1)
    assert response.to_dict() == COMPLETION
    assert endpoint.body == {"model": "a", "messages": QUESTION, "temperature": 1}
    facts = response._hidden_params
    assert facts["model_id"] == "first"
    assert facts["model_group"] == "m"
    assert facts["api_base"] == endpoint.api_base
    assert facts["attempted_fallbacks"] == 0


def test_another_deployment_answers_when_one_fails():
    with serve(DOWN) as one, serve(answer(), answer()) as other:
        router = toolbridge.Router(
            [deployment(one, weight=1000000), deployment(other, weight=0.000001)]
        )
        response = router.completion("m", QUESTION)
    assert response._hidden_params["model_id"] == "m-2"
    assert response._hidden_params["num_retries"] == 1


@pytest.mark.asyncio
async def test_other_models_answer_when_all_of_one_failed():
    with serve(DOWN, answer()) as endpoint:
        router = toolbridge.Router(
            model_list=[deployment(endpoint), deployment(endpoint, "n", "openai/b")],
            fallbacks=[{"m": ["n"]}],
            num_retries=0,
        )
        response = await router.acompletion("m", QUESTION)
    assert [request.body["model"] for request in endpoint.requests] == ["a", "b"]
    assert response._hidden_params["model_group"] == "n"
    assert response._hidden_params["attempted_fallbacks"] == 1


def test_a_call_may_say_how_often_it_is_repeated_and_who_is_asked_instead():
    with serve(DOWN, answer(), DOWN, DOWN) as endpoint:
        models = [deployment(endpoint), deployment(endpoint, "n", "openai/b")]
        router = toolbridge.Router(models, disable_cooldowns=True)
        router.completion("m", QUESTION, num_retries=0, fallbacks=["n"])
        with pytest.raises(toolbridge.ServiceUnavailableError):
            router.completion("m", QUESTION, max_retries=0)
        assert [one.body["model"] for one in endpoint.requests] == ["a", "b", "a"]
        assert all(set(one.body) == {"model", "messages"} for one in endpoint.requests)


@pytest.mark.asyncio
async def test_streams_are_streams():
    reply = stream(chunk({"role": "assistant", "content": "x"}), chunk({}, "stop"), DONE)
    with serve(reply, reply) as endpoint:
        router = toolbridge.Router([deployment(endpoint)])
        chunks = await router.acompletion("m", QUESTION, stream=True)
        assert isinstance(chunks, toolbridge.CustomStreamWrapper)
        assert [one.choices[0].delta.content async for one in chunks] == ["x", None]
        assert chunks._hidden_params["model_id"] == "m-1"
        waiting = router.completion("m", QUESTION, stream=True)
        assert [one.choices[0].delta.content for one in waiting] == ["x", None]


@pytest.mark.asyncio
async def test_a_stream_that_breaks_has_the_error_of_a_plain_call():
    broken = stream(
        chunk({"content": "x"}), b'data: {"error": {"message": "over", "code": 429}}\n\n'
    )
    with serve(broken, broken) as endpoint:
        router = toolbridge.Router([deployment(endpoint)])
        errors = []
        for call in (router.acompletion, toolbridge.acompletion):
            own = {} if call == router.acompletion else endpoint.settings
            model = "m" if call == router.acompletion else "openai/a"
            with pytest.raises(toolbridge.APIError) as caught:
                [one async for one in await call(model, QUESTION, stream=True, **own)]
            errors.append((type(caught.value).__name__, caught.value.message))
    assert errors[0] == errors[1]


def test_a_stream_that_is_closed_ends_its_request():
    wait = threading.Event()
    with serve(stream(chunk({"content": "x"}), wait)) as endpoint:
        chunks = toolbridge.Router([deployment(endpoint)]).completion("m", QUESTION, stream=True)
        next(chunks)
        chunks.close()
        assert list(chunks) == []
        wait.set()


def test_a_deployment_that_is_busy_is_left_alone():
    with serve(BUSY) as one, serve(answer(), answer()) as other:
        router = toolbridge.Router(
            [deployment(one, weight=1000000), deployment(other, weight=0.000001)], cooldown_time=60
        )
        for _ in range(2):
            assert router.completion("m", QUESTION)._hidden_params["model_id"] == "m-2"
        assert len(one.requests) == 1


def test_models_have_names_aliases_and_lists():
    with serve(answer()) as endpoint:
        router = toolbridge.Router(
            [deployment(endpoint), deployment(endpoint, "n")], model_group_alias={"gpt": "m"}
        )
        assert router.get_model_names() == ["m", "n", "gpt"]
        assert [one["model_info"]["id"] for one in router.get_model_list("gpt")] == ["m-1"]
        assert [one["model_name"] for one in router.model_list] == ["m", "n"]
        assert router.completion("gpt", QUESTION)._hidden_params["model_group"] == "m"
        assert "sk-of" not in repr(router)


def test_deployments_come_and_go_and_ids_stay_apart():
    with serve(answer()) as endpoint:
        router = toolbridge.Router([deployment(endpoint), deployment(endpoint)])
        assert router.delete_deployment("m-1")["model_name"] == "m"
        assert router.delete_deployment("m-1") is None
        router.add_deployment(deployment(endpoint))
        router.add_deployment(deployment(endpoint, "n"))
        assert sorted(one["model_info"]["id"] for one in router.get_model_list()) == [
            "m-1",
            "m-2",
            "n-1",
        ]
        with pytest.raises(toolbridge.ConfigurationError, match="litellm_params"):
            router.set_model_list([{"model_name": "x"}])
        assert router.get_model_names() == ["m", "n"]
        assert router.completion("n", QUESTION).choices[0].message.content == "Paris"


@pytest.mark.parametrize("strategy", ["cost-based-routing", "provider-budget-routing", "fastest"])
def test_a_strategy_that_is_not_there_is_an_error_that_names_it(strategy):
    with pytest.raises(toolbridge.ConfigurationError, match=f"'{strategy}'; there are simple"):
        toolbridge.Router([], routing_strategy=strategy)


def test_policies_may_be_objects():
    class Policy:
        def __init__(self):
            self.RateLimitErrorRetries = 0

    with serve(BUSY) as endpoint:
        router = toolbridge.Router([deployment(endpoint)], retry_policy=Policy(), num_retries=5)
        with pytest.raises(toolbridge.RateLimitError):
            router.completion("m", QUESTION)


def test_what_cannot_be_used_is_named_with_its_place():
    with pytest.raises(toolbridge.ConfigurationError, match=r"model_list\[0\].* no model_name"):
        toolbridge.Router([{"litellm_params": {"model": "openai/a", "api_key": "sk-1234"}}])
    with pytest.raises(TypeError, match="redis_host"):
        toolbridge.Router([], redis_host="x")
    with serve() as endpoint:
        with pytest.warns(UserWarning, match="fallbacks.*nobody"):
            router = toolbridge.Router([deployment(endpoint)], fallbacks=[{"m": ["nobody"]}])
        with pytest.raises(toolbridge.ConfigurationError, match="api_key .* litellm_params"):
            router.completion("m", QUESTION, api_key="sk-1234")
        with pytest.raises(toolbridge.ConfigurationError, match="context_window_fallbacks"):
            router.completion("m", QUESTION, context_window_fallback_dict={"m": "n"})
        with pytest.raises(toolbridge.NotFoundError, match='"x" does not exist'):
            router.completion("x", QUESTION)


def test_one_router_serves_loops_and_threads():
    with serve(*[answer()] * 6) as endpoint:
        router = toolbridge.Router([deployment(endpoint)])
        texts = []

        def run():
            response = asyncio.run(router.acompletion("m", QUESTION))
            texts.append(response.choices[0].message.content)
            texts.append(router.completion("m", QUESTION).choices[0].message.content)

        threads = [threading.Thread(target=run) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert texts == ["Paris"] * 6


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork.*:DeprecationWarning")
def test_a_forked_child_asks_over_connections_of_its_own():
    with serve(answer(), answer()) as endpoint:
        router = toolbridge.Router([deployment(endpoint)])
        router.completion("m", QUESTION)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                text = router.completion("m", QUESTION).choices[0].message.content
                status = 0 if text == "Paris" else 2
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert endpoint.connections == 2


def test_a_mock_answers_instead_of_a_deployment():
    with serve() as endpoint:
        router = toolbridge.Router([deployment(endpoint)])
        assert router.completion("m", QUESTION, mock_response="x").choices[0].message.content == "x"
        router = toolbridge.Router([deployment(endpoint, mock_response="y")])
        assert router.completion("m", QUESTION).choices[0].message.content == "y"
