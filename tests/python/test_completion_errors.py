"""What goes wrong with a completion call: each failure has its own clear error."""

from __future__ import annotations

import asyncio
import socket
import traceback

import pytest

import toolbridge
from scripted_openai import CLOSE, COMPLETION, UNTIL_GONE, answer, error, run_script, serve

QUESTION = [{"role": "user", "content": "Hi"}]
KEY = "sk-a-secret-key"


def failure(*replies, **arguments):
    with serve(*replies) as endpoint, pytest.raises(toolbridge.ToolbridgeError) as caught:
        toolbridge.completion("gpt-4o", QUESTION, **{**endpoint.settings, **arguments})
    return caught.value


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"model": 5}, 'model takes a str such as "openai/gpt-4o", not int'),
        ({"messages": "hi"}, "messages takes a list of dicts .*, not str"),
        ({"messages": ["hi"]}, r"messages\[0\] takes a dict .*, not str"),
        ({"messages": [{"role": "user", "content": object()}]}, "messages.*content.*object"),
        ({"tools": "f"}, "tools takes a list of dicts, not str"),
        ({"stream": "yes"}, "stream takes a bool, not str"),
        ({"timeout": [1]}, "timeout takes a number of seconds, .* or an httpx.Timeout, not list"),
        ({"timeout": True}, "timeout takes a number of seconds, .*, not bool"),
        ({"max_retries": "2"}, "max_retries takes an int, not str"),
        ({"num_retries": 1.5}, "num_retries takes an int, not float"),
        ({"api_key": 5}, "api_key takes a str, not int"),
        ({"api_base": 5}, "api_base takes a str such as .*, not int"),
        ({"custom_llm_provider": 5}, "custom_llm_provider takes a str, not int"),
        ({"extra_headers": ["a"]}, "extra_headers takes a dict of str to str, not list"),
        ({"headers": {"a": 1}}, r'headers\["a"\] takes a str, not int'),
        ({"extra_body": [1]}, "extra_body takes a dict, not list"),
        ({"response_format": int}, "response_format takes a dict or a pydantic class, not int"),
        ({"ssl_verify": 1.5}, "ssl_verify takes a bool or the path of a PEM file, not float"),
        ({"additional_drop_params": "a"}, "additional_drop_params takes a list of str, not str"),
        ({"additional_drop_params": [5]}, "additional_drop_params takes .* str, not of int"),
        ({"context_window_fallback_dict": "a"}, "context_window_fallback_dict takes a dict"),
        ({"fallbacks": "a"}, "fallbacks takes a list of models"),
        ({"allowed_openai_params": 5}, "allowed_openai_params takes a list of str, not int"),
        ({"mock_response": 5}, "mock_response takes a str, .*, not int"),
        ({"mock_tool_calls": "f"}, "mock_tool_calls takes a list of dicts, not str"),
    ],
)
def test_a_wrong_type_names_the_argument_and_what_it_takes(arguments, says):
    call = {"model": "gpt-4o", "messages": QUESTION, "api_key": KEY, **arguments}
    with pytest.raises(TypeError, match=says):
        toolbridge.completion(**call)
    with pytest.raises(TypeError, match=says):
        asyncio.run(toolbridge.acompletion(**call))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"timeout": -1}, "timeout is -1"),
        ({"timeout": "soon"}, "timeout is .*soon"),
        ({"max_retries": -1}, "max_retries is -1"),
        ({"api_base": "localhost:8000"}, "api_base is not a URL"),
        ({"extra_headers": {"a b": "c"}}, "extra_headers"),
        ({"ssl_verify": "/no/such/file", "api_base": "https://127.0.0.1:1"}, "/no/such/file"),
    ],
)
def test_a_value_that_cannot_be_used_is_a_configuration_error(arguments, says):
    with pytest.raises(toolbridge.ConfigurationError, match=says) as caught:
        toolbridge.completion("gpt-4o", QUESTION, **{"api_key": KEY, **arguments})
    assert isinstance(caught.value, ValueError)


