"""What a transport gives a session: two streams, which together are one connection."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from toolbridge import _toolbridge


class TransportStream:
    """One direction of an open connection; a transport gives two of them.

    It has no methods: it is handed to ``ClientSession``.
    """

    __slots__ = ("_connection",)

    def __init__(self, connection: _toolbridge.Connection) -> None:
        """Wrap the native connection."""
        self._connection = connection
