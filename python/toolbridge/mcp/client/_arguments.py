"""What the arguments of sessions and transports take; a wrong type names the argument."""

from __future__ import annotations

from toolbridge.exceptions import ConfigurationError
from toolbridge.objects import Object

TYPE_CHECKING = False
if TYPE_CHECKING:
    from datetime import timedelta
    from typing import Any

    from toolbridge.mcp import types


# Longer than any process lives.
_MOST_SECONDS = 10**12
_SCHEMES = frozenset({"http", "https", "http+unix"})
_LOG_LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")


def type_error(name: str, accepted: str, found: object) -> TypeError:
    """Make the error of an argument of a wrong type."""
    return TypeError(f"{name} takes {accepted}; found {type(found).__name__}")


def read_page(
    cursor: str | None, params: types.PaginatedRequestParams | None
) -> dict[str, Any] | None:
    """Turn the two official spellings of a page into the parameters of the request."""
    if cursor is not None and params is not None:
        message = "give cursor or params, not both"
        raise ValueError(message)
    if params is not None:
        if not isinstance(params, (dict, Object)) and not hasattr(params, "cursor"):
            raise type_error("params", "a PaginatedRequestParams or None", params)
        cursor = params.get("cursor") if isinstance(params, (dict, Object)) else params.cursor
    if cursor is None:
        return None
    if not isinstance(cursor, str):
        raise type_error("cursor", "a str or None", cursor)
    return {"cursor": cursor}


def read_seconds(name: str, value: timedelta | float | None) -> float | None:
    """Read a time limit: seconds, a timedelta or None."""
    if value is None:
        return None
    total = getattr(value, "total_seconds", None)
    seconds = total() if total is not None else value
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise type_error(name, "seconds, a timedelta or None", value)
    if not 0 < seconds < float("inf"):
        message = f"{name} is {seconds}; it takes a positive number of seconds"
        raise ValueError(message)
    # An int may be larger than any float.
    return float(min(seconds, _MOST_SECONDS))


def stream_error(name: str, found: object) -> TypeError:
    """Make the error of a stream that is none of ours."""
    module = type(found).__module__
    if module.startswith(("anyio", "mcp.")):
        hint = "; this is a stream of the official mcp package, for that package's ClientSession"
    else:
        hint = ""
    accepted = "a stream of a toolbridge transport such as toolbridge.mcp.stdio_client"
    return TypeError(f"{name} takes {accepted}; found {type(found).__name__}{hint}")


def check_str(name: str, value: object) -> None:
    """Take a str."""
    if not isinstance(value, str):
        raise type_error(name, "a str", value)


def check_plain(name: str, value: str) -> None:
    """Take a text that a process can be given; its value, which may be a secret, is not shown."""
    if "\0" in value:
        message = f"{name} holds a NUL character, which no process can be given"
        raise ValueError(message)
    check_unicode(name, value)


def check_unicode(name: str, value: str) -> None:
    """Take a text that can be written as UTF-8."""
    try:
        value.encode()
    except UnicodeEncodeError:
        message = f"{name} holds a lone surrogate and cannot be written as UTF-8"
        raise ValueError(message) from None


def check_log_level(name: str, value: object) -> None:
    """Take one of the levels of the protocol."""
    check_str(name, value)
    if value not in _LOG_LEVELS:
        message = f"{name} is {value!r}; it takes {', '.join(map(repr, _LOG_LEVELS))}"
        raise ConfigurationError(message)


def check_url(name: str, url: str) -> None:
    """Take an http or https URL. What is shown of another is its beginning: no path, no key."""
    scheme, separator, _ = url.strip().partition("://")
    if separator and scheme.lower() in _SCHEMES:
        return
    if not url.strip():
        found, hint = "is empty", "https://example.com/mcp"
    elif separator:
        found, hint = f"has the scheme {scheme[:40]!r}", "https://example.com/mcp"
    else:
        host = scheme.partition("/")[0].rpartition("@")[2][:80]
        found = f"begins with {host!r} and has no scheme"
        is_local = host.partition(":")[0] in {"localhost", "127.0.0.1"}
        hint = f"{'http' if is_local else 'https'}://{host}/…"
    message = f"{name} {found}; it takes an http or https URL, such as {hint}"
    raise ConfigurationError(message)


def check_bool(name: str, value: object) -> bool:
    """Take True or False: a text such as "no" would count as True."""
    if not isinstance(value, bool):
        raise type_error(name, "True or False", value)
    return value


def check_number(name: str, value: object) -> None:
    """Take an int or a float; True and False are none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise type_error(name, "a number", value)


def check_object(name: str, value: object) -> None:
    """Take a dict, a value of this package, or a model of the official SDK."""
    if not isinstance(value, (dict, Object)) and not hasattr(value, "model_dump"):
        raise type_error(name, "a dict or a value of toolbridge.mcp.types", value)


def read_uri(uri: object) -> str:
    """Take a str, or one of the URL classes, which are no str."""
    if uri is None or isinstance(uri, (bytes, bool, int, float, list, dict, Object)):
        raise type_error("uri", "a str or a URL object", uri)
    return str(uri)
