"""Tells of a call: one log record, one span, two metrics, and the callbacks of the process.

Loaded when somebody wants to know. Neither the record nor the span nor a metric has content, headers or keys;
callbacks get the messages and the answer, because that is what they are for. Nothing here imports
``opentelemetry``, and what goes wrong here does not concern the call.
"""

from __future__ import annotations

import sys
from time import perf_counter, time

from toolbridge import exceptions
from toolbridge._completion.parameters import Request, _package
from toolbridge._completion.streaming import CustomStreamWrapper
from toolbridge._toolbridge import __version__, model_provider
from toolbridge.types.chat import ModelResponse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from toolbridge.types.chat import ModelResponseStream

__all__ = ["Watch", "WatchedStream", "Watcher", "settled"]

_LOGGER = "toolbridge.llm"
# Names of providers in OpenTelemetry's conventions, where they are not ours.
_CONVENTION = {
    "azure": "azure.ai.openai",
    "azure_ai": "azure.ai.inference",
    "bedrock": "aws.bedrock",
    "gemini": "gcp.gemini",
    "mistral": "mistral_ai",
    "vertex_ai": "gcp.vertex_ai",
    "watsonx": "ibm.watsonx.ai",
    "xai": "x_ai",
}
# Parameters of the request that the conventions have a name for.
_PARAMETERS = (
    ("frequency_penalty", "gen_ai.request.frequency_penalty"),
    ("max_completion_tokens", "gen_ai.request.max_tokens"),
    ("max_tokens", "gen_ai.request.max_tokens"),
    ("presence_penalty", "gen_ai.request.presence_penalty"),
    ("seed", "gen_ai.request.seed"),
    ("temperature", "gen_ai.request.temperature"),
    ("top_p", "gen_ai.request.top_p"),
)
_warned: set[str] = set()
# A task that nothing refers to may be collected before it ran.
_tasks: set[Any] = set()