def test_no_messages_is_a_bad_request():
    for messages in ({}, {"messages": []}):
        with pytest.raises(toolbridge.BadRequestError, match="messages is empty"):
            toolbridge.completion("gpt-4o", **messages)


def test_an_unknown_provider_names_what_was_found_and_what_is_accepted():
    with pytest.raises(toolbridge.BadRequestError, match=r'"nowhere".*`toolbridge providers`'):
        toolbridge.completion("nowhere/x", QUESTION)
    with pytest.raises(toolbridge.BadRequestError, match="api_base"):
        toolbridge.completion("my-model", QUESTION, api_key=KEY)


def test_a_missing_key_names_the_variable_and_the_argument():
    with pytest.raises(toolbridge.AuthenticationError, match=r"OPENAI_API_KEY.*api_key") as caught:
        toolbridge.completion("gpt-4o", QUESTION)
    assert caught.value.llm_provider == "openai"


def test_a_refused_connection_names_the_origin():
    with socket.create_server(("127.0.0.1", 0)) as unused:
        origin = f"http://127.0.0.1:{unused.getsockname()[1]}"
    with pytest.raises(toolbridge.APIConnectionError, match=f"{origin}: .*refused"):
        toolbridge.completion(
            "gpt-4o", QUESTION, api_key=KEY, api_base=f"{origin}/secret-path", max_retries=0
        )


