"""The Router: many deployments behind names of models, with LiteLLM's arguments and method names.

The choice among deployments, their cooldowns, retries and fallbacks are the gateway's; what it
reads from its configuration file is given here as arguments.
"""

from __future__ import annotations

import copy

from toolbridge._completion.around import acall, call
from toolbridge._completion.parameters import Request, prepare
from toolbridge._deployments import deployments, plain
from toolbridge._toolbridge import ModelRouter
from toolbridge.exceptions import ConfigurationError
from toolbridge.objects import Object

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, Literal, overload

    from toolbridge.main import CustomStreamWrapper, ModelResponse

__all__ = ["Deployment", "Router"]

_STRATEGIES = (
    "simple-shuffle",
    "least-busy",
    "latency-based-routing",
    "usage-based-routing",
    "usage-based-routing-v2",
)
# What a call may say to the router; its other options belong to a deployment.
_OF_A_CALL = ("timeout", "num_retries")


# LiteLLM's other arguments, which have no effect.
_NOT_BUILT = frozenset(
    {
        "alerting_config",
        "assistants_config",
        "cache_kwargs",
        "cache_responses",
        "caching_groups",
        "client_ttl",
        "default_priority",
        "deployment_affinity_ttl_seconds",
        "enable_health_check_routing",
        "enable_tag_filtering",
        "enable_weighted_failover",
        "guardrail_list",
        "health_check_ignore_transient_errors",
        "health_check_staleness_threshold",
        "ignore_invalid_deployments",
        "model_group_affinity_config",
        "optional_pre_call_checks",
        "plugins",
        "polling_interval",
        "provider_budget_config",
        "redis_db",
        "redis_host",
        "redis_password",
        "redis_port",
        "redis_url",
        "router_general_settings",
        "routing_groups",
        "search_tools",
        "tag_filtering_match_any",
        "tag_routing_prefix",
    }
)
# Settings that say nothing when they are empty, or zero.
_NOTHING_WHEN_EMPTY = frozenset(
    {
        "content_policy_fallbacks",
        "context_window_fallbacks",
        "default_fallbacks",
        "enable_pre_call_checks",
        "fallbacks",
        "model_group_alias",
        "model_group_retry_policy",
        "retry_after",
        "routing_strategy_args",
    }
)
_SETTINGS = (
    "allowed_fails",
    "allowed_fails_policy",
    "content_policy_fallbacks",
    "context_window_fallbacks",
    "cooldown_time",
    "default_fallbacks",
    "default_litellm_params",
    "default_max_parallel_requests",
    "disable_cooldowns",
    "enable_pre_call_checks",
    "fallbacks",
    "max_fallbacks",
    "model_group_alias",
    "model_group_retry_policy",
    "num_retries",
    "retry_after",
    "retry_policy",
    "routing_strategy",
    "routing_strategy_args",
    "stream_timeout",
    "timeout",
)