class Watch:
    """One call, from its beginning to the end of its answer or of its stream."""

    def __init__(self, model: str, request: Request, *, is_async: bool) -> None:
        self.model = model
        self.request = request
        self.is_async = is_async
        self.is_stream = "stream" in request.body
        self.callbacks = _callbacks()
        self.started, self.clock = time(), perf_counter()
        self.provider, self.name = _provider(model, request)
        self.facts: dict[str, Any] = {}
        self.usage: dict[str, Any] = {}
        self.reasons: list[str] = []
        self.id: str | None = None
        self.answered_by: str | None = None
        self.is_over = False
        self.span = self._begin_span()
        for one in self.callbacks[2]:
            self._tell(one, "log_pre_api_call", model, request.body["messages"], self._kwargs())

    def answered(
        self, answer: ModelResponse | CustomStreamWrapper
    ) -> ModelResponse | CustomStreamWrapper:
        """Takes the answer; gives it, or the stream that is watched to its end."""
        self.facts = getattr(answer, "_hidden_params", None) or {}
        if isinstance(answer, CustomStreamWrapper):
            return WatchedStream.over(answer, self)
        self.take(answer._data, "message")
        self.ended(answer)
        return answer

    def take(self, data: dict[str, Any], _kind: str = "delta") -> None:
        """Takes what a response or a chunk says about itself."""
        self.id = data.get("id") or self.id
        self.answered_by = data.get("model") or self.answered_by
        # An attribute that was read is an object in there from then on.
        usage = getattr(data.get("usage"), "_data", data.get("usage"))
        if isinstance(usage, dict):
            self.usage = usage
        for choice in data.get("choices") or ():
            reason = choice.get("finish_reason")
            if reason:
                self.reasons.append(reason)

    def failed(self, error: BaseException) -> None:
        """The call ended with an error."""
        self._end(error, None)

    def ended(self, response: ModelResponse | None) -> None:
        """The call ended with an answer; None when its stream was not read to the end."""
        self._end(None, response)

    def _end(self, error: BaseException | None, response: ModelResponse | None) -> None:
        if self.is_over:
            return
        self.is_over = True
        seconds = perf_counter() - self.clock
        self.provider = self.facts.get("custom_llm_provider") or self.provider
        try:
            self._log(error, seconds)
            if self.span is not None:
                self._end_span(error)
            if "opentelemetry.metrics" in sys.modules:
                self._measure(error, seconds)
            if any(self.callbacks):
                self._call_back(error, response, seconds)
        except Exception:  # noqa: BLE001 - whoever watches does not break what is watched
            _complain()

    def _log(self, error: BaseException | None, seconds: float) -> None:
        logging = sys.modules.get("logging")
        if logging is None:
            return
        logger = logging.getLogger(_LOGGER)
        if not logger.isEnabledFor(logging.INFO):
            return
        retries = self.facts.get("num_retries") or getattr(error, "num_retries", None) or 0
        fields = {
            "model": self.model,
            "provider": self.provider,
            "status": "ok" if error is None else type(error).__name__,
            "http_status": 200 if error is None else getattr(error, "status_code", None),
            "duration_ms": round(seconds * 1000, 3),
            "input_tokens": self.usage.get("prompt_tokens"),
            "output_tokens": self.usage.get("completion_tokens"),
            "retries": retries,
            "fallbacks": self.facts.get("attempted_fallbacks", 0),
            "stream": self.is_stream,
        }
        text = " ".join(f"{name}={value}" for name, value in fields.items() if value is not None)
        logger.info("completion %s", text, extra={"toolbridge": fields})

    def _begin_span(self) -> Any:
        trace = sys.modules.get("opentelemetry.trace")
        if trace is None:
            return None
        provider = trace.get_tracer_provider()
        if type(provider).__name__ == "ProxyTracerProvider":
            return None
        body = self.request.body
        attributes: dict[str, Any] = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": _CONVENTION.get(self.provider, self.provider),
            "gen_ai.request.model": self.name,
        }
        for parameter, name in _PARAMETERS:
            value = body.get(parameter)
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                attributes[name] = value
        count = body.get("n")
        if isinstance(count, int) and count != 1:
            attributes["gen_ai.request.choice.count"] = count
        stop = body.get("stop")
        stop = [stop] if isinstance(stop, str) else stop
        if isinstance(stop, (list, tuple)) and all(isinstance(one, str) for one in stop):
            attributes["gen_ai.request.stop_sequences"] = tuple(stop)
        if "response_format" in body:
            wanted = body["response_format"]
            kind = wanted.get("type") if isinstance(wanted, dict) else None
            attributes["gen_ai.output.type"] = "text" if kind == "text" else "json"
        try:
            tracer = provider.get_tracer("toolbridge", __version__)
            kind = trace.SpanKind.CLIENT
            return tracer.start_span(f"chat {self.name}", kind=kind, attributes=attributes)
        except Exception:  # noqa: BLE001 - whoever watches does not break what is watched
            _complain()
            return None

    def _end_span(self, error: BaseException | None) -> None:
        span = self.span
        usage = self.usage
        attributes = {
            "gen_ai.provider.name": _CONVENTION.get(self.provider, self.provider),
            "gen_ai.response.id": self.id,
            "gen_ai.response.model": self.answered_by,
            "gen_ai.response.finish_reasons": tuple(self.reasons) or None,
            "gen_ai.usage.input_tokens": usage.get("prompt_tokens"),
            "gen_ai.usage.output_tokens": usage.get("completion_tokens"),
            **_address(self.facts.get("api_base")),
        }
        if error is not None:
            status = getattr(error, "status_code", None)
            attributes["error.type"] = type(error).__name__
            attributes["http.response.status_code"] = status
            trace: Any = sys.modules["opentelemetry.trace"]
            # The sentence of an error may quote what was sent.
            span.set_status(trace.Status(trace.StatusCode.ERROR, type(error).__name__))
        for name, value in attributes.items():
            if value is not None:
                span.set_attribute(name, value)
        span.end()

    def _measure(self, error: BaseException | None, seconds: float) -> None:
        from toolbridge._completion.metrics import record

        attributes = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": _CONVENTION.get(self.provider, self.provider),
            "gen_ai.request.model": self.name,
            "gen_ai.response.model": self.answered_by,
            **_address(self.facts.get("api_base")),
        }
        kind = None if error is None else type(error).__name__
        record(attributes, self.usage, seconds, kind)

    def _kwargs(self) -> dict[str, Any]:
        """What LiteLLM's callbacks get as ``kwargs``, as far as it means something here."""
        body = self.request.body
        return {
            "model": self.name,
            "messages": body.get("messages"),
            "stream": self.is_stream,
            "user": body.get("user"),
            "call_type": "acompletion" if self.is_async else "completion",
            "custom_llm_provider": self.provider,
            "optional_params": {
                name: value for name, value in body.items() if name not in {"messages", "model"}
            },
            "litellm_params": {
                "metadata": self.request.metadata or {},
                "api_base": self.facts.get("api_base"),
            },
            "litellm_call_id": self.facts.get("litellm_call_id"),
            "response_cost": self.facts.get("response_cost"),
        }

    def _call_back(
        self, error: BaseException | None, response: ModelResponse | None, seconds: float
    ) -> None:
        from datetime import datetime, timedelta

        start = datetime.fromtimestamp(self.started)  # noqa: DTZ006 - LiteLLM's are naive
        end = start + timedelta(seconds=seconds)
        kwargs = self._kwargs()
        succeeded, failed, both = self.callbacks
        if error is not None:
            kwargs["exception"] = error
            for one in (*failed, *both):
                self._tell(one, "log_failure_event", kwargs, None, start, end)
        elif response is not None:
            kwargs["complete_streaming_response"] = response if self.is_stream else None
            kwargs["response_cost"] = response._hidden_params.get("response_cost")
            for one in (*succeeded, *both):
                self._tell(one, "log_success_event", kwargs, response, start, end)

    def _tell(self, one: Any, method: str, *arguments: Any) -> None:
        """Calls a function, or the method of an object, in the form that fits the call."""
        called = None
        if self.is_async:
            called = getattr(one, f"async_{method}", None)
        called = called or getattr(one, method, None)
        if called is None and callable(one) and method != "log_pre_api_call":
            called = one
        if called is None:
            return
        try:
            outcome = called(*arguments)
            if hasattr(outcome, "__await__"):
                _start(outcome)
        except Exception:  # noqa: BLE001 - a callback does not break the call
            _complain()


