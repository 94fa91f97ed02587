"""Changes at a server that are told as they happen: ``subscriptions/listen`` of MCP 2026-07-28.

The names are those of ``mcp.client.subscriptions``.
"""

from __future__ import annotations

from toolbridge.exceptions import ConnectionClosedError
from toolbridge.mcp import types
from toolbridge.mcp.client._arguments import type_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

    from toolbridge import _toolbridge

__all__ = [
    "ListenNotSupportedError",
    "PromptsListChanged",
    "ResourceUpdated",
    "ResourcesListChanged",
    "ServerEvent",
    "Subscription",
    "SubscriptionLost",
    "ToolsListChanged",
]


class ListenNotSupportedError(RuntimeError):
    """The server speaks a revision that has no ``subscriptions/listen``."""

    def __init__(self, negotiated_version: str | None) -> None:
        """Name the revision."""
        self.negotiated_version = negotiated_version
        super().__init__(
            f"the revision that was agreed on, {negotiated_version}, has no subscriptions/listen, "
            "which came with 2026-07-28; use subscribe_resource(), and hear of changed lists with "
            "message_handler"
        )


class SubscriptionLost(RuntimeError):  # noqa: N818 - the official name
    """A subscription ended without the server's word: subscribe again, and read again."""


class _Event:
    """A change; equal to another of its class with the same fields."""

    __slots__: tuple[str, ...] = ()

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    def __hash__(self) -> int:
        return hash((type(self), *(getattr(self, name) for name in self.__slots__)))

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__slots__)
        return f"{type(self).__name__}({fields})"


class ToolsListChanged(_Event):
    """The list of tools has changed."""

    __slots__ = ()


class PromptsListChanged(_Event):
    """The list of prompts has changed."""

    __slots__ = ()


class ResourcesListChanged(_Event):
    """The list of resources has changed."""

    __slots__ = ()


class ResourceUpdated(_Event):
    """The resource at ``uri`` has changed."""

    __slots__ = ("uri",)

    def __init__(self, uri: str) -> None:
        """Name the resource."""
        self.uri = uri


ServerEvent = ToolsListChanged | PromptsListChanged | ResourcesListChanged | ResourceUpdated

_LISTS: dict[str, type[ToolsListChanged | PromptsListChanged | ResourcesListChanged]] = {
    "tools": ToolsListChanged,
    "prompts": PromptsListChanged,
    "resources": ResourcesListChanged,
}


class Subscription:
    """An open subscription: an asynchronous iterator of changes.

    It ends when the server ends it. Equal changes that wait to be read are told once.

    Attributes:
        honored: What the server agreed to tell, of all that it was asked for.
    """

    __slots__ = ("_subscription", "honored")

    def __init__(self, subscription: _toolbridge.Subscription) -> None:
        """Wrap the native subscription."""
        self._subscription = subscription
        self.honored = types.SubscriptionFilter._wrap(subscription.honored())

    def __aiter__(self) -> Self:
        """Iterate over the changes."""
        return self

    async def __anext__(self) -> ServerEvent:
        """Wait for the next change.

        Raises:
            SubscriptionLost: The subscription ended without the server's word.
        """
        try:
            told = await self._subscription.next()
        except ConnectionClosedError as failure:
            raise SubscriptionLost(str(failure)) from failure
        if told is None:
            raise StopAsyncIteration
        kind, uri = told
        return _LISTS[kind]() if uri is None else ResourceUpdated(uri)


class Listening:
    """What ``listen()`` gives: entering it subscribes, leaving it ends the subscription."""

    __slots__ = ("_filter", "_session", "_subscription", "_timeout")

    def __init__(
        self,
        session: _toolbridge.Session,
        timeout: float | None,
        tools_list_changed: bool,
        prompts_list_changed: bool,
        resources_list_changed: bool,
        resource_subscriptions: Sequence[str],
    ) -> None:
        """Keep what is asked for; nothing is sent yet."""
        if isinstance(resource_subscriptions, str) or not all(
            isinstance(uri, str) for uri in resource_subscriptions
        ):
            raise type_error("resource_subscriptions", "a list of str", resource_subscriptions)
        wanted: dict[str, object] = {
            "toolsListChanged": bool(tools_list_changed),
            "promptsListChanged": bool(prompts_list_changed),
            "resourcesListChanged": bool(resources_list_changed),
            "resourceSubscriptions": list(resource_subscriptions),
        }
        self._filter = {name: value for name, value in wanted.items() if value}
        self._session = session
        self._timeout = timeout
        self._subscription: _toolbridge.Subscription | None = None

    async def __aenter__(self) -> Subscription:
        """Subscribe, and wait for the acknowledgment."""
        version = self._session.version()
        if version is None or version < "2026-07-28":
            raise ListenNotSupportedError(version)
        try:
            self._subscription = await self._session.listen(self._filter, self._timeout)
        except ConnectionClosedError as failure:
            raise SubscriptionLost(str(failure)) from failure
        return Subscription(self._subscription)

    async def __aexit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the subscription."""
        if self._subscription is not None:
            self._subscription.close()
