"""A tool call that its server runs as a task, handed out while it runs.

Follows the extension ``io.modelcontextprotocol/tasks`` (SEP-2663) of MCP 2026-07-28, and the
experimental tasks of 2025-11-25.
"""

from __future__ import annotations

from toolbridge.exceptions import MCPError
from toolbridge.mcp import types
from toolbridge.mcp.client._arguments import check_str

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from toolbridge.mcp.client.session import ClientSession

__all__ = ["TaskHandle"]

_ENDED = frozenset({"completed", "failed", "cancelled"})
_INTERNAL_ERROR = -32603


class TaskHandle:
    """A call that runs at the server, or that has ended at once.

    Made by ``call_tool_as_task``, and by ``task`` for a task of an earlier connection.
    """

    __slots__ = ("_answer", "_session", "_state", "_timeout", "_tool")

    def __init__(
        self,
        session: ClientSession,
        tool: str | None,
        timeout: float | None,
        state: dict[str, Any] | None,
        answer: types.CallToolResult | None,
    ) -> None:
        """Keep what is known of the task; the user of the package does not make one."""
        self._session = session
        self._tool = tool
        self._timeout = timeout
        self._state = state
        self._answer = answer

    def __repr__(self) -> str:
        """Show what it is and how far."""
        return f"TaskHandle(task_id={self.task_id!r}, status={self.status!r})"

    @property
    def task_id(self) -> str | None:
        """The server's name of the task; None if the call ended at once, without one."""
        return None if self._state is None else self._state["taskId"]

    @property
    def status(self) -> str:
        """How far it was when it was last heard of.

        ``"working"``, ``"input_required"``, ``"completed"``, ``"failed"`` or ``"cancelled"``.
        """
        return "completed" if self._state is None else self._state["status"]

    @property
    def status_message(self) -> str | None:
        """What the server said about the status."""
        return None if self._state is None else self._state.get("statusMessage")

    @property
    def state(self) -> types.Task | None:
        """All that the server said of it when it was last heard of; None without a task."""
        return None if self._state is None else types.Task._wrap(self._state)

    def done(self) -> bool:
        """Whether it has ended, as far as it is known."""
        return self.status in _ENDED

    async def refresh(self) -> str:
        """Ask the server how far it is.

        Returns:
            The status.

        Raises:
            MCPError: The server does not know the task (any more).
        """
        if self.task_id is not None:
            params = {"taskId": self.task_id}
            answer = await self._session._request("tasks/get", params, self._timeout)
            self._hear(answer)
        return self.status

    async def result(
        self, status_callback: Callable[[TaskHandle], object] | None = None
    ) -> types.CallToolResult:
        """Wait until the task has ended; input that it wants is given by the session's callbacks.

        The server is asked as often as it says. To stop waiting does not stop the task: see
        `cancel`.

        Args:
            status_callback: Called with this handle each time that the status or its message has
                changed; plain, not ``async``. Default: nobody hears it.

        Returns:
            The result of the call; a second wait gives it again.

        Raises:
            MCPError: The call failed, or the task was cancelled.
            ToolOutputError: The result does not fit the output schema of the tool.
        """
        if self._answer is None:

            def listener(state: dict[str, Any], _: object) -> None:
                self._hear(state)
                if status_callback is not None:
                    status_callback(self)

            engine = self._session._native()
            answer = await engine.finish_task(self._tool, self._state, self._timeout, listener)
            self._answer = types.CallToolResult._wrap(answer)
        return self._answer

    async def cancel(self) -> None:
        """Tell the server that the result is no longer wanted. It may end in another way first.

        Raises:
            MCPError: The server does not know the task (any more), or cannot cancel it.
        """
        if self.task_id is not None:
            params = {"taskId": self.task_id}
            answer = await self._session._request("tasks/cancel", params, self._timeout)
            # Servers of 2025-11-25 answer with the task.
            if "taskId" in answer:
                self._hear(answer)

    def _hear(self, state: dict[str, Any]) -> None:
        if not isinstance(state.get("taskId"), str) or not isinstance(state.get("status"), str):
            message = "the server answered with a task that has no taskId and status"
            raise MCPError(code=_INTERNAL_ERROR, message=message)
        self._state = state


def handle_of(
    session: ClientSession, tool: str, timeout: float | None, answer: dict[str, Any]
) -> TaskHandle:
    """Make the handle of what a call was answered with."""
    state: Any = answer if answer.get("resultType") == "task" else answer.get("task")
    if isinstance(state, dict) and "taskId" in state and "status" in state:
        return TaskHandle(session, tool, timeout, state, None)
    return TaskHandle(session, tool, timeout, None, types.CallToolResult._wrap(answer))


def handle_of_earlier(
    session: ClientSession, task_id: str, tool: str | None, timeout: float | None
) -> TaskHandle:
    """Make the handle of a task that an earlier connection began."""
    check_str("task_id", task_id)
    if tool is not None:
        check_str("tool", tool)
    return TaskHandle(session, tool, timeout, {"taskId": task_id, "status": "working"}, None)
