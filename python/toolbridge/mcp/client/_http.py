"""What the arguments of the HTTP transports mean, a client object of httpx included."""

from __future__ import annotations

import sys

from toolbridge import _toolbridge
from toolbridge.mcp.client._arguments import (
    check_plain,
    check_unicode,
    check_url,
    read_seconds,
    type_error,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import timedelta
    from types import TracebackType
    from typing import Any

    from toolbridge.mcp.client.auth.provider import Provider

DEFAULT_MAXIMUM_MESSAGE_BYTES = _toolbridge.DEFAULT_MAXIMUM_MESSAGE_BYTES

# What httpx puts into every client; the engine has its own.
_HTTPX_DEFAULTS = ("accept", "accept-encoding", "connection")


class HttpArguments:
    """The checked arguments of one HTTP transport."""

    __slots__ = (
        "_provider",
        "cert",
        "headers",
        "maximum",
        "proxy",
        "read_timeout",
        "timeout",
        "uds",
        "url",
        "verify",
    )

    def __init__(
        self,
        url: object,
        headers: Mapping[str, Any] | None,
        timeout: timedelta | float | None,
        sse_read_timeout: timedelta | float | None,
        auth: object,
        verify: bool | str,
        cert: str | None,
        proxy: str | None,
        uds: str | None,
        maximum: tuple[str, int],
    ) -> None:
        """Check and keep them; `maximum` is a name and a value."""
        if url is None or isinstance(url, (bytes, bool, int, float, list, dict)):
            raise type_error("url", "a str or a URL object", url)
        if headers is not None and not hasattr(headers, "items"):
            raise type_error("headers", "a dict of str to str, or None", headers)
        for name, value in (headers or {}).items():
            if not isinstance(name, str) or not isinstance(value, str):
                raise type_error("headers", "a dict of str to str, or None", value)
            check_unicode("headers: a name", name)
            check_unicode(f"headers: the value of {name}", value)
        if not isinstance(verify, (bool, str)) and not hasattr(verify, "__fspath__"):
            raise type_error("verify", "a bool or the path of a PEM file", verify)
        for argument, path, accepted in (
            ("cert", cert, "the path of a PEM file, or None"),
            ("uds", uds, "the path of a Unix socket, or None"),
        ):
            if path is not None and not isinstance(path, str) and not hasattr(path, "__fspath__"):
                raise type_error(argument, accepted, path)
            if isinstance(path, str):
                check_plain(argument, path)
        if proxy is not None and isinstance(proxy, (bytes, bool, int, float, list, dict)):
            raise type_error("proxy", "a str, a URL object or None", proxy)
        name, size = maximum
        if isinstance(size, bool) or not isinstance(size, int):
            raise type_error(name, "a positive int", size)
        if size < 1:
            message = f"{name} is {size}; it takes a positive int"
            raise ValueError(message)
        self._provider: Provider | None = None
        self.url = str(url)
        if url != "":
            check_url("url", self.url)
        self.headers = list((headers or {}).items())
        self.timeout = read_seconds("timeout", timeout)
        self.read_timeout = read_seconds("sse_read_timeout", sse_read_timeout)
        self.verify: bool | str | list[bytes] = verify
        self.cert = cert
        self.proxy = None if proxy is None else str(proxy)
        self.uds = uds
        # More than any machine has.
        self.maximum = min(size, sys.maxsize)
        self.add_auth("auth", auth)

    def add_auth(self, name: str, auth: object) -> None:
        """Turn credentials into the header that they stand for."""
        if auth is None:
            return
        if hasattr(auth, "_authorization"):
            from toolbridge.mcp.client.auth.provider import Provider

            if isinstance(auth, Provider):
                self._provider = auth
                return
        for text in (auth,) if isinstance(auth, str) else auth if isinstance(auth, tuple) else ():
            if isinstance(text, str):
                check_unicode(name, text)
        if auth == "":
            message = f"{name} is empty; it takes a bearer token, or None for no authorization"
            raise ValueError(message)
        if isinstance(auth, str):
            value = f"Bearer {auth}"
        elif isinstance(auth, tuple) and [type(one) for one in auth] == [str, str]:
            from base64 import b64encode

            value = "Basic " + b64encode(":".join(auth).encode()).decode("ascii")
        elif isinstance(basic := getattr(auth, "_auth_header", None), str):
            # httpx.BasicAuth: the header is all that it holds.
            value = basic
        else:
            accepted = (
                "a str (a bearer token), a (user, password) tuple, a provider of "
                "toolbridge.mcp.client.auth or None; give any other credentials with "
                "headers={'Authorization': …}"
            )
            if type(auth).__module__.startswith("mcp."):
                accepted += (
                    f". This is the {type(auth).__name__} of the official mcp package: import the "
                    f"one of the same name from {type(auth).__module__.replace('mcp', 'toolbridge.mcp', 1)}"
                )
            raise type_error(name, accepted, auth)
        self.headers = [one for one in self.headers if one[0].lower() != "authorization"]
        self.headers.append(("Authorization", value))

    @property
    def authorization(self) -> _toolbridge.Authorization | None:
        """What gives the requests their tokens; on the loop that opens the connection."""
        return None if self._provider is None else self._provider._bound()

    def add_client(self, name: str, client: Any) -> None:
        """Read the settings of an httpx client; one that cannot be read is named."""
        if not is_httpx_client(client):
            accepted = "an httpx.AsyncClient; give headers, auth and timeout without one"
            raise type_error(name, accepted, client)
        if any(client.event_hooks.values()):
            message = f"{name} has event hooks, which are not called; give headers={{…}} instead"
            raise ValueError(message)
        if len(client.cookies):
            message = f"{name} has cookies; give them with headers={{'Cookie': …}}"
            raise ValueError(message)
        transport = client._transport
        pool = getattr(transport, "_pool", None)
        if type(transport).__name__ != "AsyncHTTPTransport" or pool is None:
            found = type(transport).__name__
            message = (
                f"{name} has a transport of its own, {found}, which is not used; give a URL that "
                "the engine can reach, and headers, auth and verify instead"
            )
            raise ValueError(message)
        self._check_proxies(name, client, pool)
        own = {key.lower() for key, _ in self.headers}
        for key, value in client.headers.multi_items():
            is_default = key in _HTTPX_DEFAULTS or (
                key == "user-agent" and value.startswith("python-httpx")
            )
            if not is_default and key not in own:
                self.headers.append((key, value))
        self.add_auth(name, client.auth)
        self.timeout = read_seconds(name, client.timeout.connect)
        self.read_timeout = read_seconds(name, client.timeout.read)
        self.uds = getattr(pool, "_uds", None) or self.uds
        context = getattr(pool, "_ssl_context", None)
        if context is not None and self.url.startswith("https:"):
            import ssl

            if context.verify_mode == ssl.CERT_NONE:
                self.verify = False
            else:
                self.verify = context.get_ca_certs(binary_form=True) or True

    def _check_proxies(self, name: str, client: Any, pool: object) -> None:
        """Refuse a proxy that the environment does not name: its credentials are not to be had."""
        from urllib.request import getproxies

        has_proxy = any(mount is not None for mount in client._mounts.values())
        if "Proxy" in type(pool).__name__ or (has_proxy and not getproxies()):
            message = (
                f"{name} has a proxy, which is not read; give it with proxy=… (sse_client, "
                "streamablehttp_client and streamable_http_client take it), or with HTTPS_PROXY "
                "or HTTP_PROXY in the environment"
            )
            raise ValueError(message)


class Timeouts(tuple[float | None, ...]):
    """What httpx takes as the four time limits of a client, with the names of `httpx.Timeout`."""

    __slots__ = ()

    @property
    def connect(self) -> float | None:
        """Of a connection."""
        return self[0]

    @property
    def read(self) -> float | None:
        """Of each wait for bytes."""
        return self[1]

    @property
    def write(self) -> float | None:
        """Of each wait to send."""
        return self[2]

    @property
    def pool(self) -> float | None:
        """Of the wait for a free connection."""
        return self[3]


def is_httpx_client(client: object) -> bool:
    """Tell an httpx.AsyncClient, or a subclass of it."""
    return any(
        base.__name__ == "AsyncClient" and base.__module__.startswith("httpx")
        for base in type(client).__mro__
    )


class HttpTransport:
    """The state that the context managers of the HTTP transports share."""

    __slots__ = ("_arguments", "_auth", "_connection", "_factory")

    def __init__(
        self, arguments: HttpArguments, factory: Callable[..., Any] | None, auth: object
    ) -> None:
        """Keep the arguments; nothing is opened yet."""
        if factory is not None and not callable(factory):
            raise type_error("httpx_client_factory", "a function or None", factory)
        if factory is not None and hasattr(auth, "_authorization"):
            # The engine's to use: httpx knows nothing of it.
            arguments.add_auth("auth", auth)
            auth = None
        self._arguments = arguments
        self._factory = factory
        self._auth = auth
        self._connection: _toolbridge.Connection | None = None

    async def _prepare(self) -> HttpArguments:
        """Ask the factory, if there is one, for the settings that it stands for."""
        if self._connection is not None:
            message = (
                f"this {type(self).__name__} was entered before; make a new one for another "
                "connection"
            )
            raise RuntimeError(message)
        if self._factory is not None:
            name = "httpx_client_factory"
            limit = self._arguments.timeout
            timeouts = Timeouts((limit, self._arguments.read_timeout, limit, limit))
            client = self._factory(
                headers=dict(self._arguments.headers), timeout=timeouts, auth=self._auth
            )
            try:
                self._arguments.add_client(name, client)
            finally:
                if is_httpx_client(client):
                    await client.aclose()
        return self._arguments

    async def __aexit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the connection."""
        closing = None if self._connection is None else self._connection.close()
        if closing is not None:
            await closing


def unlimited(size: int | None) -> int:
    """Read a limit that None lifts."""
    return sys.maxsize if size is None else size
