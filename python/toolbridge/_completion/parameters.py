"""Sorts the arguments of a completion call: what goes to the provider, what stays here.

What neither this package nor LiteLLM knows goes into the body, so that a parameter that a provider
invents tomorrow works today.
"""

from __future__ import annotations

from toolbridge.objects import Object

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

__all__ = ["Mock", "Request", "prepare"]

# Read by the native half, under these names.
_OPTIONS = frozenset({"api_key", "custom_llm_provider", "organization", "ssl_verify"})
# Handled one by one in `_take`.
_HANDLED = frozenset(
    {
        "additional_drop_params",
        "allowed_openai_params",
        "api_base",
        "azure_ad_token_provider",
        "base_url",
        "extra_body",
        "extra_headers",
        "headers",
        "max_retries",
        "metadata",
        "mock_delay",
        "mock_response",
        "mock_timeout",
        "mock_tool_calls",
        "num_retries",
        "request_timeout",
        "response_format",
        "stream_timeout",
        "timeout",
    }
)
# LiteLLM's own, for things that this version does not do: kept from the provider, and said once.
_NOT_BUILT = frozenset(
    {
        "adaptive_router_config",
        "adaptive_router_default_model",
        "allow_client_keepalive_override",
        "allowed_model_region",
        "arize_api_key",
        "arize_space_id",
        "arize_space_key",
        "assistant_continue_message",
        "attempted_targets",
        "auto_router_config",
        "auto_router_config_path",
        "auto_router_default_model",
        "auto_router_embedding_model",
        "auto_router_max_input_chars",
        "azure",
        "base_model",
        "bos_token",
        "budget_duration",
        "cache",
        "cache_key",
        "caching",
        "caching_groups",
        "client",
        "client_side_timeout",
        "complete_response",
        "complexity_router_config",
        "complexity_router_default_model",
        "configurable_clientside_auth_params",
        "context_window_fallback_dict",
        "cooldown_time",
        "deployment_id",
        "disable_add_transform_inline_image_block",
        "drop_params",
        "enable_json_schema_validation",
        "enable_prompt_caching",
        "enable_tag_filtering",
        "ensure_alternating_roles",
        "eos_token",
        "fallback_depth",
        "fallbacks",
        "fastest_response",
        "final_prompt_value",
        "force_timeout",
        "gcs_bucket_name",
        "gcs_path_service_account",
        "guardrails",
        "hf_model_name",
        "humanloop_api_key",
        "include_server_side_tool_invocations",
        "input_cost_per_second",
        "input_cost_per_token",
        "itpm",
        "keepalive_seconds",
        "lago_api_charge_by",
        "lago_api_event_code",
        "langfuse_host",
        "langfuse_prompt_version",
        "langfuse_public_key",
        "langfuse_secret",
        "langfuse_secret_key",
        "langsmith_api_key",
        "langsmith_base_url",
        "langsmith_project",
        "langsmith_sampling_rate",
        "langsmith_tenant_id",
        "litellm_credential_name",
        "litellm_metadata",
        "litellm_request_debug",
        "litellm_session_id",
        "litellm_system_prompt",
        "litellm_trace_id",
        "logger_fn",
        "max_budget",
        "max_fallbacks",
        "max_parallel_requests",
        "merge_reasoning_content_in_choices",
        "model_config",
        "model_file_id_mapping",
        "model_info",
        "model_list",
        "no-log",
        "order",
        "otpm",
        "output_cost_per_second",
        "output_cost_per_token",
        "posthog_api_key",
        "posthog_host",
        "preset_cache_key",
        "prompt_id",
        "prompt_label",
        "prompt_variables",
        "prompt_version",
        "provider_specific_header",
        "proxy_server_request",
        "quality_router_config",
        "quality_router_default_model",
        "region_name",
        "retry_policy",
        "retry_strategy",
        "roles",
        "routing_strategy",
        "rpm",
        "rust",
        "search_tool_name",
        "secret_fields",
        "shared_session",
        "slack_webhook_url",
        "supports_system_message",
        "tags",
        "text_completion",
        "tpm",
        "ttl",
        "turn_off_message_logging",
        "use_chat_completions_api",
        "use_in_pass_through",
        "use_litellm_proxy",
        "use_xai_oauth",
        "user_continue_message",
        "wandb_api_key",
        "weave_project_id",
        "weight",
    }
)
# LiteLLM's own that mean nothing to a caller: marks that its layers leave for each other.
_INTERNAL = frozenset(
    {
        "_litellm_strip_stream_usage",
        "acompletion",
        "aimg_generation",
        "atext_completion",
        "id",
        "litellm_call_id",
        "litellm_logging_obj",
        "use_client",
        "verbose",
    }
)
_OURS = _OPTIONS | _HANDLED | _NOT_BUILT | _INTERNAL
# Fields of a message that say something only when they are set, and those that providers refuse.
_CONTENT = "content"
_LITELLM_FIELD = "provider_specific_fields"
_warned: set[str] = set()

