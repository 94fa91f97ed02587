"""The exceptions: the trees and the fields of openai and of litellm, pickling, causes."""

from __future__ import annotations

import copy
import importlib
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import toolbridge
from toolbridge import exceptions
from toolbridge._native_errors import from_native
from toolbridge.exceptions import (
    APIConnectionError,
    APIError,
    APIStatusError,
    ErrorResponse,
    MCPError,
    MCPTimeoutError,
    RateLimitError,
    ToolCallArgumentsError,
    ToolOutputError,
    TransportError,
)
from toolbridge.mcp.types import ErrorData

BODY = (
    '{"error": {"message": "Slow down", "type": "requests", "code": "rate_limit", "param": null}}'
)
FIELDS = {
    "provider": "openai",
    "model": "gpt-4o",
    "status_code": 429,
    "request_id": "req_1",
    "body": BODY,
    "headers": {"retry-after": "2", "x-request-id": "req_1"},
    "retry_after": 2.0,
    "code": "rate_limit",
    "type": "requests",
    "num_retries": 2,
}
STATUSES = {
    "BadRequestError": 400,
    "ContextWindowExceededError": 400,
    "ContentPolicyViolationError": 400,
    "UnsupportedParamsError": 400,
    "AuthenticationError": 401,
    "PaymentRequired": 402,
    "PermissionDeniedError": 403,
    "NotFoundError": 404,
    "Timeout": 408,
    "ConflictError": 409,
    "UnprocessableEntityError": 422,
    "RateLimitError": 429,
    "InternalServerError": 500,
    "BadGatewayError": 502,
    "ServiceUnavailableError": 503,
}
# What openai's own tree calls each of ours.
OPENAI_NAMES = {
    "APIError": "APIError",
    "APIConnectionError": "APIConnectionError",
    "APIStatusError": "APIStatusError",
    "APIResponseValidationError": "APIResponseValidationError",
    "JSONSchemaValidationError": "APIResponseValidationError",
    "Timeout": "APITimeoutError",
    "BadRequestError": "BadRequestError",
    "ContextWindowExceededError": "BadRequestError",
    "ContentPolicyViolationError": "BadRequestError",
    "UnsupportedParamsError": "BadRequestError",
    "AuthenticationError": "AuthenticationError",
    "PaymentRequired": "APIStatusError",
    "PermissionDeniedError": "PermissionDeniedError",
    "NotFoundError": "NotFoundError",
    "ConflictError": "ConflictError",
    "UnprocessableEntityError": "UnprocessableEntityError",
    "RateLimitError": "RateLimitError",
    "InternalServerError": "InternalServerError",
    "BadGatewayError": "InternalServerError",
    "ServiceUnavailableError": "InternalServerError",
}


def test_the_tree_is_that_of_the_documentation():
    for name, status in STATUSES.items():
        cls = getattr(exceptions, name)
        error = cls(message="m", llm_provider="p", model="q")
        assert error.status_code == status
        assert issubclass(cls, APIConnectionError if name == "Timeout" else APIStatusError)
    assert issubclass(APIStatusError, APIError)
    assert issubclass(APIError, toolbridge.ToolbridgeError)
    assert issubclass(toolbridge.ContextWindowExceededError, toolbridge.BadRequestError)
    assert issubclass(toolbridge.JSONSchemaValidationError, toolbridge.APIResponseValidationError)
    assert issubclass(toolbridge.ConfigurationError, ValueError)
    assert issubclass(ToolCallArgumentsError, ValueError)
    assert issubclass(toolbridge.ConnectionClosedError, MCPError)
    assert issubclass(MCPTimeoutError, TimeoutError)
    assert toolbridge.APITimeoutError is toolbridge.Timeout
    assert toolbridge.McpError is toolbridge.MCPError


