"""What is known of models: limits, prices, capabilities; what a response cost; how many tokens a text has.

The facts are those of a public list of models, as of :func:`date`; they are part of this package, and
nothing is fetched. :func:`register_model` adds to them and overrides them, for the process. Names and
signatures are LiteLLM's where it has such a function, and so are the names of the facts.
"""

from __future__ import annotations

from toolbridge import _toolbridge

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from os import PathLike
    from typing import Any

__all__ = [
    "completion_cost",
    "cost_per_token",
    "date",
    "get_max_tokens",
    "get_model_info",
    "model_cost",
    "register_model",
    "supports",
    "supports_audio_input",
    "supports_audio_output",
    "supports_function_calling",
    "supports_parallel_function_calling",
    "supports_pdf_input",
    "supports_prompt_caching",
    "supports_reasoning",
    "supports_response_schema",
    "supports_system_messages",
    "supports_tool_choice",
    "supports_vision",
    "supports_web_search",
    "token_counter",
    "unregister_model",
]

_NO_FACTS = "register_model takes a dict of models, {name: {fact: value}}, or the path of a JSON file with one"


def date() -> str:
    """Tells the date of the table of models, ``YYYY-MM-DD``."""
    return _toolbridge.catalogue_date()


def get_model_info(model: str, custom_llm_provider: str | None = None) -> dict[str, Any]:
    """Tells what is known of a model.

    Args:
        model: ``"provider/model"``, or the name alone where it says who serves it.
        custom_llm_provider: who serves it, where the name does not say.

    Returns:
        The facts, by the names that LiteLLM's list has for them (``max_input_tokens``,
        ``input_cost_per_token``, ``supports_vision``, …), with the name that they stand under as
        ``key``; a fact that is not known is not in it. ``catalogue_date`` is the date of the table.

    Raises:
        ConfigurationError: the model is not known; the message says which ones are near.
    """
    key, facts = _toolbridge.catalogue_known(model, custom_llm_provider)
    facts.setdefault("max_tokens", facts.get("max_output_tokens"))
    return {"key": key, **facts, "catalogue_date": date()}


