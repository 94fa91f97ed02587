"""A loopback endpoint of AWS with scripted answers, and the judges of what it is asked.

The signature of a request is recomputed by botocore's signer, its body is held against botocore's model of
the service.
"""

from __future__ import annotations

import base64
import binascii
import functools
import json
import struct
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.session import get_session
from botocore.validate import ParamValidator

if TYPE_CHECKING:
    from collections.abc import Iterator

ANSWER = {
    "output": {"message": {"role": "assistant", "content": [{"text": "Paris"}]}},
    "stopReason": "end_turn",
    "usage": {"inputTokens": 9, "outputTokens": 1, "totalTokens": 10},
    "metrics": {"latencyMs": 5},
}


@dataclass
class Received:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    text: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.text)


@dataclass
class Reply:
    """One answer."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] | None = None

    @property
    def text(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


class Endpoint:
    """The running endpoint."""

    def __init__(self, replies: tuple[Reply, ...]) -> None:
        self.requests: list[Received] = []
        replies_left = list(replies)
        received = self.requests

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                length = int(self.headers.get("content-length", 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                text = self.rfile.read(length)
                received.append(Received(self.command, self.path, headers, text))
                reply = replies_left.pop(0)
                self.send_response(reply.status)
                fields = {"content-type": "application/json", **(reply.headers or {})}
                for name, value in {**fields, "content-length": str(len(reply.text))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(reply.text)

            do_POST = do_GET = answer  # noqa: N815

            def log_message(self, *_: Any) -> None:
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.origin = f"http://127.0.0.1:{self.server.server_port}"


@contextmanager
def serve(*replies: Reply) -> Iterator[Endpoint]:
    """Runs an endpoint that gives these replies, one for each request."""
    endpoint = Endpoint(replies)
    thread = threading.Thread(target=endpoint.server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield endpoint
    finally:
        endpoint.server.shutdown()
        endpoint.server.server_close()
        thread.join()


def signature_problems(
    request: Received, service: str, region: str, keys: tuple[str, ...]
) -> list[str]:
    """What is wrong with the signature of a request, by botocore's signer."""
    given = request.headers.get("authorization", "")
    if not given.startswith("AWS4-HMAC-SHA256 "):
        return [f"no signature: {given!r}"]
    fields = dict(part.split("=", 1) for part in given.split(" ", 1)[1].split(", "))
    names = fields["SignedHeaders"].split(";")
    problems = [f"{name} is not signed" for name in ("host", "x-amz-date") if name not in names]
    if len(keys) > 2:
        if request.headers.get("x-amz-security-token") != keys[2]:
            problems.append("the session token is another one")
        if "x-amz-security-token" not in names:
            problems.append("the session token is not signed")
    signed = {name: request.headers[name] for name in names if name != "host"}
    url = f"http://{request.headers['host']}{request.path}"
    wanted = AWSRequest(method=request.method, url=url, data=request.text, headers=signed)
    wanted.context["timestamp"] = request.headers["x-amz-date"]
    signer = SigV4Auth(Credentials(*keys), service, region)
    canonical = signer.canonical_request(wanted)
    signature = signer.signature(signer.string_to_sign(wanted, canonical), wanted)
    if fields["Credential"] != signer.scope(wanted):
        problems.append(f"the scope is {fields['Credential']!r}, not {signer.scope(wanted)!r}")
    if fields["Signature"] != signature:
        problems.append("the signature is another one")
    return problems


def body_problems(body: dict[str, Any], operation: str = "Converse") -> list[str]:
    """What is wrong with a body, by the service model."""
    shape = _shape(operation)
    problems: list[str] = []
    value = _decoded(body, shape, "body", problems)
    report = ParamValidator().validate({"modelId": "m.m", **value}, shape)
    return problems + [line for line in report.generate_report().splitlines() if line]


@functools.cache
def _shape(operation: str) -> Any:
    model = get_session().get_service_model("bedrock-runtime")
    return model.operation_model(operation).input_shape


def _decoded(value: Any, shape: Any, place: str, problems: list[str]) -> Any:
    """The value as botocore takes it; what it would let pass in silence is a problem."""
    if shape.type_name == "structure" and isinstance(value, dict):
        if shape.is_document_type:
            return value
        known = {}
        for name, member in value.items():
            if name in shape.members:
                at = f"{place}.{name}"
                known[name] = _decoded(member, shape.members[name], at, problems)
            else:
                problems.append(f"{place}.{name} is no member of {shape.name}")
        return known
    if shape.type_name == "list" and isinstance(value, list):
        return [
            _decoded(item, shape.member, f"{place}[{index}]", problems)
            for index, item in enumerate(value)
        ]
    if shape.type_name == "blob" and isinstance(value, str):
        return base64.b64decode(value, validate=True)
    if shape.type_name == "string" and shape.enum and value not in shape.enum:
        problems.append(f"{place} is {value!r}, none of {shape.enum}")
    return value


def frame(payload: bytes, **headers: str) -> bytes:
    """A frame of an AWS event stream."""
    head = b""
    for name, value in headers.items():
        name = ":" + name.replace("_", "-")
        head += struct.pack("!B", len(name)) + name.encode()
        head += struct.pack("!BH", 7, len(value.encode())) + value.encode()
    prelude = struct.pack("!II", 16 + len(head) + len(payload), len(head))
    text = prelude + struct.pack("!I", binascii.crc32(prelude)) + head + payload
    return text + struct.pack("!I", binascii.crc32(text))


def events(*each: dict[str, Any]) -> bytes:
    """Events, each an object with one member: its type."""
    return b"".join(
        frame(json.dumps(payload).encode(), message_type="event", event_type=name)
        for one in each
        for name, payload in one.items()
    )


STREAM = {"content-type": "application/vnd.amazon.eventstream"}


def text(*pieces: str, reason: str = "end_turn") -> bytes:
    """A stream of text."""
    return events(
        {"messageStart": {"role": "assistant"}},
        *[
            {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"text": piece}}}
            for piece in pieces
        ],
        {"contentBlockStop": {"contentBlockIndex": 0}},
        {"messageStop": {"stopReason": reason}},
        {"metadata": {"usage": ANSWER["usage"], "metrics": {"latencyMs": 5}}},
    )
