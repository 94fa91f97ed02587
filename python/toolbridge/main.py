"""The completion call: ``acompletion`` in an event loop, ``completion`` without one.

Signatures, response objects and exceptions are LiteLLM's, and so is the name of this module; the
work is done by the engine. Users call ``toolbridge.acompletion`` and ``toolbridge.completion``.
"""

from __future__ import annotations

from toolbridge._completion.parameters import prepare
from toolbridge._completion.rebuild import stream_chunk_builder
from toolbridge._completion.streaming import CustomStreamWrapper, wrap_stream
from toolbridge._toolbridge import (
    chat_completion,
    chat_completion_sync,
    chat_stream,
    chat_stream_sync,
)
from toolbridge.types.chat import ModelResponse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, Literal, overload

__all__ = [
    "CustomStreamWrapper",
    "ModelResponse",
    "acompletion",
    "completion",
    "stream_chunk_builder",
]


if TYPE_CHECKING:

    @overload
    async def acompletion(
        model: str,
        messages: Sequence[Any] = ...,
        *,
        stream: Literal[True],
        **kwargs: Any,
    ) -> CustomStreamWrapper: ...

    @overload
    async def acompletion(
        model: str,
        messages: Sequence[Any] = ...,
        functions: Sequence[Any] | None = ...,
        function_call: str | Mapping[str, Any] | None = ...,
        timeout: float | str | object | None = ...,
        temperature: float | None = ...,
        top_p: float | None = ...,
        n: int | None = ...,
        stream: Literal[False] | None = ...,
        stream_options: Mapping[str, Any] | None = ...,
        stop: str | Sequence[str] | None = ...,
        max_tokens: int | None = ...,
        max_completion_tokens: int | None = ...,
        modalities: Sequence[str] | None = ...,
        prediction: Mapping[str, Any] | None = ...,
        audio: Mapping[str, Any] | None = ...,
        presence_penalty: float | None = ...,
        frequency_penalty: float | None = ...,
        logit_bias: Mapping[str, float] | None = ...,
        user: str | None = ...,
        response_format: Mapping[str, Any] | type | None = ...,
        seed: int | None = ...,
        tools: Sequence[Any] | None = ...,
        tool_choice: str | Mapping[str, Any] | None = ...,
        parallel_tool_calls: bool | None = ...,
        logprobs: bool | None = ...,
        top_logprobs: int | None = ...,
        deployment_id: str | None = ...,
        reasoning_effort: str | None = ...,
        verbosity: str | None = ...,
        safety_identifier: str | None = ...,
        service_tier: str | None = ...,
        store: bool | None = ...,
        prompt_cache_key: str | None = ...,
        prompt_cache_retention: str | None = ...,
        base_url: str | None = ...,
        api_version: str | None = ...,
        api_key: str | None = ...,
        model_list: Sequence[Any] | None = ...,
        extra_headers: Mapping[str, str] | None = ...,
        thinking: Mapping[str, Any] | None = ...,
        web_search_options: Mapping[str, Any] | None = ...,
        include_server_side_tool_invocations: bool | None = ...,
        shared_session: object | None = ...,
        enable_json_schema_validation: bool | None = ...,
        **kwargs: Any,
    ) -> ModelResponse: ...

    @overload
    async def acompletion(
        model: str,
        messages: Sequence[Any] = ...,
        *,
        stream: bool | None,
        **kwargs: Any,
    ) -> ModelResponse | CustomStreamWrapper: ...


