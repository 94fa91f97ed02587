"""The Router: many deployments behind names of models, with LiteLLM's arguments and method names.

The choice among deployments, their cooldowns, retries and fallbacks are the gateway's; what it
reads from its configuration file is given here as arguments.
"""

from __future__ import annotations

import copy
from itertools import count

from toolbridge._completion.around import acall, call
from toolbridge._completion.parameters import Request, prepare
from toolbridge._toolbridge import ModelRouter
from toolbridge.exceptions import ConfigurationError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, Literal, overload

    from toolbridge.main import CustomStreamWrapper, ModelResponse

__all__ = ["Router"]

_STRATEGIES = (
    "simple-shuffle",
    "least-busy",
    "latency-based-routing",
    "usage-based-routing",
    "usage-based-routing-v2",
)
# What a call may say to the router; its other options belong to a deployment.
_OF_A_CALL = ("timeout", "num_retries")


class Router:
    """Asks one of several deployments, another one when it fails, and other models after that.

    Args:
        model_list: the deployments: dicts with ``model_name``, ``litellm_params`` (``model``,
            ``api_key``, ``api_base``, ``rpm``, ``tpm``, ``weight``, …) and ``model_info``.
        num_retries: how often a failed request goes out again; 2 by default.
        max_fallbacks: how many other models are asked for one request; 5 by default.
        timeout: seconds until an answer must be there.
        stream_timeout: seconds until a stream must begin, and between two chunks.
        default_litellm_params: parameters of every request that has them not itself.
        default_max_parallel_requests: requests at once for deployments that do not say.
        set_verbose: accepted for LiteLLM's sake; see the logger ``toolbridge.router``.
        debug_level: accepted for LiteLLM's sake.
        default_fallbacks: models to ask when one without fallbacks of its own fails.
        fallbacks: ``[{"model": ["other", …]}]``, whatever went wrong.
        context_window_fallbacks: the same for messages that are too long.
        content_policy_fallbacks: the same for messages that a content policy refused.
        model_group_alias: other names of models.
        enable_pre_call_checks: leave deployments out whose context window is too small.
        retry_after: the shortest wait before a repetition, in seconds.
        retry_policy: retries for each kind of error, such as
            ``{"RateLimitErrorRetries": 3}``.
        model_group_retry_policy: the same for each model.
        allowed_fails: failures before a deployment is left alone.
        allowed_fails_policy: the same for each kind of error.
        cooldown_time: seconds for which it is left alone; 5 by default.
        disable_cooldowns: never leave one alone.
        routing_strategy: ``simple-shuffle``, ``least-busy``, ``latency-based-routing`` or
            ``usage-based-routing-v2``.
        routing_strategy_args: ``ttl`` and ``lowest_latency_buffer`` of latency-based routing.

    Raises:
        ConfigurationError: a deployment or a setting cannot be used; the sentence says where.
        TypeError: an argument that is not one of these.
    """

    def __init__(
        self,
        model_list: Sequence[Mapping[str, Any]] | None = None,
        *,
        num_retries: int | None = None,
        max_fallbacks: int | None = None,
        timeout: float | None = None,
        stream_timeout: float | None = None,
        default_litellm_params: Mapping[str, Any] | None = None,
        default_max_parallel_requests: int | None = None,
        set_verbose: bool = False,
        debug_level: str = "INFO",
        default_fallbacks: Sequence[str] | None = None,
        fallbacks: Sequence[Any] | Mapping[str, Any] = (),
        context_window_fallbacks: Sequence[Any] | Mapping[str, Any] = (),
        content_policy_fallbacks: Sequence[Any] | Mapping[str, Any] = (),
        model_group_alias: Mapping[str, Any] | None = None,
        enable_pre_call_checks: bool = False,
        retry_after: float = 0,
        retry_policy: Any = None,
        model_group_retry_policy: Mapping[str, Any] | None = None,
        allowed_fails: int | None = None,
        allowed_fails_policy: Any = None,
        cooldown_time: float | None = None,
        disable_cooldowns: bool | None = None,
        routing_strategy: str = "simple-shuffle",
        routing_strategy_args: Mapping[str, Any] | None = None,
    ) -> None:
        del set_verbose, debug_level
        routing_strategy = getattr(routing_strategy, "value", routing_strategy)
        if routing_strategy not in _STRATEGIES:
            raise ConfigurationError(
                f"routing_strategy is {routing_strategy!r}; there are {', '.join(_STRATEGIES)}"
            )
        if num_retries is None:
            from toolbridge import num_retries
        if default_fallbacks is not None and not default_fallbacks:
            default_fallbacks = None
        settings: dict[str, Any] = {
            "num_retries": num_retries,
            "max_fallbacks": max_fallbacks,
            "timeout": timeout,
            "stream_timeout": stream_timeout,
            "default_litellm_params": default_litellm_params,
            "default_max_parallel_requests": default_max_parallel_requests,
            "default_fallbacks": default_fallbacks,
            "fallbacks": fallbacks or None,
            "context_window_fallbacks": context_window_fallbacks or None,
            "content_policy_fallbacks": content_policy_fallbacks or None,
            "model_group_alias": model_group_alias or None,
            "enable_pre_call_checks": enable_pre_call_checks or None,
            "retry_after": retry_after or None,
            "retry_policy": _policy(retry_policy),
            "model_group_retry_policy": {
                name: _policy(policy) for name, policy in (model_group_retry_policy or {}).items()
            }
            or None,
            "allowed_fails": allowed_fails,
            "allowed_fails_policy": _policy(allowed_fails_policy),
            "cooldown_time": cooldown_time,
            "disable_cooldowns": disable_cooldowns,
            "routing_strategy": routing_strategy,
            "routing_strategy_args": routing_strategy_args or None,
        }
        self._settings = {name: value for name, value in settings.items() if value is not None}
        self._models = _deployments(model_list or ())
        self._native = ModelRouter(self._config())
        self._settle(stacklevel=3)

    def __repr__(self) -> str:
        return f"<Router of {', '.join(self.get_model_names()) or 'no models'}>"

    if TYPE_CHECKING:

        @overload
        async def acompletion(
            self, model: str, messages: Sequence[Any] = ..., *, stream: Literal[True], **kwargs: Any
        ) -> CustomStreamWrapper: ...

        @overload
        async def acompletion(
            self,
            model: str,
            messages: Sequence[Any] = ...,
            stream: Literal[False] | None = ...,
            **kwargs: Any,
        ) -> ModelResponse: ...

        @overload
        async def acompletion(
            self, model: str, messages: Sequence[Any] = ..., *, stream: bool | None, **kwargs: Any
        ) -> ModelResponse | CustomStreamWrapper: ...

    async def acompletion(
        self, model: str, messages: Sequence[Any] = (), stream: bool | None = None, **kwargs: Any
    ) -> ModelResponse | CustomStreamWrapper:
        """Asks a model for a completion, as :func:`toolbridge.acompletion`.

        Args:
            model: the name of a model of this router.
            messages: the conversation.
            stream: give the answer in chunks.
            **kwargs: parameters of the request, and for this one request ``num_retries``,
                ``timeout``, ``stream_timeout``, ``fallbacks`` (names of models of this router) and
                ``disable_fallbacks``.

        Returns:
            The response, or the stream; ``_hidden_params`` says which deployment it is of
            (``model_id``, ``api_base``), ``model_group`` and ``attempted_fallbacks``.

        Raises:
            NotFoundError: there is no such model.
            RateLimitError: all of its deployments failed lately or are at their limits.
            APIError: everybody who was asked failed; the error is that of the model asked for.
        """
        return await acall(model, self._request(model, messages, stream, kwargs))

    if TYPE_CHECKING:

        @overload
        def completion(
            self, model: str, messages: Sequence[Any] = ..., *, stream: Literal[True], **kwargs: Any
        ) -> CustomStreamWrapper: ...

        @overload
        def completion(
            self,
            model: str,
            messages: Sequence[Any] = ...,
            stream: Literal[False] | None = ...,
            **kwargs: Any,
        ) -> ModelResponse: ...

        @overload
        def completion(
            self, model: str, messages: Sequence[Any] = ..., *, stream: bool | None, **kwargs: Any
        ) -> ModelResponse | CustomStreamWrapper: ...

    def completion(
        self, model: str, messages: Sequence[Any] = (), stream: bool | None = None, **kwargs: Any
    ) -> ModelResponse | CustomStreamWrapper:
        """As :meth:`acompletion`, and waits."""
        return call(model, self._request(model, messages, stream, kwargs))

    def get_model_names(self) -> list[str]:
        """The names that can be asked for, aliases included."""
        return self._native.names()

    def get_model_list(self, model_name: str | None = None) -> list[dict[str, Any]]:
        """The deployments, or those of one name, with their keys: copies.

        Args:
            model_name: the name, or an alias of it.
        """
        aliases = self._settings.get("model_group_alias", {})
        wanted = aliases.get(model_name, model_name) if model_name else None
        if not isinstance(wanted, str) and wanted is not None:
            wanted = wanted.get("model")
        return [
            copy.deepcopy(one)
            for one in self._models
            if wanted is None or one["model_name"] == wanted
        ]

    @property
    def model_list(self) -> list[dict[str, Any]]:
        """The deployments; a copy."""
        return self.get_model_list()

    def set_model_list(self, model_list: Sequence[Mapping[str, Any]]) -> None:
        """Takes other deployments; what is known of those that stay is kept.

        Args:
            model_list: as for the constructor.

        Raises:
            ConfigurationError: they cannot be used; then nothing changes.
        """
        before, self._models = self._models, _deployments(model_list)
        try:
            self._native.replace(self._config())
        except BaseException:
            self._models = before
            raise
        self._settle(stacklevel=3)

    def add_deployment(self, deployment: Any) -> Any:
        """Adds one deployment.

        Args:
            deployment: a dict as in ``model_list``, or an object with ``model_dump``.

        Returns:
            ``deployment``.
        """
        self.set_model_list([*self._models, _plain(deployment)])
        return deployment

    def delete_deployment(self, id: str) -> dict[str, Any] | None:  # noqa: A002 - LiteLLM's name
        """Removes the deployment with this ``model_info["id"]``.

        Returns:
            It, or None when there is none.
        """
        for one in self._models:
            if one["model_info"]["id"] == id:
                self.set_model_list([other for other in self._models if other is not one])
                return one
        return None

    def _config(self) -> dict[str, Any]:
        return {"model_list": self._models, "router_settings": self._settings}

    def _settle(self, stacklevel: int) -> None:
        """Says what of the settings is not obeyed."""
        notices = self._native.notices()
        if notices:
            import warnings

            for notice in notices:
                warnings.warn(notice, UserWarning, stacklevel=stacklevel)

    def _request(
        self, model: str, messages: Sequence[Any], stream: bool | None, kwargs: dict[str, Any]
    ) -> Request:
        own = {
            name: kwargs.pop(name)
            for name in ("fallbacks", "disable_fallbacks", "stream_timeout")
            if kwargs.get(name) is not None
        }
        if kwargs.get("context_window_fallback_dict"):
            raise ConfigurationError(
                "context_window_fallback_dict is no argument of a call to a Router: give the "
                "Router context_window_fallbacks"
            )
        given = {"model": model, "messages": messages, "stream": stream, "kwargs": kwargs}
        request = prepare(given, has_defaults=False)
        for name, value in request.options.items():
            if name not in _OF_A_CALL and name != "max_retries":
                raise ConfigurationError(
                    f"{name} is no argument of a call to a Router: it belongs to a deployment, in "
                    "litellm_params of model_list"
                )
            own["num_retries" if name == "max_retries" else name] = value
        request.body = {"model": model, **request.body, **own}
        request.options = {}
        request.router = self._native
        return request


