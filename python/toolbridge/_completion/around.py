"""What happens around a completion call: other models when one fails, checks of the answer, mocks.

A call goes one course whether its caller waits or awaits: a generator that gives out what is to be
asked and takes in what came of it. Two drivers carry it out. Plain calls do not come here.
"""

from __future__ import annotations

from collections.abc import Mapping

from toolbridge import exceptions
from toolbridge._completion.parameters import PRICES, prepare
from toolbridge._completion.streaming import CustomStreamWrapper, wrap_stream
from toolbridge._native_errors import tell_tried
from toolbridge._toolbridge import (
    chat_completion,
    chat_completion_sync,
    chat_stream,
    chat_stream_sync,
    json_misfit,
    model_provider,
)
from toolbridge.types.chat import ModelResponse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Any

    from toolbridge._completion.parameters import Request

    _Step = tuple[str, Request]

__all__ = ["acall", "call", "next_call"]

# What belongs to the model of the call, whoever provides another one.
_OF_THE_MODEL = PRICES | {"base_model", "model_info"}
# What belongs to the provider of the call.
_OF_THE_PROVIDER = (
    "api_base",
    "api_key",
    "base_url",
    "custom_llm_provider",
    "organization",
)


# Words in the names of headers that carry a key.
_OF_A_KEY = ("authorization", "cookie", "key", "secret", "token")


async def acall(model: str, request: Request) -> ModelResponse | CustomStreamWrapper:
    """Carries a call out in an event loop."""
    course = _course(model, request, is_async=True)
    try:
        step = next(course)
        while True:
            try:
                answer = await _asend(*step)
            except BaseException as error:  # noqa: BLE001 - the course decides
                step = course.throw(error)
            else:
                step = course.send(answer)
    except StopIteration as end:
        done: ModelResponse | CustomStreamWrapper = end.value
        return done


def call(model: str, request: Request) -> ModelResponse | CustomStreamWrapper:
    """Carries a call out and waits."""
    course = _course(model, request, is_async=False)
    try:
        step = next(course)
        while True:
            try:
                answer = _send(*step)
            except BaseException as error:  # noqa: BLE001 - the course decides
                step = course.throw(error)
            else:
                step = course.send(answer)
    except StopIteration as end:
        done: ModelResponse | CustomStreamWrapper = end.value
        return done


async def _asend(model: str, request: Request) -> ModelResponse | CustomStreamWrapper:
    if request.mcp is not None:
        from toolbridge._completion import mcp_tools

        given = await mcp_tools.arun(model, request)
        return wrap_stream(given) if "stream" in request.body else _response(given)
    if request.mock is not None:
        from asyncio import sleep

        from toolbridge._completion import mock

        await sleep(mock.wait_time(request))
        return mock.answer(model, request)
    is_stream = "stream" in request.body
    if request.router is not None:
        given = await request.router.ask(model, request.body)
        return wrap_stream(given) if is_stream else _response(given)
    if is_stream:
        return wrap_stream(await chat_stream(model, request.body, request.options))
    return _response(await chat_completion(model, request.body, request.options))


def _send(model: str, request: Request) -> ModelResponse | CustomStreamWrapper:
    if request.mcp is not None:
        from toolbridge._completion import mcp_tools

        return _response(mcp_tools.run(model, request))
    if request.mock is not None:
        from time import sleep

        from toolbridge._completion import mock

        sleep(mock.wait_time(request))
        return mock.answer(model, request)
    is_stream = "stream" in request.body
    if request.router is not None:
        given = request.router.ask_sync(model, request.body)
        return wrap_stream(given) if is_stream else _response(given)
    if is_stream:
        return wrap_stream(chat_stream_sync(model, request.body, request.options))
    return _response(chat_completion_sync(model, request.body, request.options))


def _response(given: tuple[Any, dict[str, Any]]) -> ModelResponse:
    data, facts = given
    response = ModelResponse._wrap(data)
    response._hidden_params = facts
    return response


def _course(model: str, request: Request, *, is_async: bool) -> Generator[_Step, Any, Any]:
    if request.mcp is not None:
        # The loop asks many times: each of its questions is a call that may have fallbacks, a mock and
        # witnesses of its own.
        return (yield model, request)
    if not request.is_watched:
        return (yield from _answered(model, request))
    from toolbridge._completion import observe

    watch = observe.Watch(model, request, is_async=is_async)
    try:
        answer = yield from _answered(model, request)
    except BaseException as error:
        watch.failed(error)
        raise
    return watch.answered(answer)