async def acompletion(  # noqa: D417
    model: str,
    messages: Sequence[Any] = (),
    functions: Sequence[Any] | None = None,
    function_call: str | Mapping[str, Any] | None = None,
    timeout: float | str | object | None = None,
    temperature: float | None = None,
    top_p: float | None = None,
    n: int | None = None,
    stream: bool | None = None,
    stream_options: Mapping[str, Any] | None = None,
    stop: str | Sequence[str] | None = None,
    max_tokens: int | None = None,
    max_completion_tokens: int | None = None,
    modalities: Sequence[str] | None = None,
    prediction: Mapping[str, Any] | None = None,
    audio: Mapping[str, Any] | None = None,
    presence_penalty: float | None = None,
    frequency_penalty: float | None = None,
    logit_bias: Mapping[str, float] | None = None,
    user: str | None = None,
    response_format: Mapping[str, Any] | type | None = None,
    seed: int | None = None,
    tools: Sequence[Any] | None = None,
    tool_choice: str | Mapping[str, Any] | None = None,
    parallel_tool_calls: bool | None = None,
    logprobs: bool | None = None,
    top_logprobs: int | None = None,
    deployment_id: str | None = None,
    reasoning_effort: str | None = None,
    verbosity: str | None = None,
    safety_identifier: str | None = None,
    service_tier: str | None = None,
    store: bool | None = None,
    prompt_cache_key: str | None = None,
    prompt_cache_retention: str | None = None,
    base_url: str | None = None,
    api_version: str | None = None,
    api_key: str | None = None,
    model_list: Sequence[Any] | None = None,
    extra_headers: Mapping[str, str] | None = None,
    thinking: Mapping[str, Any] | None = None,
    web_search_options: Mapping[str, Any] | None = None,
    include_server_side_tool_invocations: bool | None = None,
    shared_session: object | None = None,
    enable_json_schema_validation: bool | None = None,
    **kwargs: Any,
) -> ModelResponse | CustomStreamWrapper:
    """Asks a model for a completion.

    What the provider takes is sent to it, whether it is named here or not; what LiteLLM takes for
    itself stays here, and a warning says once which of it has no effect yet. Attributes of the
    package stand in for arguments that a call does not have: ``api_base``, ``api_key``,
    ``drop_params``, ``enable_json_schema_validation``, ``headers``, ``num_retries``,
    ``organization``, ``request_timeout``, ``ssl_verify``, as in ``toolbridge.num_retries = 3``.

    With tools of the type ``mcp`` whose ``server_url`` is a URL, the tool loop runs over those servers
    and its answer is given; whatever else the call says holds for each question to the model. Of it
    are ``mcp_max_rounds``, ``mcp_max_parallel``, ``mcp_tool_timeout`` (seconds) and ``mcp_stream``,
    what a stream shows: ``"final"`` (the default) the last turn alone, whose chunks come once it is
    over, since only then it is known that no call follows; ``"answer"`` the answer as it is written,
    where a text that grows longer than 200 characters is shown even if a call follows it;
    ``"everything"`` every chunk of every round.

    Args:
        model: ``"openai/gpt-4o"``; a bare ``"gpt-4o"`` or ``"o3"``; ``"custom_openai/…"``, or with
            ``api_base`` any name without a slash, for an OpenAI-compatible endpoint.
        messages: the conversation: dicts, or messages of earlier responses (ours, openai's or
            litellm's).
        timeout: seconds until the answer must be there, 600 by default; of a stream, until it
            begins and between two chunks. A :class:`toolbridge.Timeouts`, or a dict of its parts,
            sets ``connect``, ``first_token``, ``between_tokens`` and ``total``; an
            ``httpx.Timeout`` ``connect`` and ``read``.
        stream: give the answer in chunks.
        response_format: a dict, or a class whose JSON Schema is sent: a pydantic class, or a
            dataclass or TypedDict where pydantic is installed.
        base_url: where the endpoint is; the same as ``api_base``. By default what
            ``OPENAI_BASE_URL`` or ``OPENAI_API_BASE`` says, or OpenAI itself.
        api_key: the key; by default what ``OPENAI_API_KEY`` says.
        extra_headers: headers that are added, and win over all others.
        functions: passed to the provider, as are ``function_call``, ``temperature``, ``top_p``,
            ``n``, ``stream_options``, ``stop``, ``max_tokens``, ``max_completion_tokens``,
            ``modalities``, ``prediction``, ``audio``, ``presence_penalty``, ``frequency_penalty``,
            ``logit_bias``, ``user``, ``seed``, ``tools``, ``tool_choice``,
            ``parallel_tool_calls``, ``logprobs``, ``top_logprobs``, ``reasoning_effort``,
            ``verbosity``, ``safety_identifier``, ``service_tier``, ``store``,
            ``prompt_cache_key``, ``prompt_cache_retention``, ``thinking`` and
            ``web_search_options``.
        enable_json_schema_validation: check the answer against the JSON Schema of
            ``response_format``; not that of a stream.
        deployment_id: accepted for LiteLLM's sake and without effect yet, as are ``api_version``,
            ``model_list``, ``include_server_side_tool_invocations`` and ``shared_session``.
        **kwargs: ``api_base``, ``organization``, ``custom_llm_provider``, ``headers``,
            ``extra_body`` (merged into the body), ``max_retries`` (2 by default; ``num_retries``
            is the same), ``stream_timeout`` (seconds), ``ssl_verify`` (False, or the path of a PEM
            file), ``drop_params`` (leave out what the provider does not take),
            ``additional_drop_params`` (names that are not sent, or paths such as
            ``tools[*].function.strict``), ``allowed_openai_params`` (names
            that are sent whatever is known of the provider), ``fallbacks`` (models, or dicts of
            arguments, that are asked in this order when the call fails in a way that they may
            not), ``context_window_fallback_dict`` (from a model to the one for longer messages),
            ``input_cost_per_token``, ``output_cost_per_token`` and the other prices of a token
            (US dollars; they and ``base_model``, the model whose prices count, decide
            ``_hidden_params["response_cost"]``),
            ``mock_response``, ``mock_tool_calls``, ``mock_timeout``, ``mock_delay``; anything else
            goes into the body.

    Returns:
        The response; with ``stream=True`` a :class:`CustomStreamWrapper` over its chunks.

    Raises:
        TypeError: an argument is of a type that it does not take.
        ConfigurationError: an argument or a variable has a value that cannot be used.
        BadRequestError: no messages, an unknown provider, or the provider refuses the request.
        AuthenticationError: there is no key, or the provider refuses it.
        APIConnectionError: the provider cannot be reached, or the connection breaks.
        Timeout: the answer does not come in time.
        APIResponseValidationError: what came is not an answer.
        JSONSchemaValidationError: the answer does not fit the schema, and was to be checked.
        UnsupportedParamsError: the provider does not take a parameter.
        APIStatusError: any other error status, by its class.
    """
    request = prepare(locals())
    if not request.is_plain:
        from toolbridge._completion.around import acall

        return await acall(model, request)
    if "stream" in request.body:
        return wrap_stream(await chat_stream(model, request.body, request.options))
    data, facts = await chat_completion(model, request.body, request.options)
    response = ModelResponse._wrap(data)
    response._hidden_params = facts
    return response