def test_an_error_of_the_engine_has_every_field_that_is_known():
    error = from_native("RateLimitError", "too many requests", FIELDS, [])
    assert isinstance(error, RateLimitError)
    assert error.message == "too many requests"
    assert error.args == ("too many requests",)
    assert error.llm_provider == error.provider == "openai"
    assert (error.model, error.status_code, error.request_id) == ("gpt-4o", 429, "req_1")
    assert (error.retry_after, error.num_retries, error.max_retries) == (2.0, 2, None)
    assert (error.code, error.type, error.param) == ("rate_limit", "requests", None)
    assert error.body["message"] == "Slow down"
    assert error.headers["Retry-After"] == error.headers.get("RETRY-AFTER") == "2"
    assert "Retry-After" in error.headers
    assert error.response.status_code == 429
    assert error.response.text == BODY
    assert error.response.json()["error"] == error.body
    assert error.response.content == BODY.encode()


def test_the_text_says_what_happened_and_where_without_the_body():
    error = from_native("RateLimitError", "too many requests", FIELDS, [])
    assert str(error) == (
        "too many requests (provider openai, model gpt-4o, status 429, request req_1, retries 2)"
    )
    assert str(from_native("ConfigurationError", "no such file", {}, [])) == "no such file"


@pytest.mark.parametrize(
    ("body", "decoded"),
    [
        ("<html>", "<html>"),
        ('{"detail": "no"}', {"detail": "no"}),
        ("[1]", [1]),
        ('{"error": "no"}', "no"),
        ("", ""),
    ],
)
def test_a_body_is_decoded_when_it_can_be(body, decoded):
    error = from_native("APIStatusError", "m", {"status_code": 418, "body": body}, [])
    assert error.body == decoded
    assert error.response.text == body
    assert error.code is None


def test_causes_are_chained_the_nearest_first():
    error = from_native("APIConnectionError", "cannot connect", {}, ["tls", "refused"])
    assert isinstance(error.__cause__, exceptions.EngineError)
    assert str(error.__cause__) == "tls"
    assert str(error.__cause__.__cause__) == "refused"
    assert error.__cause__.__cause__.__cause__ is None
    assert error.response is None


def test_an_unknown_class_is_the_root():
    assert type(from_native("Nonsense", "m", {}, [])) is toolbridge.ToolbridgeError
    assert type(from_native("sys", "m", {}, [])) is toolbridge.ToolbridgeError


def test_the_constructors_take_what_those_of_litellm_take():
    assert toolbridge.AuthenticationError("m", "p", "q").model == "q"
    assert toolbridge.RateLimitError(message="m", llm_provider="p", model="q").provider == "p"
    assert toolbridge.NotFoundError("m", "q", "p").model == "q"
    assert toolbridge.BadRequestError("m", "q", "p", body={"code": "c"}).code == "c"
    assert toolbridge.UnsupportedParamsError("m", "p", "q", 422).status_code == 422
    assert toolbridge.Timeout("m", "q", "p").llm_provider == "p"
    error = toolbridge.APIError(500, "m", "p", "q")
    assert (error.status_code, error.message, error.provider, error.model) == (500, "m", "p", "q")
    invalid = toolbridge.JSONSchemaValidationError("q", "p", "raw", "{}")
    assert (invalid.model, invalid.raw_response, invalid.schema) == ("q", "raw", "{}")
    response = ErrorResponse(429, {"X-Request-Id": "req_2"}, "slow")
    limited = toolbridge.RateLimitError("m", response=response, body=None)
    assert (limited.status_code, limited.request_id) == (429, "req_2")


def test_mcp_errors_take_the_arguments_of_both_official_packages():
    for error in (
        MCPError(ErrorData(code=-32602, message="bad", data={"a": 1})),
        MCPError(error=ErrorData(code=-32602, message="bad", data={"a": 1})),
        MCPError(-32602, "bad", {"a": 1}),
        MCPError(code=-32602, message="bad", data={"a": 1}),
        MCPError.from_error_data(ErrorData(code=-32602, message="bad", data={"a": 1})),
        from_native("MCPError", "bad", {"rpc_code": -32602, "rpc_data": {"a": 1}}, []),
    ):
        assert (error.code, error.message, error.data) == (-32602, "bad", {"a": 1})
        assert error.error == {"code": -32602, "message": "bad", "data": {"a": 1}}
        assert isinstance(error.error, ErrorData)
        assert str(error) == "bad"
    assert "data" not in MCPError(-1, "m").error
    assert toolbridge.ConnectionClosedError("gone").code == -32000
    assert MCPTimeoutError("late").code == -32001
    assert str(MCPTimeoutError("late")) == "late"


