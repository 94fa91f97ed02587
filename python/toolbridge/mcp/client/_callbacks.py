"""Callbacks of a session: run one after another, in the order of the wire.

The engine calls in wire order on the loop's thread; a callback may be a coroutine function, so the
order is kept here by a queue, and an answer waits for the callbacks that came before it.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from inspect import isawaitable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Any

# A callback that itself calls the session must not wait for itself.
_inside_callback: contextvars.ContextVar[bool] = contextvars.ContextVar(
    "toolbridge_inside_callback", default=False
)


def callback_context() -> contextvars.Context:
    """Copy the context of the caller, for callbacks that belong to it."""
    context = contextvars.copy_context()
    context.run(_inside_callback.set, True)
    return context


class CallbackQueue:
    """Runs callbacks one after another on the loop that made it."""

    __slots__ = ("_context", "_loop", "_task", "_waiting")

    def __init__(self) -> None:
        """Take the running loop, and the context for callbacks that bring none."""
        self._loop = asyncio.get_running_loop()
        self._context = callback_context()
        self._task: asyncio.Task[None] | None = None
        self._waiting: deque[_Entry] = deque()

    def put(
        self,
        name: str,
        callback: Callable[..., Any],
        *arguments: object,
        context: contextvars.Context | None = None,
        waiting: object = None,
    ) -> None:
        """Run the callback after those that were put before; on the loop's thread only.

        Args:
            name: What the callback is called in the log if it fails.
            callback: A function or coroutine function.
            *arguments: Its arguments.
            context: Where it runs. Default: in the context that made the queue.
            waiting: What the engine counts the callback by until it has run: the queue has no bound
                of its own.
        """
        self._waiting.append((name, callback, arguments, context, waiting))
        if self._task is None:
            self._task = self._loop.create_task(self._run(), context=self._context)

    def is_running_here(self) -> bool:
        """Tell whether the running loop is that of the queue."""
        return asyncio.get_running_loop() is self._loop

    async def _run(self) -> None:
        try:
            while self._waiting:
                # The last one is held until the callback has run.
                name, callback, arguments, context, _waiting = self._waiting.popleft()
                try:
                    if context is None:
                        outcome = callback(*arguments)
                        if isawaitable(outcome):
                            await outcome
                    else:
                        outcome = context.run(callback, *arguments)
                        if isawaitable(outcome):
                            await self._loop.create_task(_awaited(outcome), context=context)
                except (Exception, asyncio.CancelledError) as failure:
                    task = asyncio.current_task()
                    if isinstance(failure, asyncio.CancelledError) and task and task.cancelling():
                        self._release()
                        raise
                    # A callback of the user's must not cost the session.
                    import logging

                    logging.getLogger("toolbridge.mcp").exception("the %s failed", name)
        finally:
            self._task = None

    def _release(self) -> None:
        """Let those go on who wait for a queue that is cancelled, as at the end of the loop."""
        while self._waiting:
            _, callback, arguments, _, _ = self._waiting.popleft()
            if callback is _finish:
                callback(*arguments)

    async def drained(self) -> None:
        """Wait for every callback that was put before this call."""
        if self._task is None or _inside_callback.get() or not self.is_running_here():
            return
        done = self._loop.create_future()
        self.put("", _finish, done)
        await done


async def _awaited(outcome: Awaitable[object]) -> None:
    await outcome


def _finish(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_result(None)


if TYPE_CHECKING:
    _Entry = tuple[str, Callable[..., Any], tuple[Any, ...], contextvars.Context | None, object]