def _answered(model: str, request: Request) -> Generator[_Step, Any, Any]:
    """The answer of the model, or of the first other one that gives any."""
    tried: list[tuple[str, Exception]] = []
    waiting = list(request.fallbacks)
    # Models of the dict that were asked for: they may lead to one another.
    widened: list[Any] = []
    asked, current = model, request
    while True:
        try:
            answer = yield asked, current
            if current.schema is not None:
                _check(answer, current.schema, asked)
        except Exception as error:
            tried.append((asked, error))
            other = request.context_window.get(asked)
            is_too_long = isinstance(error, exceptions.ContextWindowExceededError)
            if other is not None and is_too_long and other not in widened:
                widened.append(other)
                waiting.insert(0, other)
            if not waiting or not _others_may_help(error):
                if len(tried) > 1:
                    tell_tried(error, tried)
                raise
            asked, current = next_call(model, request, waiting.pop(0))
        else:
            if current.charge is not None:
                _charge(answer, current.charge)
            if tried:
                answer._hidden_params["attempted_fallbacks"] = len(tried)
                answer._hidden_params["tried"] = [
                    {"model": name, "error": type(error).__name__, "message": str(error)}
                    for name, error in tried
                ]
            return answer


def _charge(answer: ModelResponse | CustomStreamWrapper, charge: Mapping[str, Any]) -> None:
    """Notes what the call said of its costs, which counts when they are asked for."""
    if isinstance(answer, ModelResponse):
        # Read as an attribute, they would be charged before they are complete.
        facts = answer._hidden_params_slot
    else:
        facts = answer._hidden_params
    facts.update(charge)
    facts["response_cost"] = None


def _others_may_help(error: Exception) -> bool:
    """Whether another model may succeed; what is wrong with the call itself stays wrong."""
    if not isinstance(error, exceptions.APIError):
        return False
    of_the_model = (
        exceptions.ContextWindowExceededError,
        exceptions.ContentPolicyViolationError,
        exceptions.UnsupportedParamsError,
    )
    if isinstance(error, exceptions.BadRequestError) and not isinstance(error, of_the_model):
        # What no provider said was found here, before anything was sent.
        return error.response is not None
    return True


def next_call(model: str, request: Request, other: Any) -> _Step:
    """The call as another model, or another set of parameters, gets it."""
    arguments = dict(request.arguments)
    changed = {"model": other} if isinstance(other, str) else dict(other)
    name = changed.pop("model", model)
    if name != model:
        for own in _OF_THE_MODEL:
            arguments.pop(own, None)
    if _provider(name) != _provider(model, arguments):
        # A key and an address are for the provider that they were given for, and no other.
        for own in _OF_THE_PROVIDER:
            arguments.pop(own, None)
        for own in ("headers", "extra_headers"):
            if isinstance(arguments.get(own), Mapping):
                arguments[own] = _without_keys(arguments[own])
    if "api_base" in changed:
        arguments.pop("base_url", None)
    arguments.update(changed)
    return name, prepare({"model": name, "kwargs": {}, "messages": (), **arguments})


def _without_keys(headers: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in headers.items()
        if not any(word in name.lower() for word in _OF_A_KEY)
    }


def _provider(model: str, arguments: dict[str, Any] | None = None) -> str | None:
    given = arguments or {}
    base = given.get("base_url", given.get("api_base"))
    try:
        custom = given.get("custom_llm_provider")
        return model_provider(model, custom, None if base is None else str(base))[0]
    except exceptions.ToolbridgeError:
        return None


def _check(answer: ModelResponse | CustomStreamWrapper, schema: Any, model: str) -> None:
    if not isinstance(answer, ModelResponse):
        return
    for choice in answer.choices:
        message = choice.message
        text = message.content
        if not isinstance(text, str) or message.get("tool_calls"):
            continue
        misfit = json_misfit(schema, text)
        if misfit is not None:
            raise exceptions.JSONSchemaValidationError(
                model=model,
                llm_provider=answer._hidden_params.get("custom_llm_provider"),
                raw_response=text,
                schema=schema,
                message=f"the answer of {model} does not fit the JSON Schema of response_format: "
                f"{misfit}",
            )
