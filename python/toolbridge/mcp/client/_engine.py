"""What every session of this package is made of: the verbs over the engine, and the callbacks."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from weakref import ref

from toolbridge import _toolbridge
from toolbridge.exceptions import MCPError
from toolbridge.mcp import types
from toolbridge.mcp.client._arguments import (
    check_bool,
    check_log_level,
    check_object,
    read_seconds,
    type_error,
)
from toolbridge.mcp.client._callbacks import CallbackQueue, callback_context
from toolbridge.mcp.client._verbs import Verbs
from toolbridge.objects import Object

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import timedelta
    from typing import Any


_INTERNAL_ERROR = -32603
_METHOD_NOT_FOUND = -32601
_DEFAULT_DISCOVER_TIMEOUT = 10.0
DEFAULT_MAXIMUM_ROUNDS = 10


class RequestContext:
    """What a callback for a request of the server is told beside the parameters.

    Attributes:
        session: The session that the request came in on.
        meta: The ``_meta`` of the request, or None.
    """

    __slots__ = ("meta", "session")

    def __init__(self, session: Engine, meta: dict[str, Any] | None) -> None:
        """See the class."""
        self.session = session
        self.meta = meta


class Engine(Verbs):
    """The verbs over an engine that a subclass opens, and the callbacks that it calls.

    The arguments are those of ``ClientSession``.
    """

    def __init__(
        self,
        *,
        read_timeout_seconds: timedelta | float | None = None,
        sampling_callback: Callable[..., Any] | None = None,
        elicitation_callback: Callable[..., Any] | None = None,
        list_roots_callback: Callable[..., Any] | None = None,
        logging_callback: Callable[..., Any] | None = None,
        message_handler: Callable[..., Any] | None = None,
        client_info: Mapping[str, Any] | Object | None = None,
        sampling_capabilities: Mapping[str, Any] | Object | None = None,
        log_level: str | None = None,
        input_required_max_rounds: int = DEFAULT_MAXIMUM_ROUNDS,
        discover_timeout_seconds: timedelta | float = _DEFAULT_DISCOVER_TIMEOUT,
        validate_output: bool = True,
        cache: tuple[Any, ...] | None = None,
    ) -> None:
        """Check and keep the arguments; nothing is opened yet."""
        callbacks = {
            "sampling_callback": sampling_callback,
            "elicitation_callback": elicitation_callback,
            "list_roots_callback": list_roots_callback,
            "logging_callback": logging_callback,
            "message_handler": message_handler,
        }
        for name, callback in callbacks.items():
            if callback is not None and not callable(callback):
                raise type_error(name, "a function, a coroutine function or None", callback)
        for name, described in (
            ("client_info", client_info),
            ("sampling_capabilities", sampling_capabilities),
        ):
            if described is not None:
                check_object(name, described)
        if log_level is not None:
            check_log_level("log_level", log_level)
        rounds = input_required_max_rounds
        if isinstance(rounds, bool) or not isinstance(rounds, int):
            raise type_error("input_required_max_rounds", "an int", rounds)
        if not 0 <= rounds < 2**32:
            message = f"input_required_max_rounds is {rounds}; it takes an int of 0 or more"
            raise ValueError(message)
        patience = read_seconds("discover_timeout_seconds", discover_timeout_seconds)
        self._timeout = read_seconds("read_timeout_seconds", read_timeout_seconds)
        self._sampling_callback = sampling_callback
        self._elicitation_callback = elicitation_callback
        self._list_roots_callback = list_roots_callback
        self._logging_callback = logging_callback
        self._message_handler = message_handler
        self._client_info = client_info
        self._sampling_capabilities = sampling_capabilities
        self._log_level = log_level
        self._maximum_rounds = rounds
        self._validate_output = check_bool("validate_output", validate_output)
        self._cache = cache
        self._patience = _DEFAULT_DISCOVER_TIMEOUT if patience is None else patience
        self._session: _toolbridge.Session | None = None
        self._callbacks: CallbackQueue | None = None
        self._requests: set[asyncio.Task[None]] = set()

    async def aclose(self) -> None:
        """End the session and the server under it; from any task, thread or loop, in any order.

        Every waiting call gets a ``ConnectionClosedError``. Closing twice does nothing.
        """
        closing = None if self._session is None else self._session.close()
        if closing is None:
            return
        await closing
        for request in tuple(self._requests):
            # A callback on a loop that was closed meanwhile has ended with it.
            with suppress(RuntimeError):
                request.get_loop().call_soon_threadsafe(request.cancel)

    def _setup(self) -> dict[str, Any]:
        """Tell the engine how to behave."""
        own = {"name": "toolbridge", "version": _toolbridge.__version__}
        return {
            "client_info": self._client_info or own,
            "capabilities": self._capabilities(),
            "log_level": self._log_level,
            "timeout": self._timeout,
            "patience": self._patience,
            "maximum_rounds": self._maximum_rounds,
            "validate_output": self._validate_output,
            "cache": self._cache,
        }

    def _capabilities(self) -> dict[str, Any]:
        capabilities: dict[str, Any] = {}
        if self._sampling_callback is not None:
            said = getattr(self._sampling_callback, "sampling_capabilities", None)
            # What a mock has under that name is nothing of the kind.
            of_callback = said if isinstance(said, Object) else None
            given = self._sampling_capabilities
            capabilities["sampling"] = (of_callback if given is None else given) or {}
        if self._elicitation_callback is not None:
            capabilities["elicitation"] = {"form": {}, "url": {}}
        if self._list_roots_callback is not None:
            capabilities["roots"] = {"listChanged": True}
        return capabilities

    # Requests and notifications.

    def _native(self) -> _toolbridge.Session:
        if self._session is None:
            message = f"the session has not been entered; use: async with {type(self).__name__}(…)"
            raise RuntimeError(message)
        return self._session

    async def _request(
        self,
        method: str,
        params: dict[str, Any] | None,
        timeout: timedelta | float | None = None,
        progress_callback: Callable[..., Any] | None = None,
        meta: dict[str, Any] | None = None,
        allow_input_required: bool = False,
        how: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        if meta is not None and not isinstance(meta, (dict, Object)):
            raise type_error("meta", "a dict or None", meta)
        seconds = (
            self._timeout if timeout is None else read_seconds("read_timeout_seconds", timeout)
        )
        if progress_callback is not None and not callable(progress_callback):
            raise type_error("progress_callback", "a function or None", progress_callback)
        if progress_callback is None:
            answer = await self._native().request(
                method, params, meta, seconds, None, allow_input_required, **(how or {})
            )
        else:
            answer = await self._request_with_progress(
                progress_callback, method, params, meta, seconds, allow_input_required, how
            )
        callbacks = self._callbacks
        if callbacks is not None and callbacks._task is not None:
            await callbacks.drained()
        if type(answer) is not dict:
            found = "null" if answer is None else f"a {type(answer).__name__}"
            message = f"the server answered {method} with {found}, not with an object"
            raise MCPError(code=_INTERNAL_ERROR, message=message)
        return answer

    async def _request_with_progress(
        self,
        callback: Callable[..., Any],
        method: str,
        params: dict[str, Any] | None,
        meta: dict[str, Any] | None,
        seconds: float | None,
        allow_input_required: bool,
        how: Mapping[str, Any] | None,
    ) -> object:
        queue = self._callbacks
        if queue is None or not queue.is_running_here():
            queue = CallbackQueue()
        context = callback_context()

        def listener(report: dict[str, Any], waiting: object) -> None:
            arguments = (report.get("progress"), report.get("total"), report.get("message"))
            queue.put("progress callback", callback, *arguments, context=context, waiting=waiting)

        answer = await self._native().request(
            method, params, meta, seconds, listener, allow_input_required, **(how or {})
        )
        await queue.drained()
        return answer

    async def _notify(self, method: str, params: dict[str, Any] | None) -> None:
        await self._native().notify(method, params)

    # What the server says unasked; called on the loop's thread, in wire order.

    def _on_notification(self, method: str, params: dict[str, Any] | None, waiting: object) -> None:
        callbacks = self._callbacks
        if callbacks is None:
            return
        if method == "notifications/message" and self._logging_callback is not None:
            line = types.LoggingMessageNotificationParams._wrap(params or {})
            callbacks.put("logging callback", self._logging_callback, line, waiting=waiting)
        if self._message_handler is not None:
            notification = Object._wrap({"method": method, "params": params or {}})
            callbacks.put("message handler", self._message_handler, notification, waiting=waiting)

    def _on_garbage(self, preview: str, reason: str, waiting: object) -> None:
        import logging

        message = f"the MCP server wrote something that is not MCP, skipped: {preview!r} ({reason})"
        logging.getLogger("toolbridge.mcp").warning("%s", message)
        if self._message_handler is not None and self._callbacks is not None:
            self._callbacks.put(
                "message handler", self._message_handler, ValueError(message), waiting=waiting
            )

    def _on_request(
        self, method: str, params: dict[str, Any] | None, responder: _toolbridge.Responder
    ) -> None:
        task = asyncio.get_running_loop().create_task(self._answer(method, params or {}, responder))
        self._requests.add(task)
        task.add_done_callback(self._requests.discard)
        # Weakly: a task that nobody holds has to end, and its request with it.
        weak = ref(task)

        def give_up() -> None:
            running = weak()
            if running is not None:
                running.cancel()

        responder.when_given_up(give_up)

    async def _answer(
        self, method: str, params: dict[str, Any], responder: _toolbridge.Responder
    ) -> None:
        from inspect import isawaitable

        context = RequestContext(self, params.get("_meta"))
        try:
            if method == "sampling/createMessage" and self._sampling_callback is not None:
                wrapped = types.CreateMessageRequestParams._wrap(params)
                outcome = self._sampling_callback(context, wrapped)
            elif method == "elicitation/create" and self._elicitation_callback is not None:
                outcome = self._elicitation_callback(
                    context, types.ElicitRequestParams._wrap(params)
                )
            elif method == "roots/list" and self._list_roots_callback is not None:
                outcome = self._list_roots_callback(context)
            else:
                message = f"this client does not handle {method}"
                responder.refuse(_METHOD_NOT_FOUND, message, None)
                return
            if isawaitable(outcome):
                outcome = await outcome
            if _is_error_data(outcome):
                responder.refuse(outcome.code, outcome.message, getattr(outcome, "data", None))
            else:
                responder.answer(outcome)
        except Exception as failure:
            import logging

            logging.getLogger("toolbridge.mcp").exception("the callback for %s failed", method)
            responder.refuse(_INTERNAL_ERROR, f"{type(failure).__name__}: {failure}", None)


def _is_error_data(outcome: Any) -> bool:
    """Tell an ErrorData, ours or an official one, from a result."""
    return isinstance(outcome, types.ErrorData) or type(outcome).__name__ == "ErrorData"
