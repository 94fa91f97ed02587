"""What a transport gives a session: two streams, which together are one connection."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from toolbridge import _toolbridge


class TransportStream:
    """One direction of an open connection; a transport gives two of them.

    It has no methods: it is handed to ``ClientSession``.
    """

    __slots__ = ("_connection", "_reopen")

    def __init__(
        self,
        connection: _toolbridge.Connection,
        reopen: Callable[[], Awaitable[_toolbridge.Connection]] | None = None,
    ) -> None:
        """Wrap the native connection; `reopen` gives another one to the same server."""
        self._connection = connection
        self._reopen = reopen
