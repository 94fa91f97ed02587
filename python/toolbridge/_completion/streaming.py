"""The stream of a completion, as users iterate over it."""

from __future__ import annotations

from toolbridge._toolbridge import ChatStream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Self

    from toolbridge._toolbridge import ChatStreamSource

__all__ = ["CustomStreamWrapper", "wrap_stream"]


class CustomStreamWrapper(ChatStream):
    """Iterates over the chunks of a completion: ``async for`` in a loop, ``for`` without one.

    The chunks are :class:`toolbridge.types.ModelResponseStream` values. Only the first chunk of a
    choice has a role. The connection is given back at the end, and closed by :meth:`aclose`,
    :meth:`close`, the end of an ``async with`` or ``with`` block, or when nothing refers to the
    stream any more. ``_hidden_params`` holds facts about the call, as for a whole response.

    Raises:
        APIConnectionError: while iterating, when the stream ends before the answer does.
        APIError: while iterating, when the provider reports an error in the middle of the stream;
            with a status of its own it is the class of that status.
        Timeout: while iterating, when nothing comes for as long as ``timeout`` allows.
    """

    # A stream that nobody gave facts to reads as one without any.
    _facts: dict[str, Any] | None = None

    @property
    def _hidden_params(self) -> dict[str, Any]:
        if self._facts is None:
            self._facts = {}
        return self._facts

    @_hidden_params.setter
    def _hidden_params(self, facts: dict[str, Any]) -> None:
        self._facts = facts

    @property
    def model(self) -> str | None:
        """The model, as the caller named it."""
        return self._hidden_params.get("litellm_model_name")

    @property
    def custom_llm_provider(self) -> str | None:
        """The provider, as in ``openai``."""
        return self._hidden_params.get("custom_llm_provider")

    async def aclose(self) -> None:
        """Ends the request; the iteration is over. Does nothing when it is called again."""
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exception: object) -> None:
        self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<CustomStreamWrapper of {self.model}>"


def wrap_stream(begun: tuple[ChatStreamSource, dict[str, Any]]) -> CustomStreamWrapper:
    """Makes the public stream of one that has begun."""
    source, facts = begun
    stream = CustomStreamWrapper(source)
    stream._facts = facts
    return stream
