"""What a transport gives a session: two streams, which together are one connection."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from toolbridge import _toolbridge

# What the sessions of the official package do first with a stream is not there.
_FOREIGN = (
    "this is a stream of a toolbridge transport: give it to toolbridge.mcp.ClientSession; "
    "a session of another package, such as mcp.ClientSession, takes the streams of that package"
)


class TransportStream:
    """One direction of an open connection; a transport gives two of them.

    It has no methods: it is handed to ``ClientSession``.
    """

    __slots__ = ("_connection",)

    def __init__(self, connection: _toolbridge.Connection) -> None:
        """Wrap the native connection."""
        self._connection = connection

    def __getattr__(self, name: str) -> NoReturn:
        """Say whose stream this is."""
        message = f"{type(self).__name__} has no attribute {name!r}; {_FOREIGN}"
        raise AttributeError(message, name=name, obj=self)

    async def __aenter__(self) -> NoReturn:
        """Say whose stream this is."""
        raise TypeError(_FOREIGN)

    async def __aexit__(self, *_: object) -> None:
        """Never called: the stream cannot be entered."""