if TYPE_CHECKING:

    @overload
    def completion(
        model: str,
        messages: Sequence[Any] = ...,
        *,
        stream: Literal[True],
        **kwargs: Any,
    ) -> CustomStreamWrapper: ...

    @overload
    def completion(
        model: str,
        messages: Sequence[Any] = ...,
        timeout: float | str | object | None = ...,
        temperature: float | None = ...,
        top_p: float | None = ...,
        n: int | None = ...,
        stream: Literal[False] | None = ...,
        stream_options: Mapping[str, Any] | None = ...,
        stop: str | Sequence[str] | None = ...,
        max_completion_tokens: int | None = ...,
        max_tokens: int | None = ...,
        modalities: Sequence[str] | None = ...,
        prediction: Mapping[str, Any] | None = ...,
        audio: Mapping[str, Any] | None = ...,
        presence_penalty: float | None = ...,
        frequency_penalty: float | None = ...,
        logit_bias: Mapping[str, float] | None = ...,
        user: str | None = ...,
        reasoning_effort: str | None = ...,
        verbosity: str | None = ...,
        response_format: Mapping[str, Any] | type | None = ...,
        seed: int | None = ...,
        tools: Sequence[Any] | None = ...,
        tool_choice: str | Mapping[str, Any] | None = ...,
        logprobs: bool | None = ...,
        top_logprobs: int | None = ...,
        parallel_tool_calls: bool | None = ...,
        web_search_options: Mapping[str, Any] | None = ...,
        include_server_side_tool_invocations: bool | None = ...,
        deployment_id: str | None = ...,
        extra_headers: Mapping[str, str] | None = ...,
        safety_identifier: str | None = ...,
        service_tier: str | None = ...,
        store: bool | None = ...,
        prompt_cache_key: str | None = ...,
        prompt_cache_retention: str | None = ...,
        functions: Sequence[Any] | None = ...,
        function_call: str | Mapping[str, Any] | None = ...,
        base_url: str | None = ...,
        api_version: str | None = ...,
        api_key: str | None = ...,
        model_list: Sequence[Any] | None = ...,
        thinking: Mapping[str, Any] | None = ...,
        shared_session: object | None = ...,
        enable_json_schema_validation: bool | None = ...,
        **kwargs: Any,
    ) -> ModelResponse: ...

    @overload
    def completion(
        model: str,
        messages: Sequence[Any] = ...,
        *,
        stream: bool | None,
        **kwargs: Any,
    ) -> ModelResponse | CustomStreamWrapper: ...