_MESSAGES_TAKES = 'messages takes a list of dicts such as [{"role": "user", "content": "…"}]'


class Mock:
    """The parameters that stand in for a provider; see ``toolbridge._completion.mock``."""

    __slots__ = ("delay", "response", "timeout", "tool_calls")

    def __init__(self) -> None:
        self.response: Any = None
        self.tool_calls: Any = None
        # Seconds, or an httpx.Timeout: set when a timeout is to be played.
        self.timeout: Any = None
        self.delay: float | None = None


class Request:
    """A completion call, sorted."""

    __slots__ = ("body", "mock", "options")

    def __init__(self, body: dict[str, Any], options: dict[str, Any], mock: Mock | None) -> None:
        self.body = body
        self.options = options
        self.mock = mock


def prepare(given: dict[str, Any]) -> Request:
    """Sorts the arguments of ``acompletion`` or ``completion``.

    Args:
        given: the local variables of that function, which this takes over: ``model`` is left out,
            ``kwargs`` holds the keyword arguments without a name of their own.

    Raises:
        TypeError: an argument is of a type that it does not take.
        BadRequestError: there are no messages.
    """
    kwargs: dict[str, Any] = given.pop("kwargs")
    model = given.pop("model")
    if not isinstance(model, str):
        raise TypeError(f'model takes a str such as "openai/gpt-4o", not {type(model).__name__}')
    body: dict[str, Any] = {"messages": _messages(given.pop("messages"), model)}
    own: dict[str, Any] = {}
    for source in (given, kwargs):
        for name, value in source.items():
            if value is not None:
                if name in _OURS:
                    own[name] = value
                else:
                    body[name] = value
    stream = body.get("stream")
    if stream is not None and not isinstance(stream, bool):
        raise TypeError(f"stream takes a bool, not {type(stream).__name__}")
    if stream is False:
        del body["stream"]
    for name in ("tools", "functions"):
        if name in body and not isinstance(body[name], (list, tuple)):
            raise TypeError(f"{name} takes a list of dicts, not {type(body[name]).__name__}")
    if not own:
        return Request(body, own, None)
    return _take(body, own)