class Deployment(Object):
    """One deployment of a :class:`Router`; answers to attributes and to subscripts."""

    model_name: str
    litellm_params: Object
    model_info: Object

    def __repr__(self) -> str:
        # The parameters hold a key.
        return f"<Deployment {self.model_info.get('id')!r} of {self.model_name!r}>"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:  # noqa: ARG002 - IPython's
        printer.text(repr(self))


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
        **others: LiteLLM's other arguments, such as ``redis_host`` and ``cache_responses``: a
            warning names each that is set, and it has no effect.

    Of LiteLLM's methods there are those for chat completions and for the deployments. Not there are
    those for what is no chat completion (``aembedding``, ``atext_completion``,
    ``aimage_generation``, ``atranscription``, ``arerank``, files, batches, assistants, …), several
    models at once (``abatch_completion``), queues (``schedule_acompletion``), guardrails, strategies
    of the caller's own (``set_custom_routing_strategy``), usage by the minute
    (``get_model_group_usage``), and teams.

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
        **others: Any,
    ) -> None:
        del set_verbose, debug_level
        if num_retries is None:
            from toolbridge import num_retries
        given = {
            "num_retries": num_retries,
            "max_fallbacks": max_fallbacks,
            "timeout": timeout,
            "stream_timeout": stream_timeout,
            "default_litellm_params": default_litellm_params,
            "default_max_parallel_requests": default_max_parallel_requests,
            "default_fallbacks": default_fallbacks,
            "fallbacks": fallbacks,
            "context_window_fallbacks": context_window_fallbacks,
            "content_policy_fallbacks": content_policy_fallbacks,
            "model_group_alias": model_group_alias,
            "enable_pre_call_checks": enable_pre_call_checks,
            "retry_after": retry_after,
            "retry_policy": retry_policy,
            "model_group_retry_policy": model_group_retry_policy,
            "allowed_fails": allowed_fails,
            "allowed_fails_policy": allowed_fails_policy,
            "cooldown_time": cooldown_time,
            "disable_cooldowns": disable_cooldowns,
            "routing_strategy": routing_strategy,
            "routing_strategy_args": routing_strategy_args,
        }
        self._settings = {**_settings(given), **_not_built(others)}
        self._models = deployments(model_list or ())
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

    def get_available_deployment(
        self,
        model: str,
        messages: Sequence[Any] | None = None,
        input: Any = None,  # noqa: A002 - LiteLLM's name
        specific_deployment: bool | None = False,
        request_kwargs: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Chooses the deployment that a request would go to now; nobody is asked.

        Args:
            model: the name of a model of this router, or the id of a deployment.
            messages: the conversation, for ``enable_pre_call_checks`` and limits by the minute.
            input: accepted for LiteLLM's sake.
            specific_deployment: ``model`` is the ``model`` of a deployment's ``litellm_params``.
            request_kwargs: accepted for LiteLLM's sake.

        Returns:
            The deployment with its key: a copy.

        Raises:
            NotFoundError: there is no such model.
            RateLimitError: all of its deployments failed lately or are at their limits.
        """
        del input, request_kwargs
        for one in self._models:
            if one["model_info"]["id"] == model or (
                specific_deployment and one["litellm_params"].get("model") == model
            ):
                return copy.deepcopy(one)
        found = self._native.available(model, {"messages": list(messages or ())})
        return copy.deepcopy(self._by_id(found) or {})

    async def async_get_available_deployment(
        self,
        model: str,
        request_kwargs: Mapping[str, Any] | None = None,
        messages: Sequence[Any] | None = None,
        input: Any = None,  # noqa: A002 - LiteLLM's name
        specific_deployment: bool | None = False,
    ) -> dict[str, Any]:
        """As :meth:`get_available_deployment`, with LiteLLM's order of arguments."""
        return self.get_available_deployment(
            model, messages, input, specific_deployment, request_kwargs
        )

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

    @property
    def model_names(self) -> set[str]:
        """The names of the deployments, without aliases."""
        return {one["model_name"] for one in self._models}

    def get_model_ids(self, model_name: str | None = None) -> list[str]:
        """The ids of the deployments, or of those of one name.

        Args:
            model_name: the name, or an alias of it.
        """
        return [one["model_info"]["id"] for one in self.get_model_list(model_name)]

    def has_model_id(self, candidate_id: str) -> bool:
        """Tells whether a deployment has this id."""
        return self._by_id(candidate_id) is not None

    def get_deployment(self, model_id: str) -> Deployment | None:
        """Gives the deployment with this id, a copy; None when there is none."""
        found = self._by_id(model_id)
        return None if found is None else Deployment._wrap(copy.deepcopy(found))

    def get_deployment_by_model_group_name(self, model_group_name: str) -> Deployment | None:
        """Gives the first deployment of a name, or of an alias; None when there is none."""
        found = self.get_model_list(model_group_name)
        return Deployment._wrap(found[0]) if found else None

    def get_model_info(self, id: str) -> dict[str, Any] | None:  # noqa: A002 - LiteLLM's name
        """Gives the deployment with this id as a dict, a copy; None when there is none."""
        found = self._by_id(id)
        return None if found is None else copy.deepcopy(found)

    def get_model_group(self, id: str) -> list[dict[str, Any]] | None:  # noqa: A002 - LiteLLM's name
        """Gives the deployments that share their name with the one of this id."""
        found = self._by_id(id)
        return None if found is None else self.get_model_list(found["model_name"])

    def get_model_access_groups(
        self, model_name: str | None = None, model_access_group: str | None = None
    ) -> dict[str, list[str]]:
        """Gives the names of models by the ``access_groups`` of their ``model_info``.

        Args:
            model_name: the groups of this model alone.
            model_access_group: this group alone.
        """
        groups: dict[str, list[str]] = {}
        for one in self.get_model_list(model_name):
            for group in one["model_info"].get("access_groups") or ():
                names = groups.setdefault(group, [])
                if one["model_name"] not in names:
                    names.append(one["model_name"])
        if model_access_group is None:
            return groups
        return {group: names for group, names in groups.items() if group == model_access_group}

    def get_settings(self) -> dict[str, Any]:
        """The settings that were given, by the names of the arguments; a copy."""
        return copy.deepcopy(self._settings)

    def update_settings(self, **kwargs: Any) -> None:
        """Changes settings; what is known of deployments is kept.

        Args:
            **kwargs: arguments of the constructor but for the models; None takes one back.

        Raises:
            ConfigurationError: a setting cannot be used; then nothing changes.
            TypeError: it is no setting.
        """
        strangers = kwargs.keys() - _SETTINGS
        if strangers:
            names = ", ".join(sorted(strangers))
            raise TypeError(f"update_settings takes no {names}; there are {', '.join(_SETTINGS)}")
        before = self._settings
        kept = {name: value for name, value in before.items() if name not in kwargs}
        self._settings = {**kept, **_settings(kwargs)}
        self._replace(self._models, before)

    def reset(self) -> None:
        """Forgets what is known of the deployments: their failures, their loads, their latencies."""
        self._native = ModelRouter(self._config())

    def discard(self) -> None:
        """Does nothing: accepted for LiteLLM's sake, whose routers leave callbacks behind."""

    def set_model_list(self, model_list: Sequence[Mapping[str, Any]]) -> None:
        """Takes other deployments; what is known of those that stay is kept.

        Args:
            model_list: as for the constructor.

        Raises:
            ConfigurationError: they cannot be used; then nothing changes.
        """
        self._replace(deployments(model_list), self._settings)

    def add_deployment(self, deployment: Any) -> Any:
        """Adds one deployment.

        Args:
            deployment: a dict as in ``model_list``, or an object with ``model_dump``.

        Returns:
            ``deployment``.
        """
        self.set_model_list([*self._models, plain(deployment)])
        return deployment

    def upsert_deployment(self, deployment: Any) -> Deployment | None:
        """Adds a deployment, in the place of the one with its id if there is one.

        Args:
            deployment: as for :meth:`add_deployment`.

        Returns:
            It, as it is from now on; None when it was there and nothing of it changed.

        Raises:
            ConfigurationError: it cannot be used; then nothing changes.
        """
        given = plain(deployment)
        wanted = (given.get("model_info") or {}).get("id")
        models: list[Any] = list(self._models)
        places = [place for place, one in enumerate(models) if one["model_info"]["id"] == wanted]
        if places and models[places[0]] == given:
            return None
        place = places[0] if places else len(models)
        models[place : place + 1] = [given]
        self.set_model_list(models)
        return self.get_deployment(self._models[place]["model_info"]["id"])

    def delete_deployment(self, id: str) -> Deployment | None:  # noqa: A002 - LiteLLM's name
        """Removes the deployment with this ``model_info["id"]``.

        Returns:
            It, or None when there is none.
        """
        found = self._by_id(id)
        if found is None:
            return None
        self.set_model_list([other for other in self._models if other is not found])
        return Deployment._wrap(found)

    def _by_id(self, wanted: str) -> dict[str, Any] | None:
        found = (one for one in self._models if one["model_info"]["id"] == wanted)
        return next(found, None)

    def _replace(self, models: list[dict[str, Any]], settings: dict[str, Any]) -> None:
        """Takes models, and the settings that are set; goes back to what was when they cannot be used."""
        before = self._models
        self._models = models
        try:
            self._native.replace(self._config())
        except BaseException:
            self._models, self._settings = before, settings
            raise
        self._settle(stacklevel=4)

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


def _settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of a router as the configuration has them; what says nothing is left out."""
    settings = dict(given)
    strategy = settings.get("routing_strategy")
    strategy = getattr(strategy, "value", strategy)
    if strategy is not None and strategy not in _STRATEGIES:
        raise ConfigurationError(
            f"routing_strategy is {strategy!r}; there are {', '.join(_STRATEGIES)}"
        )
    settings["routing_strategy"] = strategy
    for name in ("retry_policy", "allowed_fails_policy"):
        settings[name] = _policy(settings.get(name))
    policies = settings.get("model_group_retry_policy") or {}
    settings["model_group_retry_policy"] = {
        name: _policy(policy) for name, policy in policies.items()
    }
    return {
        name: value
        for name, value in settings.items()
        if value is not None and (name not in _NOTHING_WHEN_EMPTY or value)
    }


def _not_built(others: Mapping[str, Any]) -> dict[str, Any]:
    """LiteLLM's other arguments that are set: the configuration says of each that it is ignored."""
    for name in others:
        if name not in _NOT_BUILT:
            raise TypeError(f"Router got an unexpected keyword argument {name!r}")
    return {name: True for name, value in others.items() if value}


def _policy(policy: Any) -> dict[str, Any] | None:
    """A policy as a dict; LiteLLM's is an object."""
    if policy is None or isinstance(policy, dict):
        return policy
    dump = getattr(policy, "model_dump", None)
    found: dict[str, Any] = dump() if dump is not None else vars(policy)
    return {name: value for name, value in found.items() if value is not None}
