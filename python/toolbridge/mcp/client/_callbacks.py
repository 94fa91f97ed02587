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
    from collections.abc import Callable
    from typing import Any

# A callback that itself calls the session must not wait for itself.
_inside_callback: contextvars.ContextVar[bool] = contextvars.ContextVar(
    "toolbridge_inside_callback", default=False
)


class CallbackQueue:
    """Runs callbacks one after another, on the loop and in the context of whoever made it.

    Args:
        name: What a failing callback is called in the log.
    """

    __slots__ = ("_context", "_loop", "_name", "_task", "_waiting")

    def __init__(self, name: str) -> None:
        """See the class."""
        self._loop = asyncio.get_running_loop()
        self._name = name
        self._context = contextvars.copy_context()
        self._task: asyncio.Task[None] | None = None
        self._waiting: deque[tuple[Callable[..., Any], tuple[Any, ...]]] = deque()

    def put(self, callback: Callable[..., Any], *arguments: object) -> None:
        """Run the callback after those that were put before; on the loop's thread only."""
        self._waiting.append((callback, arguments))
        if self._task is None:
            self._task = self._loop.create_task(self._run(), context=self._context)

    async def _run(self) -> None:
        _inside_callback.set(True)
        try:
            while self._waiting:
                callback, arguments = self._waiting.popleft()
                try:
                    outcome = callback(*arguments)
                    if isawaitable(outcome):
                        await outcome
                except (Exception, asyncio.CancelledError) as failure:
                    task = asyncio.current_task()
                    if isinstance(failure, asyncio.CancelledError) and task and task.cancelling():
                        # The loop ends: those who wait for their turn in this queue are released.
                        while self._waiting:
                            callback, arguments = self._waiting.popleft()
                            if callback is _finish:
                                callback(*arguments)
                        raise
                    # A callback of the user's must not cost the session.
                    import logging

                    logging.getLogger("toolbridge.mcp").exception("the %s failed", self._name)
        finally:
            self._task = None

    async def drained(self) -> None:
        """Wait for every callback that was put before this call."""
        if self._task is None or _inside_callback.get():
            return
        if asyncio.get_running_loop() is not self._loop:
            return
        done = self._loop.create_future()
        self.put(_finish, done)
        await done


def _finish(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_result(None)
