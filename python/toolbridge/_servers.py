"""What the servers of a client are given as: a configuration, a URL, the parameters of a child."""

from __future__ import annotations

from toolbridge import _toolbridge
from toolbridge.exceptions import ConfigurationError
from toolbridge.mcp.client._arguments import check_plain, check_url, type_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

_ACCEPTED = (
    "a dict of servers, the path of a JSON or YAML file, a URL, a StdioServerParameters, or a list "
    "or dict of those"
)
_SECTIONS = ("mcpServers", "servers", "mcp_servers")
# Programs that run the program that an argument names.
_LAUNCHERS = frozenset({"bunx", "deno", "docker", "node", "npx", "pipx", "python", "uv", "uvx"})

if TYPE_CHECKING:
    # The server, and the settings that stand over those of its configuration.
    _Entry = tuple[_toolbridge.ServerConfig, dict[str, Any]]


class Http:
    """What a server behind a URL is reached with, beside what its configuration says."""

    __slots__ = ("auth", "headers", "verify")

    def __init__(self, headers: Any = None, auth: Any = None, verify: Any = True) -> None:
        """Keep them."""
        if headers is not None and not hasattr(headers, "items"):
            raise type_error("headers", "a dict of str to str, or None", headers)
        self.headers = headers
        self.auth = auth
        self.verify = verify

    def is_default(self) -> bool:
        """Tell whether nothing was given."""
        return self.headers is None and self.auth is None and self.verify is True

    def arguments(self, auth: Any) -> Any:
        """Check them; `auth` is what the server has of its own."""
        from toolbridge.mcp.client._http import DEFAULT_MAXIMUM_MESSAGE_BYTES, HttpArguments

        return HttpArguments(
            "",
            self.headers,
            30,
            300,
            self.auth if auth is None else auth,
            self.verify,
            None,
            None,
            None,
            ("maximum_message_bytes", DEFAULT_MAXIMUM_MESSAGE_BYTES),
        )


class Described(dict[str, "Any"]):
    """One server as in `mcpServers`, whose texts mean nothing but themselves."""


def read_servers(servers: Any, http: Http) -> list[_Entry]:
    """Read the servers of a client; what was ignored is logged."""
    if servers is None:
        return []
    if isinstance(servers, dict):
        if any(isinstance(servers.get(key), dict) for key in _SECTIONS):
            return _with_objects(servers, http)
        return [one for name, value in servers.items() for one in read_server(name, value, http)]
    if isinstance(servers, (list, tuple)):
        entries: list[_Entry] = []
        taken: set[str] = set()
        for one in servers:
            if isinstance(one, dict) or _is_path(one):
                entries += read_servers(one, http)
                continue
            name = _free(_name_of(one), taken)
            entries += read_server(name, one, http)
        return entries
    if _is_url(servers) or _is_stdio(servers):
        return list(read_server(_name_of(servers), servers, http))
    if _is_path(servers):
        from os import fspath
        from pathlib import Path

        if isinstance(servers, str) and "://" in servers:
            scheme = servers.partition("://")[0]
            message = (
                f"servers is a URL that begins with {scheme}://; it takes http:// and https://"
            )
            raise ConfigurationError(message)
        path = fspath(servers)
        if isinstance(path, str):
            check_plain("servers", path)
            if not path or (_is_address(path) and not Path(path).exists()):
                check_url("servers", path)
        return [_entry(one, http) for one in _load(path, is_path=True)]
    raise type_error("servers", _ACCEPTED, servers)


