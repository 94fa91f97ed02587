"""The stdio transport: a server that is a child process.

Follows the stdio transport of the MCP specification and the names of ``mcp.client.stdio``. The
process itself is the native module's; this file holds the signatures.
"""

from __future__ import annotations

from toolbridge import _toolbridge
from toolbridge.mcp.client._arguments import check_plain, type_error
from toolbridge.mcp.client._streams import TransportStream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from os import PathLike
    from types import EllipsisType, TracebackType
    from typing import Any, TextIO

__all__ = ["StdioServerParameters", "get_default_environment", "stdio_client"]


def get_default_environment() -> dict[str, str]:
    """Return the variables that a server inherits: a short list that holds no secrets.

    The list is the official SDK's; exported shell functions are left out.

    Returns:
        The variables of this process that are on the list.
    """
    import os

    return {
        name: value
        for name in _toolbridge.INHERITED_VARIABLES
        if (value := os.environ.get(name)) is not None and not value.startswith("()")
    }


class StdioServerParameters:
    """How to start a server that speaks MCP on its standard input and output.

    Args:
        command: The executable; looked up on the ``PATH`` of the server's environment.
        args: Its arguments. Default: none.
        env: Variables beside those of `get_default_environment`. Default: none.
        cwd: Its working directory. Default: that of this process.
        encoding: The text encoding of the messages; MCP messages are UTF-8, so only ``"utf-8"``
            is accepted.
        encoding_error_handler: Accepted for the official signature. Bytes that are not UTF-8 are
            no message: they are reported and skipped.

    Raises:
        TypeError: An argument has a type that it does not take; the message names it.
        ValueError: ``encoding`` is not UTF-8, ``command`` is empty, or a text holds what no process
            can be given (a NUL, a name with ``=`` in ``env``).
    """

    __slots__ = ("args", "command", "cwd", "encoding", "encoding_error_handler", "env")

    command: str
    args: list[str]
    env: dict[str, str] | None
    cwd: str | PathLike[str] | None
    encoding: str
    encoding_error_handler: str

    def __init__(
        self,
        command: str,
        args: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        cwd: str | PathLike[str] | None = None,
        encoding: str = "utf-8",
        encoding_error_handler: str = "strict",
    ) -> None:
        """See the class."""
        if not isinstance(command, str):
            raise type_error("command", "a str", command)
        if not command.strip():
            message = "command is empty; it takes the name or path of the server's executable"
            raise ValueError(message)
        if not isinstance(args, (list, tuple)) or not all(isinstance(one, str) for one in args):
            raise type_error("args", "a list of str", args)
        if env is not None and not (
            hasattr(env, "items")
            and all(isinstance(name, str) and isinstance(env[name], str) for name in env)
        ):
            raise type_error("env", "a dict of str to str, or None", env)
        if cwd is not None and not isinstance(cwd, str) and not hasattr(cwd, "__fspath__"):
            raise type_error("cwd", "a path or None", cwd)
        for name, value in (
            ("encoding", encoding),
            ("encoding_error_handler", encoding_error_handler),
        ):
            if not isinstance(value, str):
                raise type_error(name, "a str", value)
        if encoding.lower().replace("_", "-") not in {"utf-8", "utf8"}:
            message = f"encoding is {encoding!r}; MCP messages are UTF-8, so it takes 'utf-8'"
            raise ValueError(message)
        check_plain("command", command)
        for at, argument in enumerate(args):
            check_plain(f"args[{at}]", argument)
        for name, value in (env or {}).items():
            if not name or "=" in name:
                message = f"env has a variable {name!r}; a name is not empty and holds no '='"
                raise ValueError(message)
            check_plain(f"env: the name {name!r}", name)
            check_plain(f"env: the value of {name!r}", value)
        if isinstance(cwd, str):
            if not cwd:
                message = "cwd is empty; it takes the path of a folder, or None"
                raise ValueError(message)
            check_plain("cwd", cwd)
        self.command = command
        self.args = list(args)
        self.env = None if env is None else dict(env)
        self.cwd = cwd
        self.encoding = encoding
        self.encoding_error_handler = encoding_error_handler

    def __repr__(self) -> str:
        """Show the command; arguments and variables may be secrets and are counted only."""
        return (
            f"StdioServerParameters(command={self.command!r}, args=<{len(self.args)}>, "
            f"env=<{len(self.env or ())}>, cwd={self.cwd!r})"
        )

    def __eq__(self, other: object) -> bool:
        """Compare every parameter."""
        if not isinstance(other, StdioServerParameters):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    def __hash__(self) -> int:
        """Hash the parameters that never are containers."""
        return hash((self.command, tuple(self.args), str(self.cwd)))


