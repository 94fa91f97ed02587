"""The parts of a timeout."""

from __future__ import annotations

__all__ = ["Timeouts"]


class Timeouts:
    """How long the parts of a completion call may take, for ``timeout``.

    A part that is left out has its default. A dict with the same names does as well.

    Args:
        connect: seconds until the connection is made; 10 by default.
        first_token: seconds until the first chunk of a stream, the time in which the model reads
            the messages; 600 by default. It counts for each repetition anew.
        between_tokens: seconds between two chunks of a stream; 600 by default.
        total: seconds from the call to the end of the answer or of the stream, repetitions and
            their waits included; no limit by default.
    """

    __slots__ = ("between_tokens", "connect", "first_token", "total")

    connect: float | None
    first_token: float | None
    between_tokens: float | None
    total: float | None

    def __init__(
        self,
        *,
        connect: float | None = None,
        first_token: float | None = None,
        between_tokens: float | None = None,
        total: float | None = None,
    ) -> None:
        self.connect = connect
        self.first_token = first_token
        self.between_tokens = between_tokens
        self.total = total

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Timeouts):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    def __hash__(self) -> int:
        return hash((self.connect, self.first_token, self.between_tokens, self.total))

    def __repr__(self) -> str:
        names = ("connect", "first_token", "between_tokens", "total")
        parts = ((name, getattr(self, name)) for name in names)
        return f"Timeouts({', '.join(f'{name}={value}' for name, value in parts if value)})"