class WatchedStream(CustomStreamWrapper):
    """A stream that tells how it went."""

    _inner: CustomStreamWrapper
    _watch: Watch
    _chunks: list[ModelResponseStream] | None

    @classmethod
    def over(cls, inner: CustomStreamWrapper, watch: Watch) -> WatchedStream:
        """The stream ``inner``, watched."""
        stream = cls()
        stream._inner, stream._watch = inner, watch
        stream._hidden_params = inner._hidden_params
        # Only callbacks want the whole answer.
        stream._chunks = [] if any(watch.callbacks) else None
        return stream

    def __next__(self) -> ModelResponseStream:
        try:
            chunk = self._inner.__next__()
        except StopIteration:
            self._over()
            raise
        except BaseException as error:
            self._watch.failed(error)
            raise
        return self._seen(chunk)

    async def __anext__(self) -> ModelResponseStream:
        try:
            chunk = await self._inner.__anext__()
        except StopAsyncIteration:
            self._over()
            raise
        except BaseException as error:
            self._watch.failed(error)
            raise
        return self._seen(chunk)

    def close(self) -> None:
        """Ends the request; the iteration is over."""
        self._inner.close()
        self._over()

    def __del__(self) -> None:
        watch = getattr(self, "_watch", None)
        if watch is not None:
            # No callback runs wherever the collector happens to.
            watch.ended(None)

    def _seen(self, chunk: ModelResponseStream) -> ModelResponseStream:
        self._watch.take(chunk._data)
        if self._chunks is not None:
            self._chunks.append(chunk)
        return chunk

    def _over(self) -> None:
        response = None
        if self._chunks and not self._watch.is_over:
            from toolbridge._completion.rebuild import stream_chunk_builder

            response = stream_chunk_builder(self._chunks)
            if response is not None:
                response._hidden_params = dict(self._hidden_params)
        self._watch.ended(response)


