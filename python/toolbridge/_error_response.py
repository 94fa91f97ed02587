"""What a provider answered when its answer was an error."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

__all__ = ["ErrorResponse", "Headers"]


class Headers(dict[str, str]):
    """Headers by their names in lower case, read in any case."""

    __slots__ = ()

    def __init__(self, headers: Mapping[str, str] | None = None) -> None:
        pairs = dict(headers or {}).items()
        super().__init__({str(name).lower(): str(value) for name, value in pairs})

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(name.lower())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and super().__contains__(name.lower())

    def get(self, name: str, default: Any = None) -> Any:
        return super().get(name.lower(), default)


class ErrorResponse:
    """The answer of a provider that was an error, with the names of ``httpx.Response``.

    Args:
        status_code: the HTTP status.
        headers: the headers, found in any case.
        text: the body.
    """

    __slots__ = ("headers", "status_code", "text")

    def __init__(
        self, status_code: int, headers: Mapping[str, str] | None = None, text: str = ""
    ) -> None:
        self.status_code = status_code
        self.headers = Headers(headers)
        self.text = text

    @property
    def content(self) -> bytes:
        """The body as bytes."""
        return self.text.encode()

    def json(self) -> Any:
        """The body, decoded.

        Raises:
            ValueError: the body is not JSON.
        """
        import json

        return json.loads(self.text)

    def __repr__(self) -> str:
        return f"<ErrorResponse [{self.status_code}]>"