def completion(  # noqa: D417
    model: str,
    messages: Sequence[Any] = (),
    timeout: float | str | object | None = None,
    temperature: float | None = None,
    top_p: float | None = None,
    n: int | None = None,
    stream: bool | None = None,
    stream_options: Mapping[str, Any] | None = None,
    stop: str | Sequence[str] | None = None,
    max_completion_tokens: int | None = None,
    max_tokens: int | None = None,
    modalities: Sequence[str] | None = None,
    prediction: Mapping[str, Any] | None = None,
    audio: Mapping[str, Any] | None = None,
    presence_penalty: float | None = None,
    frequency_penalty: float | None = None,
    logit_bias: Mapping[str, float] | None = None,
    user: str | None = None,
    reasoning_effort: str | None = None,
    verbosity: str | None = None,
    response_format: Mapping[str, Any] | type | None = None,
    seed: int | None = None,
    tools: Sequence[Any] | None = None,
    tool_choice: str | Mapping[str, Any] | None = None,
    logprobs: bool | None = None,
    top_logprobs: int | None = None,
    parallel_tool_calls: bool | None = None,
    web_search_options: Mapping[str, Any] | None = None,
    include_server_side_tool_invocations: bool | None = None,
    deployment_id: str | None = None,
    extra_headers: Mapping[str, str] | None = None,
    safety_identifier: str | None = None,
    service_tier: str | None = None,
    store: bool | None = None,
    prompt_cache_key: str | None = None,
    prompt_cache_retention: str | None = None,
    functions: Sequence[Any] | None = None,
    function_call: str | Mapping[str, Any] | None = None,
    base_url: str | None = None,
    api_version: str | None = None,
    api_key: str | None = None,
    model_list: Sequence[Any] | None = None,
    thinking: Mapping[str, Any] | None = None,
    shared_session: object | None = None,
    enable_json_schema_validation: bool | None = None,
    **kwargs: Any,
) -> ModelResponse | CustomStreamWrapper:
    """Asks a model for a completion and waits, which also works while a loop runs in the thread.

    What the provider takes is sent to it, whether it is named here or not; what LiteLLM takes for
    itself stays here, and a warning says once which of it has no effect yet. Attributes of the
    package stand in for arguments that a call does not have: ``api_base``, ``api_key``,
    ``drop_params``, ``enable_json_schema_validation``, ``headers``, ``num_retries``,
    ``organization``, ``request_timeout``, ``ssl_verify``, as in ``toolbridge.num_retries = 3``.

    With tools of the type ``mcp`` whose ``server_url`` is a URL, the tool loop runs over those servers
    and its answer is given; whatever else the call says holds for each question to the model. Of it
    are ``mcp_max_rounds``, ``mcp_max_parallel``, ``mcp_tool_timeout`` (seconds) and no stream is
    given of it.

    Args:
        model: ``"openai/gpt-4o"``; a bare ``"gpt-4o"`` or ``"o3"``; ``"custom_openai/…"``, or with
            ``api_base`` any name without a slash, for an OpenAI-compatible endpoint.
        messages: the conversation: dicts, or messages of earlier responses (ours, openai's or
            litellm's).
        timeout: seconds until the answer must be there, 600 by default; of a stream, until it
            begins and between two chunks. A :class:`toolbridge.Timeouts`, or a dict of its parts,
            sets ``connect``, ``first_token``, ``between_tokens`` and ``total``; an
            ``httpx.Timeout`` ``connect`` and ``read``.
        stream: give the answer in chunks.
        response_format: a dict, or a class whose JSON Schema is sent: a pydantic class, or a
            dataclass or TypedDict where pydantic is installed.
        base_url: where the endpoint is; the same as ``api_base``. By default what
            ``OPENAI_BASE_URL`` or ``OPENAI_API_BASE`` says, or OpenAI itself.
        api_key: the key; by default what ``OPENAI_API_KEY`` says.
        extra_headers: headers that are added, and win over all others.
        functions: passed to the provider, as are ``function_call``, ``temperature``, ``top_p``,
            ``n``, ``stream_options``, ``stop``, ``max_tokens``, ``max_completion_tokens``,
            ``modalities``, ``prediction``, ``audio``, ``presence_penalty``, ``frequency_penalty``,
            ``logit_bias``, ``user``, ``seed``, ``tools``, ``tool_choice``,
            ``parallel_tool_calls``, ``logprobs``, ``top_logprobs``, ``reasoning_effort``,
            ``verbosity``, ``safety_identifier``, ``service_tier``, ``store``,
            ``prompt_cache_key``, ``prompt_cache_retention``, ``thinking`` and
            ``web_search_options``.
        enable_json_schema_validation: check the answer against the JSON Schema of
            ``response_format``; not that of a stream.
        deployment_id: accepted for LiteLLM's sake and without effect yet, as are ``api_version``,
            ``model_list``, ``include_server_side_tool_invocations`` and ``shared_session``.
        **kwargs: ``api_base``, ``organization``, ``custom_llm_provider``, ``headers``,
            ``extra_body`` (merged into the body), ``max_retries`` (2 by default; ``num_retries``
            is the same), ``stream_timeout`` (seconds), ``ssl_verify`` (False, or the path of a PEM
            file), ``drop_params`` (leave out what the provider does not take),
            ``additional_drop_params`` (names that are not sent, or paths such as
            ``tools[*].function.strict``), ``allowed_openai_params`` (names
            that are sent whatever is known of the provider), ``fallbacks`` (models, or dicts of
            arguments, that are asked in this order when the call fails in a way that they may
            not), ``context_window_fallback_dict`` (from a model to the one for longer messages),
            ``input_cost_per_token``, ``output_cost_per_token`` and the other prices of a token
            (US dollars; they and ``base_model``, the model whose prices count, decide
            ``_hidden_params["response_cost"]``),
            ``mock_response``, ``mock_tool_calls``, ``mock_timeout``, ``mock_delay``; anything else
            goes into the body.

    Returns:
        The response; with ``stream=True`` a :class:`CustomStreamWrapper` over its chunks.

    Raises:
        TypeError: an argument is of a type that it does not take.
        ConfigurationError: an argument or a variable has a value that cannot be used.
        BadRequestError: no messages, an unknown provider, or the provider refuses the request.
        AuthenticationError: there is no key, or the provider refuses it.
        APIConnectionError: the provider cannot be reached, or the connection breaks.
        Timeout: the answer does not come in time.
        APIResponseValidationError: what came is not an answer.
        JSONSchemaValidationError: the answer does not fit the schema, and was to be checked.
        UnsupportedParamsError: the provider does not take a parameter.
        APIStatusError: any other error status, by its class.
    """
    request = prepare(locals())
    if not request.is_plain:
        from toolbridge._completion.around import call

        return call(model, request)
    if "stream" in request.body:
        return wrap_stream(chat_stream_sync(model, request.body, request.options))
    data, facts = chat_completion_sync(model, request.body, request.options)
    response = ModelResponse._wrap(data)
    response._hidden_params = facts
    return response
