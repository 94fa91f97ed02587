"""Calls that share their arguments: LiteLLM's client class, and the same for an event loop."""

from __future__ import annotations

from toolbridge.main import acompletion, completion

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, Literal, Self, overload

    from toolbridge.main import CustomStreamWrapper, ModelResponse

__all__ = ["AsyncLiteLLM", "LiteLLM"]


class _Client:
    """The arguments that all calls of a client have unless they have their own."""

    def __init__(
        self,
        *,
        api_key: str | None = None,
        organization: str | None = None,
        base_url: str | None = None,
        timeout: float | object | None = None,
        max_retries: int | None = None,
        default_headers: Mapping[str, str] | None = None,
        **defaults: Any,
    ) -> None:
        """Makes a client.

        Args:
            api_key: the key.
            organization: OpenAI's organization.
            base_url: where the endpoint is.
            timeout: as for :func:`toolbridge.acompletion`.
            max_retries: how often a request is repeated.
            default_headers: headers of every request; ``extra_headers`` of a call win.
            **defaults: any other argument of :func:`toolbridge.acompletion`, such as ``model``.
        """
        given = {
            "api_key": api_key,
            "organization": organization,
            "base_url": base_url,
            "timeout": timeout,
            "max_retries": max_retries,
            "headers": default_headers,
            **defaults,
        }
        self.params: dict[str, Any] = {
            name: value for name, value in given.items() if value is not None
        }

    @property
    def chat(self) -> Self:
        """As in the openai package."""
        return self

    @property
    def completions(self) -> Self:
        """As in the openai package."""
        return self

    def __repr__(self) -> str:
        # The values may be keys.
        return f"<{type(self).__name__} with {', '.join(self.params) or 'no arguments'}>"

    def _arguments(
        self, messages: Sequence[Any], model: str | None, own: Mapping[str, Any]
    ) -> dict[str, Any]:
        given = {name: value for name, value in own.items() if value is not None}
        arguments = {**self.params, **given, "messages": messages}
        model = model or arguments.get("model")
        if model is None:
            raise TypeError(
                'the call has no model: give model="openai/gpt-4o", here or to the client'
            )
        arguments["model"] = model
        # One address, whatever it is called.
        if "api_base" in own:
            arguments.pop("base_url", None)
        return arguments


class LiteLLM(_Client):
    """Calls that wait, with arguments in common.

    The name and the arguments are LiteLLM's. What one call is given does not stick to the next.

    Example:
        >>> client = toolbridge.LiteLLM(model="openai/gpt-4o", timeout=30)
        >>> client.chat.completions.create(messages=[{"role": "user", "content": "Hi"}])
    """

    if TYPE_CHECKING:

        @overload
        def create(
            self,
            messages: Sequence[Any],
            model: str | None = ...,
            *,
            stream: Literal[True],
            **kwargs: Any,
        ) -> CustomStreamWrapper: ...

        @overload
        def create(
            self,
            messages: Sequence[Any],
            model: str | None = ...,
            stream: Literal[False] | None = ...,
            **kwargs: Any,
        ) -> ModelResponse: ...

        @overload
        def create(
            self,
            messages: Sequence[Any],
            model: str | None = ...,
            *,
            stream: bool | None,
            **kwargs: Any,
        ) -> ModelResponse | CustomStreamWrapper: ...

    def create(
        self,
        messages: Sequence[Any],
        model: str | None = None,
        stream: bool | None = None,
        **kwargs: Any,
    ) -> ModelResponse | CustomStreamWrapper:
        """Asks for a completion; see :func:`toolbridge.completion`."""
        given: ModelResponse | CustomStreamWrapper = completion(
            **self._arguments(messages, model, {"stream": stream, **kwargs})
        )
        return given


class AsyncLiteLLM(_Client):
    """The same for an event loop: ``await client.chat.completions.create(…)``."""

    if TYPE_CHECKING:

        @overload
        async def create(
            self,
            messages: Sequence[Any],
            model: str | None = ...,
            *,
            stream: Literal[True],
            **kwargs: Any,
        ) -> CustomStreamWrapper: ...

        @overload
        async def create(
            self,
            messages: Sequence[Any],
            model: str | None = ...,
            stream: Literal[False] | None = ...,
            **kwargs: Any,
        ) -> ModelResponse: ...

        @overload
        async def create(
            self,
            messages: Sequence[Any],
            model: str | None = ...,
            *,
            stream: bool | None,
            **kwargs: Any,
        ) -> ModelResponse | CustomStreamWrapper: ...

    async def create(
        self,
        messages: Sequence[Any],
        model: str | None = None,
        stream: bool | None = None,
        **kwargs: Any,
    ) -> ModelResponse | CustomStreamWrapper:
        """Asks for a completion; see :func:`toolbridge.acompletion`."""
        given: ModelResponse | CustomStreamWrapper = await acompletion(
            **self._arguments(messages, model, {"stream": stream, **kwargs})
        )
        return given