@pytest.mark.parametrize(
    ("reply", "name", "says"),
    [
        (answer("hello"), "APIResponseValidationError", "not JSON"),
        (
            answer("<html>", headers={"content-type": "text/html"}),
            "APIResponseValidationError",
            "HTML page",
        ),
        (answer({"id": 1}), "APIResponseValidationError", "no list of choices"),
        (
            [b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{", CLOSE],
            "APIConnectionError",
            "cut short after 1 bytes",
        ),
        ([CLOSE], "APIConnectionError", "broke before an answer came"),
        (answer(error("full", code=503)), "ServiceUnavailableError", "full"),
        (answer("<html>", "502 Bad Gateway"), "BadGatewayError", "<html>"),
    ],
)
def test_what_is_not_an_answer_has_its_own_error(reply, name, says):
    caught = failure(reply)
    assert isinstance(caught, getattr(toolbridge, name))
    assert says in str(caught)


@pytest.mark.parametrize(
    ("status", "fields", "name"),
    [
        ("400 Bad Request", {}, "BadRequestError"),
        ("400 Bad Request", {"code": "context_length_exceeded"}, "ContextWindowExceededError"),
        ("400 Bad Request", {"code": "content_policy_violation"}, "ContentPolicyViolationError"),
        ("400 Bad Request", {"code": "unsupported_parameter"}, "UnsupportedParamsError"),
        ("401 Unauthorized", {}, "AuthenticationError"),
        ("402 Payment Required", {}, "PaymentRequired"),
        ("403 Forbidden", {}, "PermissionDeniedError"),
        ("404 Not Found", {}, "NotFoundError"),
        ("408 Request Timeout", {}, "Timeout"),
        ("409 Conflict", {}, "ConflictError"),
        ("418 I'm a teapot", {}, "APIStatusError"),
        ("422 Unprocessable Entity", {}, "UnprocessableEntityError"),
        ("429 Too Many Requests", {}, "RateLimitError"),
        ("500 Internal Server Error", {}, "InternalServerError"),
        ("502 Bad Gateway", {}, "BadGatewayError"),
        ("503 Service Unavailable", {}, "ServiceUnavailableError"),
    ],
)
def test_every_status_has_its_class_and_its_facts(status, fields, name):
    body = error("what happened", param="p", **fields)
    caught = failure(answer(body, status, {"X-Request-Id": "req_9"}))
    own = getattr(toolbridge, name)
    assert isinstance(caught, own)
    assert type(caught).__name__ == name
    assert (caught.status_code, caught.request_id) == (int(status[:3]), "req_9")
    assert (caught.llm_provider, caught.model) == ("openai", "gpt-4o")
    assert caught.body == body["error"]
    assert (caught.param, caught.type, caught.code) == ("p", "t", fields.get("code"))
    assert caught.headers["x-request-id"] == "req_9"
    assert "what happened" in caught.message


def test_a_rate_limit_says_how_long_to_wait():
    limited = answer(error("slow down"), "429 Too Many Requests", {"Retry-After": "12"})
    assert failure(limited).retry_after == 12.0
    assert failure(answer({}, "429 Too Many Requests")).retry_after is None


def test_a_rate_limit_is_repeated_as_often_as_asked():
    limited = answer(error("slow down"), "429 Too Many Requests", {"retry-after-ms": "1"})
    with serve(limited, limited, answer()) as endpoint:
        settings = {**endpoint.settings, "max_retries": 2}
        response = toolbridge.completion("gpt-4o", QUESTION, **settings)
    assert response._hidden_params["num_retries"] == 2
    caught = failure(limited, limited, max_retries=None, num_retries=1)
    assert caught.num_retries == 1


def test_a_timeout_is_a_timeout():
    caught = failure([UNTIL_GONE], timeout=0.05)
    assert isinstance(caught, toolbridge.Timeout)
    assert isinstance(caught, toolbridge.APIConnectionError)
    assert "within 0.05 s" in str(caught)


def test_a_timeout_may_come_in_parts():
    class Parts:
        connect, read, write, pool = 5.0, 0.05, None, None

    assert isinstance(failure([UNTIL_GONE], timeout=Parts()), toolbridge.Timeout)
    assert isinstance(failure([UNTIL_GONE], timeout="0.05"), toolbridge.Timeout)
    assert isinstance(failure([UNTIL_GONE], request_timeout=0.05), toolbridge.Timeout)


def test_no_error_shows_the_key():
    told = answer(error(f"Incorrect API key: {KEY}"), "401 Unauthorized", {"x-echo": KEY})
    caught = failure(told)
    assert "[redacted]" in caught.message
    shown = "".join(traceback.format_exception(caught))
    assert KEY not in f"{shown} {caught!r} {vars(caught)} {caught.response.text}"


def test_a_header_of_the_caller_that_carries_a_key_is_not_shown_either():
    told = answer(error("got hunter2-header"), "403 Forbidden")
    caught = failure(told, extra_headers={"X-Api-Key": "hunter2-header"})
    assert "hunter2" not in f"{caught} {vars(caught)}"


def test_openais_classes_catch_ours_when_openai_is_loaded():
    openai = pytest.importorskip("openai")
    with (
        serve(answer({}, "429 Too Many Requests")) as endpoint,
        pytest.raises(openai.RateLimitError),
    ):
        toolbridge.completion("gpt-4o", QUESTION, **endpoint.settings)


@pytest.mark.asyncio
async def test_the_asynchronous_call_raises_the_same():
    with serve(answer(error("no"), "404 Not Found"), answer(COMPLETION)) as endpoint:
        with pytest.raises(toolbridge.NotFoundError, match="no"):
            await toolbridge.acompletion("gpt-4o", QUESTION, **endpoint.settings)
        response = await toolbridge.acompletion("gpt-4o", QUESTION, **endpoint.settings)
    assert response.choices[0].message.content == "Paris"


def test_ctrl_c_ends_a_waiting_call():
    script = """
import os, signal, sys, threading
import toolbridge
from scripted_openai import UNTIL_GONE, serve
with serve([UNTIL_GONE]) as endpoint:
    def interrupt():
        endpoint.begun.wait()
        os.kill(os.getpid(), signal.SIGINT)
    threading.Thread(target=interrupt).start()
    try:
        toolbridge.completion("gpt-4o", [{"role": "user", "content": "x"}], **endpoint.settings)
    except KeyboardInterrupt:
        assert endpoint.gone.wait(30)
        print("interrupted")
"""
    done = run_script(script)
    assert (done.stdout, done.stderr) == ("interrupted\n", "")