class _ModelCost:
    """Every model that is known and its facts, as a mapping that is read; see ``model_cost``."""

    __slots__ = ()

    def __getitem__(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] | None = self.get(name)
        if found is None:
            raise KeyError(name)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(_toolbridge.catalogue_names())

    def __len__(self) -> int:
        return len(_toolbridge.catalogue_names())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.get(name) is not None

    def __repr__(self) -> str:
        return f"<{len(self)} models, as of {date()}>"

    def get(self, name: str, default: Any = None) -> Any:
        """Gives a copy of the facts of the model of exactly that name."""
        found = _toolbridge.catalogue_find(name, None)
        return found[1] if found is not None and found[0] == name else default

    def keys(self) -> list[str]:
        """Lists the names."""
        return _toolbridge.catalogue_names()

    def items(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Gives names and facts."""
        return ((name, self[name]) for name in self)


model_cost = _ModelCost()
"""Every model that is known, by its exact name. It is read; :func:`register_model` writes."""


def register_model(model_cost: Mapping[str, Mapping[str, Any]] | str | PathLike[str]) -> None:
    """Adds models, or facts of models that are known; what is given wins, other facts stay.

    Args:
        model_cost: the facts, by names of models: ``{"openai/my-model": {"max_input_tokens": 8192,
            "input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6, "supports_vision": True}}``;
            or the path of a JSON file that holds such a dict. Nothing is fetched from a URL.

    Raises:
        TypeError: it is neither.
        ValueError: the file holds no JSON.
    """
    from collections.abc import Mapping
    from os import PathLike

    models: Any = model_cost
    if isinstance(models, (str, PathLike)):
        import json
        from pathlib import Path

        models = json.loads(Path(models).read_text(encoding="utf-8"))
    if not isinstance(models, Mapping):
        raise TypeError(f"{_NO_FACTS}, not {type(models).__name__}")
    for name, facts in models.items():
        if not isinstance(name, str) or not isinstance(facts, Mapping):
            raise TypeError(f"{_NO_FACTS}; {name!r} is given {type(facts).__name__}")
    for name, facts in models.items():
        _toolbridge.catalogue_register(name, dict(facts))


def unregister_model(model: str) -> bool:
    """Forgets what was registered under exactly that name.

    Returns:
        Whether there was anything.
    """
    return _toolbridge.catalogue_forget(model)


def get_max_tokens(model: str) -> int | None:
    """Tells how many tokens an answer of a model can have; None where only the model is known.

    Raises:
        ConfigurationError: the model is not known.
    """
    found: int | None = get_model_info(model)["max_tokens"]
    return found


def supports(model: str, capability: str, custom_llm_provider: str | None = None) -> bool:
    """Tells whether a model has a capability.

    Args:
        model: ``"provider/model"``, or the name alone where it says who serves it.
        capability: ``"function_calling"`` (or ``"tools"``), ``"vision"``, ``"response_schema"`` (or
            ``"json_schema"``), ``"reasoning"``, ``"prompt_caching"``, ``"pdf_input"``,
            ``"audio_input"``, ``"web_search"``, …: the ``supports_…`` of the facts.
        custom_llm_provider: who serves it, where the name does not say.

    Returns:
        What the catalogue says. Of a model that it does not know it says False.

    Raises:
        ConfigurationError: there is no such capability; the message lists them.
    """
    return _toolbridge.catalogue_supports(model, custom_llm_provider, capability)


def supports_function_calling(model: str, custom_llm_provider: str | None = None) -> bool:
    """Tells whether a model calls tools."""
    return supports(model, "function_calling", custom_llm_provider)


def supports_parallel_function_calling(model: str, custom_llm_provider: str | None = None) -> bool:
    """Tells whether a model calls several tools at once."""
    return supports(model, "parallel_function_calling", custom_llm_provider)


def supports_tool_choice(model: str, custom_llm_provider: str | None = None) -> bool:
    """Tells whether a model can be told which tool to call."""
    return supports(model, "tool_choice", custom_llm_provider)


def supports_vision(model: str, custom_llm_provider: str | None = None) -> bool:
    """Tells whether a model sees pictures."""
    return supports(model, "vision", custom_llm_provider)


def supports_response_schema(model: str, custom_llm_provider: str | None = None) -> bool:
    """Tells whether a model answers in JSON of a schema."""
    return supports(model, "response_schema", custom_llm_provider)


def supports_reasoning(model: str, custom_llm_provider: str | None = None) -> bool:
    """Tells whether a model thinks before it answers."""
    return supports(model, "reasoning", custom_llm_provider)


def supports_prompt_caching(model: str, custom_llm_provider: str | None = None) -> bool:
    """Tells whether the beginning of a prompt is cached for a model."""
    return supports(model, "prompt_caching", custom_llm_provider)


def supports_pdf_input(model: str, custom_llm_provider: str | None = None) -> bool:
    """Tells whether a model reads PDF files."""
    return supports(model, "pdf_input", custom_llm_provider)


def supports_audio_input(model: str, custom_llm_provider: str | None = None) -> bool:
    """Tells whether a model hears."""
    return supports(model, "audio_input", custom_llm_provider)


def supports_audio_output(model: str, custom_llm_provider: str | None = None) -> bool:
    """Tells whether a model speaks."""
    return supports(model, "audio_output", custom_llm_provider)


def supports_system_messages(model: str, custom_llm_provider: str | None = None) -> bool:
    """Tells whether a model takes system messages."""
    return supports(model, "system_messages", custom_llm_provider)


def supports_web_search(model: str, custom_llm_provider: str | None = None) -> bool:
    """Tells whether a model searches the web."""
    return supports(model, "web_search", custom_llm_provider)


def cost_per_token(
    model: str = "",
    prompt_tokens: int = 0,
    completion_tokens: int = 0,
    *,
    custom_llm_provider: str | None = None,
    cache_creation_input_tokens: int | None = 0,
    cache_read_input_tokens: int | None = 0,
    custom_cost_per_token: Mapping[str, float] | None = None,
    usage_object: Any = None,
    service_tier: str | None = None,
) -> tuple[float, float]:
    """Computes what tokens cost, in US dollars.

    Args:
        model: ``"provider/model"``, or the name alone where it says who serves it.
        prompt_tokens: the tokens of the request, cached ones included.
        completion_tokens: the tokens of the answer, thoughts included.
        custom_llm_provider: who serves the model, where its name does not say.
        cache_creation_input_tokens: how many of the prompt were written to a cache.
        cache_read_input_tokens: how many of the prompt were read from one.
        custom_cost_per_token: prices in the place of the catalogue's, ``input_cost_per_token`` and
            ``output_cost_per_token``.
        usage_object: the ``usage`` of a response in the place of the counts.
        service_tier: ``"flex"`` or ``"priority"``, where it served the request.

    Returns:
        The cost of the prompt and that of the answer.

    Raises:
        ConfigurationError: the model, or its price, is not known.
    """
    usage = usage_object
    if usage is None:
        usage = {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": completion_tokens,
            "prompt_tokens_details": {
                "cached_tokens": cache_read_input_tokens,
                "cache_creation_tokens": cache_creation_input_tokens,
            },
        }
    prices = None if custom_cost_per_token is None else dict(custom_cost_per_token)
    found = _toolbridge.catalogue_cost(model, custom_llm_provider, usage, service_tier, prices)
    if found is None:
        raise _no_price(model, custom_llm_provider)
    return found[0], found[1]


def completion_cost(
    completion_response: Any = None,
    model: str | None = None,
    prompt: str = "",
    messages: Sequence[Any] = (),
    completion: str = "",
    *,
    custom_llm_provider: str | None = None,
    custom_cost_per_token: Mapping[str, float] | None = None,
    base_model: str | None = None,
    service_tier: str | None = None,
) -> float:
    """Computes what a completion cost, in US dollars.

    Counted are the tokens of the response's ``usage``: plain ones, those read from a cache and
    written to one, thoughts, sounds; the prices of long prompts and of service tiers; searches of the
    web that the usage counts. Where the response has no usage, or there is no response, tokens are
    estimated by :func:`token_counter` from ``prompt`` or ``messages`` and ``completion``.

    Args:
        completion_response: a response, ours, LiteLLM's, openai's or a dict.
        model: ``"provider/model"``; by default that of the response.
        prompt: the request as a text, where there is no usage.
        messages: the request as messages, where there is no usage.
        completion: the answer as a text, where there is no response.
        custom_llm_provider: who serves the model, where its name does not say.
        custom_cost_per_token: prices in the place of the catalogue's, ``input_cost_per_token`` and
            ``output_cost_per_token``.
        base_model: the model whose prices count, where the name is that of a deployment.
        service_tier: ``"flex"`` or ``"priority"``; by default what the response says.

    Raises:
        ConfigurationError: the model, or its price, is not known; the message says which names are
            near, and what to do.
        TypeError: there is neither a response nor a model.
    """
    usage = _member(completion_response, "usage")
    if usage is None:
        answer = completion or _text_of(completion_response)
        usage = {
            "prompt_tokens": token_counter(text=prompt) + token_counter(messages=messages),
            "completion_tokens": token_counter(text=answer),
        }
    tier = service_tier or _member(completion_response, "service_tier")
    prices = None if custom_cost_per_token is None else dict(custom_cost_per_token)
    candidates = _candidates(completion_response, base_model or model, custom_llm_provider)
    if not candidates:
        raise TypeError("completion_cost takes a response that names its model, or a model")
    for name, provider in candidates:
        found = _toolbridge.catalogue_cost(name, provider, usage, tier, prices)
        if found is not None:
            return sum(found)
    raise _no_price(*candidates[0])


def response_cost(response: Any) -> float | None:
    """Computes what ``_hidden_params["response_cost"]`` of a response says; None where nobody knows."""
    usage = _member(response, "usage")
    if usage is None:
        return None
    tier = _member(response, "service_tier")
    facts = _facts(response)
    candidates = _candidates(response, facts.get("base_model"), None)
    prices = facts.get("custom_pricing")
    if prices:
        return _own_cost(candidates, usage, tier, prices)
    for name, provider in candidates:
        found = _toolbridge.catalogue_cost(name, provider, usage, tier, None)
        if found is not None:
            return sum(found)
    return None


def _own_cost(
    candidates: list[tuple[str, str | None]], usage: Any, tier: Any, prices: Mapping[str, float]
) -> float | None:
    """Computes a cost by the prices of a call, and by the catalogue's where the call has none."""
    for name, provider in candidates:
        known = _toolbridge.catalogue_find(name, provider)
        if known is not None:
            prices = {**known[1], **prices}
            break
    else:
        if not prices.keys() >= {"input_cost_per_token", "output_cost_per_token"}:
            return None
    found = _toolbridge.catalogue_cost("", None, usage, tier, dict(prices))
    return None if found is None else sum(found)


def token_counter(
    model: str = "",
    text: str | Sequence[str] | None = None,
    messages: Sequence[Any] | None = None,
    *,
    tools: Sequence[Any] | None = None,
    count_response_tokens: bool | None = False,
) -> int:
    """Estimates how many tokens a text, or a request, has.

    It is an estimate, the same for every model: no vocabulary is part of this package, and none is
    fetched. Against ``o200k_base``, the tokenizer of OpenAI's models since GPT-4o, the mean error on
    texts of some thousand characters is 5 % (1 to 4 % for English, source code and JSON, up to 17 %
    for some languages). Other tokenizers, among them those of Claude and of older models of OpenAI,
    often make 10 to 30 % more of the same text, and more still where it is not in Latin letters. For
    exact numbers read the ``usage`` of a response.

    Args:
        model: accepted for LiteLLM's sake.
        text: a text, or several.
        messages: messages in OpenAI's form; what OpenAI documents that each takes is added. A picture
            counts 765 tokens, 85 at low detail; sounds and files count nothing.
        tools: the tools of the request.
        count_response_tokens: the messages are answers: what a request has beside them is not added.

    Raises:
        TypeError: something else was given.
    """
    del model
    count = 0
    if isinstance(text, str):
        count += _toolbridge.count_text_tokens(text)
    elif text is not None:
        count += sum(_toolbridge.count_text_tokens(one) for one in text)
    if messages or tools:
        if count_response_tokens:
            count += sum(_toolbridge.count_text_tokens(_content(one)) for one in messages or ())
        else:
            count += _toolbridge.count_request_tokens(list(messages or ()), list(tools or ()))
    return count


def _member(value: Any, name: str) -> Any:
    if value is None:
        return None
    if isinstance(value, dict):
        return value.get(name)
    return getattr(value, name, None)


def _content(message: Any) -> str:
    content = _member(message, "content")
    return content if isinstance(content, str) else ""


def _text_of(response: Any) -> str:
    choices = _member(response, "choices") or ()
    return "".join(_content(_member(choice, "message")) for choice in choices)


def _facts(response: Any) -> dict[str, Any]:
    """Gives what is known of the call that a response came of."""
    # The slot: reading `_hidden_params` itself may be what asks for the cost.
    facts = getattr(response, "_hidden_params_slot", None)
    if facts is None and not hasattr(type(response), "_hidden_params_slot"):
        facts = getattr(response, "_hidden_params", None)
    return facts if isinstance(facts, dict) else {}


def _candidates(
    response: Any, model: str | None, provider: str | None
) -> list[tuple[str, str | None]]:
    """Lists the names under which the prices of a response may stand, the first that is known wins."""
    found: list[tuple[str, str | None]] = []
    if model:
        found.append((model, provider))
    facts = _facts(response)
    provider = provider or facts.get("custom_llm_provider")
    # The answer names the version that an alias stood for, and the model behind a deployment.
    names = (_member(response, "model"), facts.get("litellm_model_name"))
    found.extend((name, provider) for name in names if isinstance(name, str) and name)
    return found


def _no_price(model: str, provider: str | None) -> Exception:
    from toolbridge.exceptions import ConfigurationError

    _toolbridge.catalogue_known(model, provider)
    return ConfigurationError(
        f"the catalogue of {date()} has no price of tokens for model {model!r}: tell it with "
        f"toolbridge.register_model({{{model!r}: {{'input_cost_per_token': …, "
        "'output_cost_per_token': …}})"
    )
