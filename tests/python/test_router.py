"""The Router: many deployments behind names of models."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import subprocess
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


def test_a_deployment_is_chosen_without_being_asked():
    with serve(BUSY) as endpoint:
        models = [deployment(endpoint, weight=1000000), deployment(endpoint, weight=0.000001)]
        router = toolbridge.Router(models, model_group_alias={"gpt": "m"}, num_retries=0)
        chosen = router.get_available_deployment("gpt", messages=QUESTION)
        assert chosen == router.get_model_list()[0]
        assert chosen["litellm_params"]["api_key"] == "sk-of-a-deployment"
        assert endpoint.requests == []
        with pytest.raises(toolbridge.RateLimitError):
            router.completion("m", QUESTION)
        # The first one is left alone now.
        assert router.get_available_deployment("m")["model_info"]["id"] == "m-2"
        again = asyncio.run(router.async_get_available_deployment("m", {}, QUESTION))
        assert again["model_info"]["id"] == "m-2"
        assert router.get_available_deployment("m-1")["model_info"]["id"] == "m-1"
        wanted = router.get_available_deployment("openai/a", specific_deployment=True)
        assert wanted["model_info"]["id"] == "m-1"
        with pytest.raises(toolbridge.NotFoundError, match='"x" does not exist'):
            router.get_available_deployment("x")
        router.reset()
        assert router.get_available_deployment("m")["model_info"]["id"] == "m-1"
        router.discard()


def test_nobody_can_be_chosen_when_the_request_is_too_long_or_all_are_left_alone():
    with serve(BUSY, BUSY) as endpoint:
        small = {**deployment(endpoint), "model_info": {"max_input_tokens": 10}}
        router = toolbridge.Router([small], enable_pre_call_checks=True)
        with pytest.raises(toolbridge.ContextWindowExceededError):
            router.get_available_deployment("m", [{"role": "user", "content": "long " * 100}])
        router = toolbridge.Router([deployment(endpoint), deployment(endpoint)], num_retries=1)
        with pytest.raises(toolbridge.RateLimitError):
            router.completion("m", QUESTION)
        with pytest.raises(toolbridge.RateLimitError, match="no deployment of the model"):
            router.get_available_deployment("m")


def test_deployments_are_found_by_their_ids_and_names():
    with serve() as endpoint:
        first = {**deployment(endpoint), "model_info": {"id": "a", "access_groups": ["g", "h"]}}
        second = {**deployment(endpoint), "model_info": {"id": "b", "access_groups": ["g"]}}
        router = toolbridge.Router(
            [first, second, deployment(endpoint, "n")], model_group_alias={"gpt": "m"}
        )
    assert router.get_model_ids() == ["a", "b", "n-1"]
    assert router.get_model_ids("gpt") == ["a", "b"]
    assert router.model_names == {"m", "n"}
    assert router.has_model_id("b")
    assert not router.has_model_id("m")
    found = router.get_deployment("b")
    assert (found.model_name, found.model_info.id, found["model_info"]["id"]) == ("m", "b", "b")
    assert found.litellm_params.model == "openai/a"
    assert "sk-of" not in repr(found)
    assert router.get_deployment("x") is None
    assert router.get_deployment_by_model_group_name("gpt").model_info.id == "a"
    assert router.get_deployment_by_model_group_name("x") is None
    assert router.get_model_info("n-1") == router.get_model_list("n")[0]
    assert router.get_model_info("x") is None
    assert [one["model_info"]["id"] for one in router.get_model_group("b")] == ["a", "b"]
    assert router.get_model_group("x") is None
    assert router.get_model_access_groups() == {"g": ["m"], "h": ["m"]}
    assert router.get_model_access_groups("n") == {}
    assert router.get_model_access_groups(model_access_group="h") == {"h": ["m"]}
    # What is given out is a copy.
    found.litellm_params.model = "openai/z"
    router.get_model_info("b")["model_name"] = "z"
    assert router.get_deployment("b").litellm_params.model == "openai/a"
    assert router.get_model_ids("m") == ["a", "b"]


def test_a_deployment_is_put_in_the_place_of_the_one_with_its_id():
    with serve() as one, serve(answer()) as other:
        router = toolbridge.Router([deployment(one), deployment(one, "n")])
        same = router.get_model_info("m-1")
        assert router.upsert_deployment(same) is None
        changed = {**deployment(other), "model_info": {"id": "m-1"}}
        assert router.upsert_deployment(changed).litellm_params.api_base == other.api_base
        assert router.get_model_ids() == ["m-1", "n-1"]
        assert router.upsert_deployment(deployment(one)).model_info.id == "m-2"
        assert router.get_model_ids() == ["m-1", "n-1", "m-2"]
        assert router.delete_deployment("m-2").model_info.id == "m-2"
        assert router.completion("m", QUESTION).choices[0].message.content == "Paris"


def test_settings_change_while_it_runs_and_wrong_ones_change_nothing():
    with serve(DOWN, answer(), BUSY) as endpoint:
        models = [deployment(endpoint), deployment(endpoint, "n", "openai/b")]
        router = toolbridge.Router(models, num_retries=0, disable_cooldowns=True)
        router.update_settings(fallbacks=[{"m": ["n"]}], timeout=20)
        answered = router.completion("m", QUESTION)
        assert answered._hidden_params["model_group"] == "n"
        assert router.get_settings()["timeout"] == 20
        router.get_settings()["timeout"] = 1
        before = router.get_settings()
        assert before["timeout"] == 20
        with pytest.raises(toolbridge.ConfigurationError, match="fastest"):
            router.update_settings(routing_strategy="fastest")
        with pytest.raises(toolbridge.ConfigurationError, match="num_retries"):
            router.update_settings(num_retries="many")
        with pytest.raises(TypeError, match="model_list"):
            router.update_settings(model_list=[])
        assert router.get_settings() == before
        router.update_settings(fallbacks=None)
        with pytest.raises(toolbridge.RateLimitError):
            router.completion("m", QUESTION)


def test_arguments_of_litellm_without_effect_are_named_once_they_are_set():
    with pytest.warns(UserWarning, match="redis_host.*ignored") as seen:
        toolbridge.Router([], redis_host="x", cache_responses=False, plugins=None)
    assert len(seen) == 1
    with pytest.warns(UserWarning, match="optional_pre_call_checks.*ignored"):
        toolbridge.Router([], optional_pre_call_checks=["prompt_caching"])


@pytest.mark.skipif("TOOLBRIDGE_LITELLM_PYTHON" not in os.environ, reason="LiteLLM is not here")
def test_every_argument_of_litellms_router_is_taken_or_named():
    script = (
        "import inspect, json, litellm; "
        "print(json.dumps(list(inspect.signature(litellm.Router.__init__).parameters)))"
    )
    python = os.environ["TOOLBRIDGE_LITELLM_PYTHON"]
    local = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    found = subprocess.run(
        [python, "-c", script], capture_output=True, text=True, check=True, env=local, timeout=110
    )
    names = set(json.loads(found.stdout.splitlines()[-1])) - {"self"}
    ours = set(inspect.signature(toolbridge.Router).parameters) - {"others"}
    others = names - ours
    for name in sorted(others):
        with pytest.warns(UserWarning, match=rf"{name}.*(ignored|not implemented)"):
            toolbridge.Router([], **{name: "x"})


def test_an_answer_costs_what_its_deployment_says():
    used = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
    told = {**COMPLETION, "model": "gpt-4o", "usage": used}
    with serve(answer(told), answer(told)) as endpoint:
        prices = {"input_cost_per_token": 0.5, "output_cost_per_token": 1}
        named = {**deployment(endpoint, "n"), "model_info": {"base_model": "gpt-4o-mini"}}
        router = toolbridge.Router([deployment(endpoint, **prices), named])
        cost = router.completion("m", QUESTION)._hidden_params["response_cost"]
        assert cost == pytest.approx(60)
        cost = router.completion("n", QUESTION)._hidden_params["response_cost"]
        assert cost == pytest.approx(100 * 0.15e-6 + 10 * 0.6e-6)
    assert all(set(one.body) == {"model", "messages"} for one in endpoint.requests)


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
    with pytest.raises(TypeError, match="redis_hots"):
        toolbridge.Router([], redis_hots="x")
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