def _plain(deployment: Any) -> dict[str, Any]:
    dump = getattr(deployment, "model_dump", None)
    if dump is not None and not isinstance(deployment, type):
        deployment = dump(exclude_none=True)
    if not isinstance(deployment, dict):
        raise TypeError(
            "a deployment is a dict with model_name and litellm_params, "
            f"not {type(deployment).__name__}"
        )
    return deployment


def _deployments(model_list: Sequence[Any]) -> list[dict[str, Any]]:
    if isinstance(model_list, (str, dict)):
        raise TypeError(f"model_list takes a list of dicts, not {type(model_list).__name__}")
    found = [copy.deepcopy(_plain(one)) for one in model_list]
    for one in found:
        info = one.get("model_info")
        one["model_info"] = dict(info) if isinstance(info, dict) else {}
    used = {str(one["model_info"].get("id")) for one in found}
    for one in found:
        if one["model_info"].get("id") is None:
            names = (f"{one.get('model_name')}-{number}" for number in count(1))
            one["model_info"]["id"] = next(name for name in names if name not in used)
            used.add(one["model_info"]["id"])
    return found


def _policy(policy: Any) -> dict[str, Any] | None:
    """A policy as a dict; LiteLLM's is an object."""
    if policy is None or isinstance(policy, dict):
        return policy
    dump = getattr(policy, "model_dump", None)
    found: dict[str, Any] = dump() if dump is not None else vars(policy)
    return {name: value for name, value in found.items() if value is not None}