def read_server(name: str, value: Any, http: Http) -> Iterator[_Entry]:
    """Read one server; a dict is in the form of the `mcpServers` of desktop clients."""
    if not isinstance(name, str):
        raise type_error("the name of a server", "a str", name)
    if isinstance(value, Described):
        (config,) = _load({name: dict(value)}, expands=False)
        yield _entry(config, http)
    elif isinstance(value, dict):
        yield from _with_objects({"mcpServers": {name: value}}, http)
    elif _is_stdio(value):
        described = {"command": value.command, "args": list(value.args)}
        if value.env is not None:
            described["env"] = dict(value.env)
        if value.cwd is not None:
            described["cwd"] = str(value.cwd)
        yield from ((one, {}) for one in _load({name: described}, expands=False))
    elif _is_url(value):
        (config,) = _load({name: {"url": str(value)}}, expands=False)
        yield _entry(config, http)
    else:
        accepted = "a dict with a command or a url, a URL or a StdioServerParameters"
        raise type_error(f"the server {name!r}", accepted, value)


def _with_objects(configuration: dict[str, Any], http: Http) -> list[_Entry]:
    """Read a configuration in which `auth` may be an object, which JSON cannot hold."""
    plain = dict(configuration)
    objects: dict[str, Any] = {}
    for key in _SECTIONS:
        section = configuration.get(key)
        if not isinstance(section, dict):
            continue
        plain[key] = dict(section)
        for name, server in section.items():
            auth = server.get("auth") if isinstance(server, dict) else None
            if auth is not None and not isinstance(auth, str):
                objects[name] = auth
                plain[key][name] = {field: server[field] for field in server if field != "auth"}
    return [_entry(one, http, objects.get(one.name)) for one in _load(plain)]


def _entry(config: _toolbridge.ServerConfig, http: Http, auth: Any = None) -> _Entry:
    """Lay the settings of the client over those of a server; `auth` is the server's own."""
    if not config.has_url:
        if auth is None:
            return config, {}
        message = f"the server {config.name!r} has an auth, which is for a server behind a url"
        raise ConfigurationError(message)
    if auth is None and http.is_default():
        return config, {}
    return config, {"http": http.arguments(auth), "has_own_auth": auth is not None}


def _load(
    source: Any, *, is_path: bool = False, expands: bool = True
) -> list[_toolbridge.ServerConfig]:
    servers, notices = _toolbridge.load_servers(source, is_path, expands)
    if notices:
        import logging

        for notice in notices:
            logging.getLogger("toolbridge.mcp").warning("%s", notice)
    return servers


def _is_stdio(value: object) -> bool:
    return all(hasattr(value, name) for name in ("command", "args", "env", "cwd"))


def _is_url(value: object) -> bool:
    # The URL classes of pydantic, yarl and httpx are no str.
    if hasattr(value, "host") and hasattr(value, "scheme"):
        return True
    return isinstance(value, str) and value.lower().startswith(("http://", "https://"))


def _is_address(text: str) -> bool:
    """Tell whether a text that is no URL looks more like one than like a file."""
    host, slash, _ = text.partition("/")
    name, colon, port = host.partition(":")
    if colon and (slash or port.isdecimal()):
        return len(name) > 1
    return bool(slash) and "." in name.strip(".")


def _is_path(value: object) -> bool:
    return (isinstance(value, str) or hasattr(value, "__fspath__")) and not _is_url(value)


def _name_of(server: Any) -> str:
    """Name a server that was given without a name."""
    if _is_url(server):
        from urllib.parse import urlsplit

        try:
            parts = urlsplit(str(server))
            port = "" if parts.port is None else f"_{parts.port}"
        except ValueError as cause:
            message = f"servers has a URL that cannot be read: {cause}"
            raise ConfigurationError(message) from cause
        return f"{parts.hostname}{port}"
    if not _is_stdio(server):
        raise type_error("servers", _ACCEPTED, server)
    from pathlib import PurePath

    name = PurePath(server.command).stem
    if name.rstrip("0123456789.") in _LAUNCHERS:
        for argument in server.args:
            if not argument.startswith("-") and argument not in {"run", "exec", "tool", "x"}:
                return PurePath(argument).stem.split("@")[0] or name
    return name


def _free(name: str, taken: set[str]) -> str:
    candidate, number = name, 2
    while candidate in taken:
        candidate, number = f"{name}_{number}", number + 1
    taken.add(candidate)
    return candidate
