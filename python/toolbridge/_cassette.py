"""Runs that are recorded to a file and replayed from it: `toolbridge.cassette`."""

from __future__ import annotations

from contextvars import ContextVar

from toolbridge._toolbridge import Cassette

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextvars import Token
    from os import PathLike
    from types import TracebackType
    from typing import Literal, Self

__all__ = ["cassette", "current", "is_replaying"]

_current: ContextVar[Cassette | None] = ContextVar("toolbridge_cassette", default=None)
_MODES = ("auto", "record", "replay")


def current() -> Cassette | None:
    """Give the cassette of this context, if there is one."""
    return _current.get()


def is_replaying() -> bool:
    """Tell whether what happens here comes from a cassette."""
    tape = _current.get()
    return tape is not None and tape.is_replaying


class cassette:  # noqa: N801 - used as a function is
    """Record what the runs in a block ask of models and servers, and replay it later, offline.

    ``with toolbridge.cassette("run.yaml"):`` around `toolbridge.Client.run`, and around
    ``acompletion`` with tools of the type ``mcp``: while the file does not exist, it is written at
    the end of the block; from then on models and servers are not asked any more, no server is
    started, and a request that is not in the file is a `ConfigurationError` that says where it
    differs. ``async with`` does the same.

    Keys and headers never are in the file, nor are values of members that are called
    ``password``, ``api_key``, ``authorization`` and the like.

    Args:
        path: The file, YAML.
        mode: ``"auto"``, ``"record"`` (write it anew) or ``"replay"`` (it has to exist).
        secrets: Further texts that are taken out wherever they stand. Default: none.

    Raises:
        ConfigurationError: The file cannot be read, or is no cassette.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        mode: Literal["auto", "record", "replay"] = "auto",
        *,
        secrets: Sequence[str] = (),
    ) -> None:
        """See the class."""
        if mode not in _MODES:
            from toolbridge.exceptions import ConfigurationError

            message = f"mode is {mode!r}; it takes {', '.join(map(repr, _MODES))}"
            raise ConfigurationError(message)
        self._path = path
        self._mode = mode
        self._secrets = list(secrets)
        self._tape: Cassette | None = None
        self._token: Token[Cassette | None] | None = None

    def __enter__(self) -> Self:
        """Begin to record or to replay."""
        from pathlib import Path

        replays = self._mode == "replay" or (self._mode == "auto" and Path(self._path).exists())
        self._tape = Cassette(self._path, replays)
        self._tape.hide(self._secrets)
        self._token = _current.set(self._tape)
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Write what was recorded."""
        if self._token is not None:
            _current.reset(self._token)
        text = None if self._tape is None else self._tape.written()
        if text is None:
            return
        import os
        from pathlib import Path

        whole = Path(self._path)
        part = whole.with_name(f"{whole.name}.{os.getpid()}.part")
        part.write_text(text, encoding="utf-8")
        part.replace(whole)

    async def __aenter__(self) -> Self:
        """As ``with``."""
        return self.__enter__()

    async def __aexit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """As ``with``."""
        self.__exit__(exception_type, exception, traceback)

    def __repr__(self) -> str:
        """Show the file and what is done with it."""
        return f"<cassette {str(self._path)!r} {self._mode}>"