@pytest.mark.parametrize(
    "error",
    [
        from_native("RateLimitError", "slow", FIELDS, []),
        from_native("JSONSchemaValidationError", "m", {"body": "{}"}, []),
        MCPError(-32602, "bad", {"a": 1}),
        MCPTimeoutError("late"),
        toolbridge.ConfigurationError("m"),
        ToolCallArgumentsError("not JSON", "add", "{"),
        toolbridge.APIError(500, "m", "p", "q"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_survive_pickling_and_copying(error):
    for restored in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert isinstance(restored, type(error))
        assert str(restored) == str(error)
        assert restored.args == error.args
        told = {key: value for key, value in vars(error).items() if key != "response"}
        assert {key: vars(restored)[key] for key in told} == told


def test_shown_arguments_are_bounded():
    error = ToolCallArgumentsError("not JSON", "add", "x" * 100_000)
    assert len(str(error)) < 500
    assert "(100000 characters)" in str(error)
    assert len(error.arguments) == 100_000


@pytest.fixture
def openai():
    return importlib.import_module("openai")


@pytest.mark.parametrize("name", OPENAI_NAMES)
def test_openai_s_classes_catch_ours_when_openai_is_loaded(name, openai):
    cls = getattr(exceptions, name)
    with pytest.raises(getattr(openai, OPENAI_NAMES[name])) as caught:
        raise from_native(name, "m", {"status_code": 400, "body": BODY}, ["below"])
    error = caught.value
    assert isinstance(error, cls)
    assert type(error).__name__ == name
    assert error.code == "rate_limit"
    assert str(error.__cause__) == "below"
    assert isinstance(cls(message="m", llm_provider="p", model="q"), openai.OpenAIError)
    assert isinstance(pickle.loads(pickle.dumps(error)), cls)
    with pytest.raises(cls):
        raise error


def test_an_error_that_was_also_openai_s_unpickles_where_openai_is_not_loaded(
    openai, tmp_path: Path
):
    error = from_native("RateLimitError", "slow", FIELDS, [])
    assert isinstance(error, openai.RateLimitError)
    (tmp_path / "error").write_bytes(pickle.dumps(error))
    script = (
        "import pickle, sys, toolbridge.exceptions as e;"
        "error = pickle.load(open(sys.argv[1], 'rb'));"
        "assert type(error) is e.RateLimitError, type(error).__mro__;"
        "assert error.retry_after == 2.0 and error.body['code'] == 'rate_limit';"
        "assert 'openai' not in sys.modules"
    )
    run = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "error")], capture_output=True, text=True
    )
    assert (run.returncode, run.stderr) == (0, "")


def test_nothing_imports_openai():
    script = (
        "import sys, toolbridge;"
        "toolbridge.RateLimitError('m', 'openai', 'gpt-4o');"
        "assert 'openai' not in sys.modules"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")


def test_a_transport_error_has_the_status_of_the_answer_or_none():
    refused = from_native("TransportError", "refused", {"status_code": 503}, [])
    assert isinstance(refused, TransportError)
    assert (refused.status_code, pickle.loads(pickle.dumps(refused)).status_code) == (503, 503)
    assert TransportError("not reached").status_code is None
    assert from_native("TransportError", "broke", {}, []).status_code is None


def test_a_tool_output_error_tells_where_and_is_the_runtime_error_of_the_official_sdks():
    data = {"tool": "t", "path": "/a", "found": "null", "accepted": "a string"}
    error = from_native("ToolOutputError", "it does not fit", {"rpc_data": data}, [])
    assert isinstance(error, ToolOutputError)
    assert isinstance(error, RuntimeError)
    assert isinstance(error, MCPError)
    copied = pickle.loads(pickle.dumps(error))
    assert (copied.tool, copied.path, copied.found, copied.accepted) == tuple(data.values())
    assert (error.code, str(error)) == (-32603, "it does not fit")
    plain = ToolOutputError("no structuredContent")
    assert (plain.tool, plain.path) == (None, None)