def _take(body: dict[str, Any], own: dict[str, Any]) -> Request:
    """Acts on the arguments that are not the provider's."""
    options: dict[str, Any] = {}
    if "response_format" in own:
        from toolbridge._completion.response_format import response_format

        body["response_format"] = response_format(own["response_format"])
    # LiteLLM lets base_url win.
    base = own.get("base_url", own.get("api_base"))
    if base is not None:
        options["api_base"] = base
    for name in ("headers", "extra_headers"):
        if name in own:
            options[name] = own[name]
    limit = own.get("timeout", own.get("request_timeout"))
    if body.get("stream"):
        limit = own.get("stream_timeout", limit)
    if limit is not None:
        options["timeout"] = limit
    for name in ("num_retries", "max_retries"):
        if name in own:
            options.pop("num_retries", None)
            options[name] = own[name]
    # OpenAI takes metadata with stored completions alone; LiteLLM's are for its logs.
    if "metadata" in own:
        if body.get("store"):
            body["metadata"] = own["metadata"]
        else:
            _warn("metadata", "is kept for stored completions (store=True)")
    provider = own.get("azure_ad_token_provider")
    if provider is not None and not body.get("azure_ad_token"):
        body["azure_ad_token"] = _token(provider)
    extra = own.get("extra_body")
    if extra is not None:
        if not isinstance(extra, dict):
            raise TypeError(f"extra_body takes a dict, not {type(extra).__name__}")
        body.update(extra)
    dropped = own.get("additional_drop_params", ())
    if isinstance(dropped, str) or not isinstance(dropped, (list, tuple)):
        raise TypeError(f"additional_drop_params takes a list of str, not {type(dropped).__name__}")
    for name in dropped:
        body.pop(name, None)
    for name, value in own.items():
        if name in _OPTIONS:
            options[name] = value
        elif value and name in _NOT_BUILT:
            _warn(name, "is accepted and has no effect in this version")
    return Request(body, options, _mock(own))


def _token(provider: Any) -> str:
    """Asks for the token of one call."""
    if not callable(provider):
        raise TypeError(
            f"azure_ad_token_provider takes a function that gives a token, not {type(provider).__name__}"
        )
    token = provider()
    if not isinstance(token, str):
        raise TypeError(
            f"azure_ad_token_provider has to give a str, and gave {type(token).__name__}"
        )
    return token


def _mock(own: dict[str, Any]) -> Mock | None:
    response, tool_calls = own.get("mock_response"), own.get("mock_tool_calls")
    is_timeout = own.get("mock_timeout")
    if response is None and tool_calls is None and not is_timeout:
        return None
    mock = Mock()
    mock.response, mock.tool_calls = response, tool_calls
    mock.delay = own.get("mock_delay")
    if is_timeout:
        mock.timeout = own.get("timeout")
    if tool_calls is not None and not isinstance(tool_calls, (list, tuple)):
        raise TypeError(f"mock_tool_calls takes a list of dicts, not {type(tool_calls).__name__}")
    return mock


def _warn(name: str, what: str) -> None:
    """Says it once per process and name."""
    if name in _warned:
        return
    _warned.add(name)
    import warnings

    # The caller of the public function: it called `prepare`, which called `_take`.
    warnings.warn(f"the argument {name} {what}", UserWarning, stacklevel=5)


def _messages(messages: Any, model: str) -> Sequence[Any]:
    """Checks the messages; copies only what has to be changed."""
    if not isinstance(messages, (list, tuple)):
        raise TypeError(f"{_MESSAGES_TAKES}, not {type(messages).__name__}")
    if not messages:
        from toolbridge.exceptions import BadRequestError

        raise BadRequestError(
            f"messages is empty: {_MESSAGES_TAKES}", model=model, param="messages"
        )
    changed: list[Any] | None = None
    for position, message in enumerate(messages):
        data = message if type(message) is dict else _message_data(message, position)
        if None in data.values() or _LITELLM_FIELD in data:
            # A dumped message names every field; some providers refuse the nulls.
            data = {
                name: value
                for name, value in data.items()
                if name != _LITELLM_FIELD and (value is not None or name == _CONTENT)
            }
        if data is not message:
            if changed is None:
                changed = list(messages)
            changed[position] = data
    return messages if changed is None else changed


def _message_data(message: Any, position: int) -> dict[str, Any]:
    """The fields of a message that is an object: ours, openai's or litellm's."""
    if isinstance(message, Object):
        return message._data
    if isinstance(message, dict):
        return message
    dump = None if isinstance(message, type) else getattr(message, "model_dump", None)
    if dump is not None:
        dumped: dict[str, Any] = dump(exclude_none=True)
        return dumped
    from collections.abc import Mapping

    if isinstance(message, Mapping):
        return dict(message)
    raise TypeError(
        f"messages[{position}] takes a dict or a message of a response, "
        f"not {type(message).__name__}"
    )
