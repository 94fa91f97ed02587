"""A gateway inside a Python program: the same engine as ``toolbridge serve``."""

from __future__ import annotations

from toolbridge import _toolbridge
from toolbridge.mcp.client._arguments import check_bool, check_str, type_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from os import PathLike
    from types import TracebackType
    from typing import Any, Self

__all__ = ["Gateway"]

# Addresses that are listened on, but that nobody can connect to.
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104
_HIGHEST_PORT = 65535


class Gateway:
    """Many MCP servers and many models behind one address; an asynchronous context manager.

    ``async with Gateway("config.yaml") as gateway:`` listens, and begins to connect to the servers
    without waiting for them. It may be entered in one cell of a notebook and used from others; Python
    is not on the way of a request.

    Args:
        config: A file in the form of LiteLLM's ``config.yaml``, or a dict in the same form.
        host: The address to listen on. Another one than this machine's needs a key in the
            configuration. Default: ``"127.0.0.1"``.
        port: The port to listen on. Default: 0, which takes a free one.
        strict: Refuses a configuration that has keys which are unknown or not implemented. Default:
            they are listed in `notices`.
    """

    def __init__(
        self,
        config: str | PathLike[str] | Mapping[str, Any],
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        strict: bool = False,
    ) -> None:
        """See the class."""
        check_str("host", host)
        if isinstance(port, bool) or not isinstance(port, int):
            raise type_error("port", "an int", port)
        if not 0 <= port <= _HIGHEST_PORT:
            message = f"port is {port}; it takes a number from 0 to {_HIGHEST_PORT}"
            raise ValueError(message)
        self._config, self._is_path = _source(config)
        self._host = host
        self._port = port
        self._strict = check_bool("strict", strict)
        self._gateway: _toolbridge.Gateway | None = None
        self._is_entered = False
        self._notices: list[str] = []

    async def __aenter__(self) -> Self:
        """Start it.

        Raises:
            ConfigurationError: The configuration cannot be used, or the address cannot be listened on;
                the message names the file, the line and the key, what was found and what is accepted.
            RuntimeError: It was entered before.
        """
        if self._is_entered:
            message = "this Gateway was entered before; make a new one"
            raise RuntimeError(message)
        self._is_entered = True
        self._gateway, self._notices = await _toolbridge.start_gateway(
            self._config, self._is_path, self._host, self._port, self._strict
        )
        return self

    async def __aexit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End it once what is in flight is done."""
        await self.aclose()

    @property
    def address(self) -> tuple[str, int]:
        """The address and the port that it listens on."""
        return self._native().address()

    @property
    def url(self) -> str:
        """The base URL for clients on this machine, as in ``http://127.0.0.1:4000``."""
        host, port = self.address
        host = _EVERYWHERE.get(host, host)
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    @property
    def notices(self) -> list[str]:
        """What was ignored in the configuration, one sentence each, with file and line."""
        return list(self._notices)

    async def reload(self, config: str | PathLike[str] | Mapping[str, Any] | None = None) -> None:
        """Serve by another configuration from the next request on.

        What is in flight ends by the old one, and servers that did not change keep their connections.

        Args:
            config: As of the class. Default: the same file, read again.

        Raises:
            ConfigurationError: It cannot be used; the old one stays in force.
            RuntimeError: The gateway has not been entered, or was closed.
        """
        gateway = self._native()
        source, is_path = (self._config, self._is_path) if config is None else _source(config)
        self._notices = await gateway.reload(source, is_path, self._strict)
        self._config, self._is_path = source, is_path

    async def aclose(self) -> None:
        """End it once what is in flight is done; closing twice does nothing."""
        gateway, self._gateway = self._gateway, None
        closing = None if gateway is None else gateway.close()
        if closing is not None:
            await closing

    def _native(self) -> _toolbridge.Gateway:
        if self._gateway is None:
            state = "was closed" if self._is_entered else "has not been entered"
            message = f"the gateway {state}; use: async with Gateway(…) as gateway"
            raise RuntimeError(message)
        return self._gateway

    def __repr__(self) -> str:
        """Show where it listens."""
        return f"<Gateway at {self.url}>" if self._gateway is not None else "<Gateway, not running>"


def _source(config: object) -> tuple[Any, bool]:
    """Tell a file from an object."""
    from collections.abc import Mapping
    from os import PathLike, fspath

    if isinstance(config, str | PathLike):
        return fspath(config), True
    if isinstance(config, Mapping):
        return dict(config), False
    accepted = "the path of a file, or a dict in the form of config.yaml"
    raise type_error("config", accepted, config)