class stdio_client:  # noqa: N801 - the official name of this context manager
    """Start a server and connect to it; an asynchronous context manager of ``(read, write)``.

    At the end the server's input is closed; if it does not exit within two seconds it gets
    SIGTERM, and two seconds later SIGKILL, with every process of its process group. It may be
    closed from any task, thread or event loop, before or after the session.

    Args:
        server: How to start the server, or an official ``StdioServerParameters``.
        errlog: Where the server's standard error goes: a text file, or None for nowhere. Default:
            ``sys.stderr``. It is read all the time, so a full terminal never blocks the server.
        maximum_message_bytes: The largest message that is read, in bytes. Default: 256 MiB. The
            caller of a larger answer gets a ``TransportError``.

    Raises:
        TransportError: The server could not be started; the message names the command.
    """

    __slots__ = ("_connection", "_errlog", "_maximum", "_server")

    def __init__(
        self,
        server: StdioServerParameters,
        errlog: TextIO | EllipsisType | None = ...,
        *,
        maximum_message_bytes: int = _toolbridge.DEFAULT_MAXIMUM_MESSAGE_BYTES,
    ) -> None:
        """See the class."""
        if not isinstance(server, StdioServerParameters):
            if not all(hasattr(server, name) for name in ("command", "args", "env", "cwd")):
                raise type_error("server", "a StdioServerParameters", server)
            server = StdioServerParameters(server.command, server.args, server.env, server.cwd)
        if isinstance(maximum_message_bytes, bool) or not isinstance(maximum_message_bytes, int):
            raise type_error("maximum_message_bytes", "a positive int", maximum_message_bytes)
        if maximum_message_bytes < 1:
            message = f"maximum_message_bytes is {maximum_message_bytes}; it takes a positive int"
            raise ValueError(message)
        if errlog is not ... and errlog is not None and not hasattr(errlog, "write"):
            raise type_error("errlog", "a text file or None", errlog)
        self._server = server
        self._errlog = errlog
        self._maximum = maximum_message_bytes
        self._connection: _toolbridge.Connection | None = None

    async def __aenter__(self) -> tuple[TransportStream, TransportStream]:
        """Start the server."""
        from os import fspath

        if self._connection is not None:
            message = "this stdio_client was entered before; make a new one for another server"
            raise RuntimeError(message)
        server = self._server
        cwd = None if server.cwd is None else fspath(server.cwd)
        self._connection = await _toolbridge.open_stdio(
            server.command,
            server.args,
            server.env or {},
            cwd,
            self._maximum,
            _native_errlog(self._errlog),
        )
        return TransportStream(self._connection), TransportStream(self._connection)

    def _again(self) -> stdio_client:
        """Make the same anew, for another start of the server."""
        return stdio_client(self._server, self._errlog, maximum_message_bytes=self._maximum)

    async def __aexit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the server."""
        closing = None if self._connection is None else self._connection.close()
        if closing is not None:
            await closing


def _native_errlog(errlog: TextIO | EllipsisType | None) -> object:
    """Give the native module a descriptor of its own, or a function where there is none."""
    import os
    import sys

    target: Any = sys.stderr if errlog is ... else errlog
    if target is None:
        return None
    try:
        # What was written to the file before stands before what the server writes.
        target.flush()
        return os.dup(target.fileno())
    except (AttributeError, OSError, ValueError):
        # A notebook's stream, a StringIO: no descriptor, so text is written to the object.
        return _LogWriter(target)


class _LogWriter:
    """Writes what the server says to an object that has no file descriptor."""

    __slots__ = ("_target",)

    def __init__(self, target: Any) -> None:
        self._target = target

    def __call__(self, text: str) -> None:
        try:
            self._target.write(text)
            if hasattr(self._target, "flush"):
                self._target.flush()
        except Exception:  # noqa: BLE001 - whatever a foreign object raises
            # A file that was closed meanwhile: the log has ended, the session goes on.
            return