class Watcher:
    """Tells of the calls that the engine makes by itself, as in a run of the tool loop.

    The engine says what happens, on the thread of the loop, and waits for nothing of it.
    """

    def __init__(self, model: str, request: Request, *, is_async: bool) -> None:
        """Of the calls that are made for this one; their spans are beneath the one that is current."""
        from contextvars import copy_context

        self._model, self._request, self._is_async = model, request, is_async
        self._context = copy_context()
        self._watches: dict[int, Watch] = {}

    def asked(self, call: int, body: dict[str, Any]) -> None:
        """A call begins."""
        request = Request(body, self._request.options)
        request.metadata = self._request.metadata
        watch = self._context.run(Watch, self._model, request, is_async=self._is_async)
        self._watches[call] = watch

    def answered(self, call: int, data: dict[str, Any], facts: dict[str, Any] | None) -> None:
        """It was answered, with a stream or without one."""
        response = ModelResponse._wrap(data)
        response._hidden_params = facts or {}
        self._context.run(self._watches.pop(call).answered, response)

    def failed(self, call: int, error: BaseException | None) -> None:
        """It failed, or was given up."""
        if error is None:
            from asyncio import CancelledError

            error = CancelledError()
        self._context.run(self._watches.pop(call).failed, error)


async def settled() -> None:
    """Waits for what async callbacks do, where the loop ends with the call."""
    import asyncio

    loop = asyncio.get_running_loop()
    await asyncio.gather(*[task for task in _tasks if task.get_loop() is loop])


def _callbacks() -> tuple[list[Any], list[Any], list[Any]]:
    """Those for a success, those for a failure, those for both."""
    found = []
    for name in ("success_callback", "failure_callback", "callbacks"):
        usable = []
        for one in _package[name] or ():
            if isinstance(one, str):
                _say(f"the callback {one!r} of toolbridge.{name} is not built in; give a function")
            else:
                usable.append(one)
        found.append(usable)
    succeeded, failed, both = found
    return succeeded, failed, both


def _provider(model: str, request: Request) -> tuple[str, str]:
    options = request.options
    if request.router is not None:
        return "", model
    try:
        custom, base = options.get("custom_llm_provider"), options.get("api_base")
        return model_provider(model, custom, None if base is None else str(base))
    except exceptions.ToolbridgeError:
        prefix, slash, name = model.partition("/")
        return (prefix, name) if slash else ("", model)


def _address(base: Any) -> dict[str, Any]:
    if not isinstance(base, str) or "://" not in base:
        return {}
    scheme, _, rest = base.partition("://")
    host = rest.partition("/")[0]
    name, colon, port = host.rpartition(":")
    if colon and port.isdigit():
        return {"server.address": name.strip("[]"), "server.port": int(port)}
    return {"server.address": host.strip("[]"), "server.port": 443 if scheme == "https" else 80}


def _start(awaitable: Any) -> None:
    """Runs what an async callback wants to do beside the call, which does not wait for it."""
    import asyncio

    async def run() -> None:
        try:
            await awaitable
        except Exception:  # noqa: BLE001 - a callback does not break the call
            _complain()

    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(run())
        return
    task = loop.create_task(run())
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)


def _complain() -> None:
    import logging

    what = "telling of a completion call failed; the call goes on"
    logging.getLogger(_LOGGER).error(what, exc_info=sys.exc_info()[1])


def _say(what: str) -> None:
    if what not in _warned:
        _warned.add(what)
        import warnings

        warnings.warn(what, UserWarning, stacklevel=2)
