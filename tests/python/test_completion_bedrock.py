"""Bedrock and SageMaker: what they are asked and how it is signed, judged by botocore."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace
from urllib.parse import parse_qs

import pytest
from botocore.eventstream import EventStreamBuffer

import toolbridge
from scripted_aws import (
    ANSWER,
    STREAM,
    Reply,
    body_problems,
    events,
    frame,
    serve,
    signature_problems,
    text,
)

QUESTION = [{"role": "user", "content": "Hi"}]
CLAUDE = "bedrock/us.anthropic.claude-sonnet-4-5-20250929-v1:0"
KEYS = ("AKIDEXAMPLE", "a-very-secret-key")
EXPLICIT = {"aws_access_key_id": KEYS[0], "aws_secret_access_key": KEYS[1]}


@pytest.fixture(autouse=True)
def nothing_of_this_machine(monkeypatch, tmp_path):
    """No credentials but those that a test sets."""
    for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_BEARER_TOKEN_BEDROCK", "AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_REGION", "us-east-1")


def complete(endpoint, model=CLAUDE, messages=QUESTION, **arguments):
    settings = {"api_base": endpoint.origin, "max_retries": 0, **EXPLICIT}
    return toolbridge.completion(model, messages, **{**settings, **arguments})


@pytest.mark.parametrize(
    ("model", "arguments", "keys", "region"),
    [
        (CLAUDE, {}, KEYS, "us-east-1"),
        (CLAUDE, {"aws_session_token": "a-session-token"}, (*KEYS, "a-session-token"), "us-east-1"),
        (CLAUDE, {"aws_region_name": "eu-west-3"}, KEYS, "eu-west-3"),
        ("bedrock/ap-south-1/amazon.nova-lite-v1:0", {}, KEYS, "ap-south-1"),
        (
            "bedrock/arn:aws:bedrock:us-west-2:123456789012:inference-profile/us.amazon.nova-lite-v1:0",
            {},
            KEYS,
            "us-west-2",
        ),
        (CLAUDE, {"extra_headers": {"x-amzn-bedrock-trace": "ENABLED"}}, KEYS, "us-east-1"),
    ],
)
def test_a_request_is_signed_as_botocore_signs_it(model, arguments, keys, region):
    with serve(Reply(ANSWER)) as endpoint:
        answer = complete(endpoint, model, **arguments)
    assert answer.choices[0].message.content == "Paris"
    assert answer.usage.total_tokens == 10
    assert answer.metrics == {"latencyMs": 5}
    (request,) = endpoint.requests
    assert signature_problems(request, "bedrock", region, keys) == []
    assert body_problems(request.body) == []


def test_the_judges_refuse_what_is_wrong():
    with serve(Reply(ANSWER)) as endpoint:
        complete(endpoint)
    (request,) = endpoint.requests
    right = ("bedrock", "us-east-1", KEYS)
    assert signature_problems(request, *right) == []
    wrong = [
        (replace(request, text=request.text.replace(b"Hi", b"Ho")), *right),
        (replace(request, path=request.path.replace("%3A", ":")), *right),
        (request, "bedrock", "us-east-2", KEYS),
        (request, "sagemaker", "us-east-1", KEYS),
        (request, "bedrock", "us-east-1", (KEYS[0], "another-key")),
        (replace(request, headers={"host": "h"}), *right),
    ]
    for case in wrong:
        assert signature_problems(*case), case
    body = request.body
    for change in (
        {"temperature": 0.5},
        {"inferenceConfig": {"maxTokens": "5"}},
        {"messages": [{"role": "usr", "content": [{"text": "a"}]}]},
        {"messages": [{"role": "user", "content": [{"text": "a", "image": {}}]}]},
        {"messages": [{"role": "user", "content": "a"}]},
        {"toolConfig": {"tools": [{"toolSpec": {"name": "f"}}]}},
    ):
        assert body_problems({**body, **change}), change


TOOLS = [
    {
        "type": "function",
        "function": {"name": "look", "description": "", "parameters": {"type": "object"}},
    }
]
CALLED = [
    {"role": "system", "content": [{"type": "text", "text": "Be short."}]},
    *QUESTION,
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "c 1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
        ],
    },
    {"role": "tool", "tool_call_id": "c 1", "content": "[1]", "is_error": True},
]
PICTURE = "data:image/png;base64,iVBORw0KGgo="
PDF = "data:application/pdf;base64,JVBERi0="
PARTS = [
    {"type": "text", "text": "What?", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
    {"type": "image_url", "image_url": {"url": PICTURE}},
    {"type": "image_url", "image_url": {"url": "s3://bucket/a.jpg"}},
    {"type": "file", "file": {"file_data": PDF, "filename": "über_uns (2).pdf"}},
    {"type": "file", "file": {"file_data": PDF}},
    {"type": "file", "file": {"file_data": "data:video/mp4;base64,AAAA"}},
    {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
    {"type": "guarded_text", "text": "mind this"},
]
SCHEMA = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}
CASES = {
    "parts": {"messages": [{"role": "user", "content": PARTS}]},
    "history": {"messages": CALLED},
    "tools": {"messages": CALLED, "tools": TOOLS, "tool_choice": "required"},
    "one tool": {
        "tools": TOOLS,
        "tool_choice": {"type": "function", "function": {"name": "look"}},
        "parallel_tool_calls": False,
    },
    "no tool": {"messages": CALLED, "tools": TOOLS, "tool_choice": "none"},
    "sampling": {"temperature": 0.1, "top_p": 0.9, "max_tokens": 5, "stop": ["a"], "top_k": 3},
    "schema": {"response_format": SCHEMA},
    "object": {"response_format": {"type": "json_object"}},
    "schema for an older model": {
        "response_format": SCHEMA,
        "model": "bedrock/anthropic.claude-3-haiku-20240307-v1:0",
    },
    "effort": {"reasoning_effort": "low", "max_tokens": 10},
    "guardrail": {
        "guardrailConfig": {"guardrailIdentifier": "g", "guardrailVersion": "1"},
        "performanceConfig": {"latency": "optimized"},
        "requestMetadata": {"team": "a"},
        "service_tier": "priority",
    },
}


@pytest.mark.parametrize("case", CASES)
def test_a_body_fits_the_model_of_the_service(case):
    with serve(Reply(ANSWER)) as endpoint:
        complete(endpoint, **CASES[case])
    (request,) = endpoint.requests
    assert body_problems(request.body) == []


@pytest.mark.parametrize("is_dumped", [False, True])
def test_what_an_answer_is_drawn_from_goes_back_with_its_message(is_dumped):
    place = {"documentPage": {"documentIndex": 0, "start": 1, "end": 2}}
    citation = {"title": "a", "sourceContent": [{"text": "it is Paris"}], "location": place}
    cited = {"citationsContent": {"content": [{"text": "Paris"}], "citations": [citation]}}
    first = {**ANSWER, "output": {"message": {"role": "assistant", "content": [cited]}}}
    with serve(Reply(first), Reply(ANSWER)) as endpoint:
        message = complete(endpoint).choices[0].message
        said = message.model_dump() if is_dumped else message
        complete(endpoint, messages=[*QUESTION, said, *QUESTION])
    assert endpoint.requests[1].body["messages"][1]["content"] == [cited]
    assert body_problems(endpoint.requests[1].body) == []


def test_a_stream_is_asked_for_by_its_url_and_ends_with_its_usage():
    with serve(Reply(text("Grüße ", "🦀"), headers=STREAM)) as endpoint:
        chunks = list(complete(endpoint, stream=True, stream_options={"include_usage": True}))
    (request,) = endpoint.requests
    assert request.path.endswith("%3A0/converse-stream")
    assert signature_problems(request, "bedrock", "us-east-1", KEYS) == []
    assert body_problems(request.body, "ConverseStream") == []
    said = [chunk.choices[0].delta.get("content") for chunk in chunks if chunk.choices]
    assert "".join(filter(None, said)) == "Grüße 🦀"
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].usage.prompt_tokens == 9


def test_the_frames_of_these_tests_are_those_that_botocore_reads():
    buffer = EventStreamBuffer()
    buffer.add_data(text("a"))
    read = [event.to_response_dict() for event in buffer]
    assert read[1]["headers"][":event-type"] == "contentBlockDelta"
    assert json.loads(read[1]["body"])["delta"] == {"text": "a"}


def test_an_exception_in_the_middle_of_a_stream_ends_it_with_its_class():
    begin = events({"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"text": "a"}}})
    fault = frame(
        b'{"message":"slow down"}', message_type="exception", exception_type="throttlingException"
    )
    with serve(Reply(begin + fault, headers=STREAM)) as endpoint:
        stream = complete(endpoint, stream=True)
        assert next(iter(stream)).choices[0].delta.content == "a"
        with pytest.raises(toolbridge.RateLimitError, match="slow down"):
            list(stream)


@pytest.mark.parametrize(
    ("status", "kind", "message", "error"),
    [
        (429, "ThrottlingException:http://x/", "slow down", toolbridge.RateLimitError),
        (403, "AccessDeniedException", "no", toolbridge.PermissionDeniedError),
        (403, "UnrecognizedClientException", "no", toolbridge.AuthenticationError),
        (400, "ValidationException", "bad", toolbridge.BadRequestError),
        (
            400,
            "ValidationException",
            "Input is too long for requested model.",
            toolbridge.ContextWindowExceededError,
        ),
        (404, "ResourceNotFoundException", "none", toolbridge.NotFoundError),
        (503, "ServiceUnavailableException", "later", toolbridge.ServiceUnavailableError),
    ],
)
def test_an_error_has_its_class_its_request_id_and_no_secret(status, kind, message, error):
    headers = {"x-amzn-ErrorType": kind, "x-amzn-RequestId": "r-1"}
    reply = Reply({"message": f"{message} a-very-secret-key"}, status, headers)
    with serve(reply) as endpoint, pytest.raises(error, match=message) as caught:
        complete(endpoint)
    assert type(caught.value).__name__ == error.__name__
    assert caught.value.request_id == "r-1"
    assert KEYS[1] not in f"{caught.value!r} {caught.value} {caught.value.body}"


def without_keys(endpoint, **arguments):
    nothing = {"aws_access_key_id": None, "aws_secret_access_key": None}
    return complete(endpoint, **nothing, **arguments)


def test_missing_credentials_name_every_place_that_was_looked_in():
    with serve() as endpoint, pytest.raises(toolbridge.AuthenticationError) as caught:
        without_keys(endpoint)
    for place in (
        "aws_access_key_id",
        "aws_profile_name",
        "aws_role_name",
        "AWS_BEARER_TOKEN_BEDROCK",
        "AWS_ACCESS_KEY_ID",
        "AWS_PROFILE",
        "~/.aws/credentials",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "EC2",
    ):
        assert place in str(caught.value)
    assert endpoint.requests == []


def test_a_missing_region_names_every_place_that_was_looked_in(monkeypatch):
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    with pytest.raises(toolbridge.ToolbridgeError, match=r"aws_region_name.*AWS_DEFAULT_REGION"):
        toolbridge.completion(CLAUDE, QUESTION, **EXPLICIT)


def test_a_bearer_key_is_sent_as_it_is(monkeypatch):
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "a-bearer-key")
    with serve(Reply(ANSWER), Reply(ANSWER), Reply(ANSWER)) as endpoint:
        without_keys(endpoint)
        without_keys(endpoint, api_key="another-key")
        complete(endpoint)
    first, second, third = (request.headers["authorization"] for request in endpoint.requests)
    assert (first, second) == ("Bearer a-bearer-key", "Bearer another-key")
    assert third.startswith("AWS4-HMAC-SHA256 ")


def test_credentials_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of-the-environment")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token-of-it")
    with serve(Reply(ANSWER)) as endpoint:
        without_keys(endpoint)
    keys = ("AKIDENV", "of-the-environment", "token-of-it")
    assert signature_problems(endpoint.requests[0], "bedrock", "us-east-1", keys) == []


def test_credentials_and_region_come_from_the_profile(monkeypatch, tmp_path):
    monkeypatch.delenv("AWS_REGION")
    # The profile that the call names wins over keys in the environment.
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of-the-environment")
    (tmp_path / "config").write_text("[profile work]\nregion = eu-north-1\n")
    (tmp_path / "credentials").write_text(
        "[work]\naws_access_key_id = AKIDWORK\naws_secret_access_key = of-the-profile\n"
    )
    with serve(Reply(ANSWER)) as endpoint:
        without_keys(endpoint, aws_profile_name="work")
    keys = ("AKIDWORK", "of-the-profile")
    assert signature_problems(endpoint.requests[0], "bedrock", "eu-north-1", keys) == []
    with serve() as endpoint, pytest.raises(toolbridge.AuthenticationError, match="nobody"):
        without_keys(endpoint, aws_profile_name="nobody", aws_region_name="eu-north-1")


@pytest.mark.parametrize("is_named", [True, False])
def test_a_profile_of_aws_login_says_what_to_do_instead(monkeypatch, tmp_path, is_named):
    login = "login_session = arn:aws:iam::123456789012:user/me\n"
    (tmp_path / "config").write_text(f"[profile dev]\nregion = us-east-1\n{login}")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    arguments = {"aws_profile_name": "dev"} if is_named else {}
    if not is_named:
        monkeypatch.setenv("AWS_PROFILE", "dev")
    with serve() as endpoint, pytest.raises(toolbridge.AuthenticationError) as caught:
        without_keys(endpoint, **arguments)
    assert "`aws login`" in str(caught.value)
    assert "aws configure export-credentials" in str(caught.value)
    assert endpoint.requests == []


def test_credentials_come_from_the_container(monkeypatch):
    end = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
    given = {
        "AccessKeyId": "AKIDBOX",
        "SecretAccessKey": "of-the-container",
        "Token": "token-of-it",
        "Expiration": end.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    with serve(Reply(given)) as container, serve(Reply(ANSWER), Reply(ANSWER)) as endpoint:
        address = f"{container.origin}/credentials"
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", address)
        # A region of its own: what other tests got must not be found.
        without_keys(endpoint, aws_region_name="us-west-1")
        without_keys(endpoint, aws_region_name="us-west-1")
    keys = ("AKIDBOX", "of-the-container", "token-of-it")
    for request in endpoint.requests:
        assert signature_problems(request, "bedrock", "us-west-1", keys) == []
    assert len(container.requests) == 1


def assumed(action):
    end = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
    text = f"""<{action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><{action}Result>
    <AssumedRoleUser><AssumedRoleId>R:s</AssumedRoleId><Arn>arn:aws:sts::1:assumed-role/r/s</Arn></AssumedRoleUser>
    <Credentials><AccessKeyId>AKIDROLE</AccessKeyId><SecretAccessKey>of-the-role</SecretAccessKey>
    <SessionToken>token-of-it</SessionToken><Expiration>{end:%Y-%m-%dT%H:%M:%SZ}</Expiration></Credentials>
    </{action}Result></{action}Response>"""
    return Reply(text.encode(), headers={"content-type": "text/xml"})


ROLE_KEYS = ("AKIDROLE", "of-the-role", "token-of-it")
ROLE = "arn:aws:iam::123456789012:role/reader"


def test_a_role_is_assumed_once_for_many_calls():
    with serve(assumed("AssumeRole")) as sts, serve(Reply(ANSWER), Reply(ANSWER)) as endpoint:
        role = {
            "aws_role_name": ROLE,
            "aws_session_name": "mine",
            "aws_external_id": "an-external-id",
            "aws_sts_endpoint": sts.origin,
        }
        complete(endpoint, **role)
        complete(endpoint, **role)
    for request in endpoint.requests:
        assert signature_problems(request, "bedrock", "us-east-1", ROLE_KEYS) == []
    (asked,) = sts.requests
    assert signature_problems(asked, "sts", "us-east-1", KEYS) == []
    fields = {name: value for name, (value,) in parse_qs(asked.text.decode()).items()}
    assert fields["RoleArn"] == ROLE
    assert (fields["RoleSessionName"], fields["ExternalId"]) == ("mine", "an-external-id")


@pytest.mark.parametrize("kind", ["token", "file"])
def test_a_role_is_assumed_with_a_web_identity(tmp_path, kind):
    path = tmp_path / "token"
    path.write_text("a.web.token\n")
    token = "a.web.token" if kind == "token" else str(path)
    answer = assumed("AssumeRoleWithWebIdentity")
    with serve(answer) as sts, serve(Reply(ANSWER)) as endpoint:
        without_keys(
            endpoint,
            aws_role_name=ROLE,
            aws_web_identity_token=token,
            aws_sts_endpoint=sts.origin,
        )
    assert signature_problems(endpoint.requests[0], "bedrock", "us-east-1", ROLE_KEYS) == []
    fields = parse_qs(sts.requests[0].text.decode())
    assert fields["WebIdentityToken"] == ["a.web.token"]


def test_a_role_that_is_refused_is_an_authentication_error_with_the_sentence_of_sts():
    text = b"""<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code>
    <Message>not for you</Message></Error></ErrorResponse>"""
    with (
        serve(Reply(text, 403, {"content-type": "text/xml"})) as sts,
        serve() as endpoint,
        pytest.raises(toolbridge.AuthenticationError, match=r"role/reader.*not for you"),
    ):
        complete(endpoint, aws_role_name=ROLE, aws_sts_endpoint=sts.origin)


COMPLETION = {
    "id": "1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Paris"},
            "finish_reason": "stop",
        }
    ],
}


def test_an_endpoint_of_sagemaker_is_asked_in_openais_form():
    with serve(Reply(COMPLETION)) as endpoint:
        answer = complete(endpoint, "sagemaker_chat/my-endpoint", seed=1)
    assert answer.choices[0].message.content == "Paris"
    (request,) = endpoint.requests
    assert request.path == "/endpoints/my-endpoint/invocations"
    assert request.body["messages"] == QUESTION
    assert request.body["seed"] == 1
    assert signature_problems(request, "sagemaker", "us-east-1", KEYS) == []


def test_a_stream_of_sagemaker_comes_out_of_its_parts():
    def chunk(delta, finish=None):
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return {"id": "1", "object": "chat.completion.chunk", "choices": [choice]}

    lines = [chunk({"content": "Par"}), chunk({"content": "is"}), chunk({}, "stop")]
    sse = b"".join(b"data: " + json.dumps(line).encode() + b"\n\n" for line in lines)
    parts = [sse[:40], sse[40:], b"data: [DONE]\n\n"]
    body = b"".join(frame(p, message_type="event", event_type="PayloadPart") for p in parts)
    with serve(Reply(body, headers=STREAM)) as endpoint:
        chunks = list(complete(endpoint, "sagemaker_chat/my-endpoint", stream=True))
    (request,) = endpoint.requests
    assert request.path == "/endpoints/my-endpoint/invocations-response-stream"
    assert request.body["stream"] is True
    assert "".join(c.choices[0].delta.get("content") or "" for c in chunks) == "Paris"
