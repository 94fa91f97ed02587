"""Sorts the arguments of a completion call: what goes to the provider, what stays here.

What neither this package nor LiteLLM knows goes into the body, so that a parameter that a provider
invents tomorrow works today.
"""

from __future__ import annotations

import sys

# What `operator` takes it from; that module costs a third of a millisecond.
from _operator import itemgetter

import toolbridge
from toolbridge.objects import Object

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from toolbridge._completion.mcp_tools import Servers
    from toolbridge._toolbridge import ModelRouter

__all__ = ["PRICES", "Mock", "Request", "prepare"]

# Read by the native half, under these names.
_OPTIONS = frozenset(
    {
        "allowed_openai_params",
        "api_key",
        "custom_llm_provider",
        "drop_params",
        "organization",
        "ssl_verify",
    }
)
# Handled one by one in `_take`.
_HANDLED = frozenset(
    {
        "additional_drop_params",
        "api_base",
        "azure_ad_token_provider",
        "base_model",
        "base_url",
        "context_window_fallback_dict",
        "enable_json_schema_validation",
        "extra_body",
        "extra_headers",
        "fallbacks",
        "headers",
        "max_retries",
        "metadata",
        "mock_delay",
        "mock_response",
        "mock_timeout",
        "mock_tool_calls",
        "model_info",
        "num_retries",
        "request_timeout",
        "response_format",
        "stream_timeout",
        "timeout",
    }
)
# What the call itself says about its prices, in US dollars for each token.
PRICES = frozenset(
    {
        "cache_creation_input_token_cost",
        "cache_creation_input_token_cost_above_1hr",
        "cache_read_input_token_cost",
        "input_cost_per_audio_token",
        "input_cost_per_token",
        "input_cost_per_token_flex",
        "input_cost_per_token_priority",
        "output_cost_per_audio_token",
        "output_cost_per_image_token",
        "output_cost_per_reasoning_token",
        "output_cost_per_token",
        "output_cost_per_token_flex",
        "output_cost_per_token_priority",
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
        "cooldown_time",
        "deployment_id",
        "disable_add_transform_inline_image_block",
        "enable_prompt_caching",
        "enable_tag_filtering",
        "ensure_alternating_roles",
        "eos_token",
        "fallback_depth",
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
        "model_list",
        "no-log",
        "order",
        "otpm",
        "output_cost_per_second",
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
_OURS = _OPTIONS | _HANDLED | PRICES | _NOT_BUILT | _INTERNAL
# The field of a message that says something when it is not set.
_CONTENT = "content"
_warned: set[str] = set()
_NOTHING: Mapping[str, Any] = {}
# The attributes of the package that stand in for arguments: what they are while nobody assigned to
# them, and the arguments that say the same.
_DEFAULTS: tuple[tuple[str, Any, tuple[str, ...]], ...] = (
    ("api_base", None, ("api_base", "base_url")),
    ("api_key", None, ("api_key",)),
    ("drop_params", False, ("drop_params",)),
    ("enable_json_schema_validation", False, ("enable_json_schema_validation",)),
    ("headers", None, ("headers",)),
    ("num_retries", None, ("num_retries", "max_retries")),
    ("organization", None, ("organization",)),
    ("request_timeout", None, ("request_timeout", "timeout")),
    ("ssl_verify", None, ("ssl_verify",)),
)
_defaults = itemgetter(*[name for name, *_ in _DEFAULTS])
_UNTOUCHED = tuple(untouched for _, untouched, _ in _DEFAULTS)
_CALLBACKS = ("success_callback", "failure_callback", "callbacks")
_package = vars(toolbridge)
_modules = sys.modules
_INFO = 20
_logger: Any = None

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

    # Whether nothing but the native half has to do with it. What plain calls never have is here, and
    # costs them nothing.
    is_plain: bool = True
    # Whether somebody wants to know what becomes of it.
    is_watched: bool = False
    mock: Mock | None = None
    # What is asked instead: names of models, or dicts of arguments that are changed.
    fallbacks: Sequence[Any] = ()
    context_window: Mapping[str, str] = _NOTHING
    # The arguments as they were given, where other models may get them.
    arguments: Mapping[str, Any] = _NOTHING
    # The JSON Schema that the answer has to fit.
    schema: Any = None
    # What the call says of its costs: facts for `_hidden_params`.
    charge: Mapping[str, Any] | None = None
    metadata: Any = None
    # What counts instead of `timeout` where the engine decides that the answer is a stream.
    stream_timeout: Any = None
    router: ModelRouter | None = None
    # The MCP servers among its tools, which are called from here.
    mcp: Servers | None = None

    def __init__(self, body: dict[str, Any], options: dict[str, Any]) -> None:
        self.body = body
        self.options = options


def is_watched() -> bool:
    """Whether a log, a span, a metric or a callback is wanted; imports nothing to find out."""
    global _logger  # noqa: PLW0603 - found once
    if _logger is None:
        logging = _modules.get("logging")
        if logging is not None:
            _logger = logging.getLogger("toolbridge.llm")
    if _logger is not None and _logger.isEnabledFor(_INFO):
        return True
    for name in _CALLBACKS:
        if _package[name]:
            return True
    trace = _modules.get("opentelemetry.trace")
    if trace and type(trace.get_tracer_provider()).__name__ != "ProxyTracerProvider":
        return True
    metrics = _modules.get("opentelemetry.metrics")
    return bool(metrics and type(metrics.get_meter_provider()).__name__ != "_ProxyMeterProvider")


def prepare(given: dict[str, Any], *, has_defaults: bool = True) -> Request:
    """Sorts the arguments of ``acompletion`` or ``completion``.

    Args:
        given: the local variables of that function, which this takes over: ``model`` is left out,
            ``kwargs`` holds the keyword arguments without a name of their own.
        has_defaults: whether the attributes of the package count.

    Raises:
        TypeError: an argument is of a type that it does not take.
        BadRequestError: there are no messages.
    """
    kwargs: dict[str, Any] = given.pop("kwargs")
    model = given.pop("model")
    asked = given["messages"]
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
    if has_defaults and _defaults(_package) != _UNTOUCHED:
        for name, untouched, same in _DEFAULTS:
            value = _package[name]
            if value is not untouched and value is not None and own.keys().isdisjoint(same):
                own[name] = value
    servers = None
    for tool in body.get("tools", ()):
        if type(tool) is dict and tool.get("type") == "mcp":
            from toolbridge._completion import mcp_tools

            servers = mcp_tools.take(body)
            break
    if "fallbacks" in own or "context_window_fallback_dict" in own:
        request = _with_fallbacks({"messages": asked, **given, **kwargs}, body, own)
        request.mcp = servers
        return request
    request = _take(body, own) if own else Request(body, own)
    if servers is not None:
        request.mcp = servers
        request.is_plain = False
    if is_watched():
        request.is_watched = True
        request.is_plain = False
    return request


def _with_fallbacks(
    arguments: dict[str, Any], body: dict[str, Any], own: dict[str, Any]
) -> Request:
    fallbacks = own.pop("fallbacks", ())
    context_window = own.pop("context_window_fallback_dict", {})
    if isinstance(fallbacks, str) or not isinstance(fallbacks, (list, tuple)):
        raise TypeError(
            'fallbacks takes a list of models such as "openai/gpt-4o", or of dicts of arguments, '
            f"not {type(fallbacks).__name__}"
        )
    for position, other in enumerate(fallbacks):
        if not isinstance(other, (str, dict)):
            raise TypeError(
                f"fallbacks[{position}] takes a str or a dict, not {type(other).__name__}"
            )
    if not isinstance(context_window, dict):
        raise TypeError(
            "context_window_fallback_dict takes a dict of model to model, "
            f"not {type(context_window).__name__}"
        )
    request = _take(body, own)
    request.is_plain = False
    request.is_watched = is_watched()
    request.fallbacks = fallbacks
    request.context_window = context_window
    ours = ("fallbacks", "context_window_fallback_dict")
    request.arguments = {name: value for name, value in arguments.items() if name not in ours}
    return request


def _take(body: dict[str, Any], own: dict[str, Any]) -> Request:
    """Acts on the arguments that are not the provider's."""
    options: dict[str, Any] = {}
    schema = None
    if "response_format" in own:
        from toolbridge._completion.response_format import response_format

        body["response_format"] = response_format(own["response_format"])
        if own.get("enable_json_schema_validation"):
            schema = _schema(body["response_format"])
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
        elif not any(_package[name] for name in _CALLBACKS):
            _warn("metadata", "is kept for stored completions (store=True)")
    provider = own.get("azure_ad_token_provider")
    if provider is not None and not body.get("azure_ad_token"):
        body["azure_ad_token"] = _token(provider)
    extra = own.get("extra_body")
    if extra is not None:
        if not isinstance(extra, dict):
            raise TypeError(f"extra_body takes a dict, not {type(extra).__name__}")
        body.update(extra)
    if "additional_drop_params" in own:
        body = _without(body, own["additional_drop_params"])
    for name, value in own.items():
        if name in _OPTIONS:
            options[name] = value
        elif value and name in _NOT_BUILT:
            _warn(name, "is accepted and has no effect in this version")
    request = Request(body, options)
    request.mock = _mock(own)
    request.schema = schema
    request.charge = _charge(own)
    if own.get("model_info") and "base_model" not in (request.charge or {}):
        _warn("model_info", "has an effect by its base_model alone")
    request.metadata = own.get("metadata")
    if "stream_timeout" in own:
        request.stream_timeout = own["stream_timeout"]
    request.is_plain = request.mock is None and schema is None and request.charge is None
    return request


def _charge(own: dict[str, Any]) -> dict[str, Any] | None:
    """What the arguments say of the costs of the answer."""
    charge: dict[str, Any] = {}
    prices = {name: own[name] for name in own if name in PRICES}
    for name, price in prices.items():
        if isinstance(price, bool) or not isinstance(price, (int, float)) or not price >= 0:
            raise TypeError(f"{name} takes US dollars for one token, a number, not {price!r}")
    if prices:
        charge["custom_pricing"] = prices
    info = own.get("model_info")
    base = own.get("base_model")
    if base is None and isinstance(info, dict):
        base = info.get("base_model")
    if base is not None:
        if not isinstance(base, str):
            raise TypeError(f"base_model takes the name of a model, not {type(base).__name__}")
        charge["base_model"] = base
    return charge or None


def _without(body: dict[str, Any], dropped: Any) -> dict[str, Any]:
    """The body without the parameters of ``additional_drop_params``."""
    if isinstance(dropped, str) or not isinstance(dropped, (list, tuple)):
        raise TypeError(f"additional_drop_params takes a list of str, not {type(dropped).__name__}")
    for name in dropped:
        if not isinstance(name, str):
            kind = type(name).__name__
            raise TypeError(f"additional_drop_params takes a list of str, not of {kind}")
        if name in body:
            del body[name]
        elif "." in name or "[" in name:
            from toolbridge._completion.drop import without

            body = without(body, name)
    return body


def _schema(wanted: Any) -> Any:
    """The JSON Schema of a ``response_format``, in each of the forms that LiteLLM takes."""
    if not isinstance(wanted, dict):
        return None
    inner = wanted.get("json_schema")
    schema = inner.get("schema") if isinstance(inner, dict) else None
    return wanted.get("response_schema") if schema is None else schema


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
        if None in data.values():
            # A dumped message names every field; some providers refuse the nulls.
            data = {
                name: value for name, value in data.items() if value is not None or name == _CONTENT
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
