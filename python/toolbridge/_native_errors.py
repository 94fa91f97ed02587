"""Errors of the engine as exceptions."""

from __future__ import annotations

from toolbridge import exceptions
from toolbridge._error_response import ErrorResponse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

__all__ = ["from_native", "tell_tried"]


def _decoded(body: str) -> Any:
    """Decodes a body, and takes the error out of its envelope as the openai package does."""
    import json

    try:
        decoded = json.loads(body)
    except ValueError:
        return body
    return decoded.get("error", decoded) if isinstance(decoded, dict) else decoded


def from_native(
    class_name: str, message: str, fields: dict[str, Any], causes: list[str]
) -> BaseException:
    """Makes the exception of an error of the engine.

    Args:
        class_name: a class of `toolbridge.exceptions`; an unknown one is a ToolbridgeError.
        message: the sentence.
        fields: what is known; a key that is absent is unknown.
        causes: the sentences of the causes, the nearest first.
    """
    cls: Any = getattr(exceptions, class_name, None)
    if class_name.startswith("OAuth"):
        from toolbridge.mcp.client.auth import exceptions as authorization

        cls = getattr(authorization, class_name, None)
    if not (isinstance(cls, type) and issubclass(cls, exceptions.ToolbridgeError)):
        cls = exceptions.ToolbridgeError
    error: BaseException
    if issubclass(cls, exceptions.MCPError):
        error = cls(fields.get("rpc_code"), message, fields.get("rpc_data"))
        if isinstance(error, exceptions.TransportError):
            error.status_code = fields.get("status_code")
        elif isinstance(error, exceptions.ConnectionClosedError):
            error.outcome_unknown = not fields.get("unsent", False)
    elif issubclass(cls, exceptions.APIError):
        given = {key: value for key, value in fields.items() if not key.startswith("rpc_")}
        body = given.pop("body", None)
        status = given.get("status_code")
        response = None
        if status is not None:
            response = ErrorResponse(status, given.get("headers"), body or "")
        decoded = None if body is None else _decoded(body)
        error = cls(message=message, response=response, body=decoded, **given)
    else:
        error = cls(message)
    above = error
    for sentence in causes:
        cause = exceptions.EngineError(sentence)
        above.__cause__ = cause
        above = cause
    return error


def tell_tried(error: BaseException, tried: Sequence[tuple[str, BaseException]]) -> None:
    """Says on the last error what was tried, and puts the first one at the end of its causes."""
    for name, failure in tried:
        error.add_note(f"tried {name}: {type(failure).__name__}: {failure}")
    first = tried[0][1]
    last: BaseException = error
    while last.__cause__ is not None and last.__cause__ is not first:
        last = last.__cause__
    if last is not first:
        last.__cause__ = first
