"""Makes one response of the chunks of a stream."""

from __future__ import annotations

from toolbridge.objects import Object, _plain
from toolbridge.types.chat import ModelResponse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

__all__ = ["stream_chunk_builder"]

# Fields of a delta that come in pieces of text.
_TEXTS = ("content", "refusal", "reasoning_content", "reasoning")
# Fields that come in pieces of a list.
_LISTS = ("annotations", "images", "reasoning_items")
# What a provider says by its own names in pieces of a list; its other fields are said whole.
_GATHERED = ("citations", "content_blocks", "output_items")
# Members of a chunk that are read, or that say nothing of the whole.
_OWN = {"id", "created", "model", "object", "system_fingerprint", "choices", "obfuscation"}


def stream_chunk_builder(
    chunks: Sequence[Any] | None,
    messages: Sequence[Any] | None = None,
    start_time: Any = None,
    end_time: Any = None,
    logging_obj: Any = None,
) -> ModelResponse | None:
    """Rebuilds the whole response from the chunks of its stream.

    Parallel tool calls are told apart by their index and their id; texts, tool arguments, refusals,
    reasoning, audio and log probabilities are put together in order.

    Args:
        chunks: the chunks in the order in which they came: ours, openai's, litellm's, or dicts.
        messages: the messages of the request; accepted for LiteLLM's sake.
        start_time: accepted for LiteLLM's sake.
        end_time: accepted for LiteLLM's sake.
        logging_obj: accepted for LiteLLM's sake.

    Returns:
        The response, or None when there are no chunks. ``usage`` is what the provider reported
        (``stream_options={"include_usage": True}``), and is left out when it reported none. A
        choice without a finish reason has ``"stop"``, as with LiteLLM.

    Raises:
        TypeError: ``chunks`` is not a list of chunks.
    """
    del messages, start_time, end_time, logging_obj
    if chunks is None or isinstance(chunks, (str, bytes, dict, Object)):
        raise TypeError(f"chunks takes a list of chunks, not {type(chunks).__name__}")
    plain = [_chunk_data(chunk, position) for position, chunk in enumerate(chunks)]
    if not plain:
        return None
    choices: dict[int, _Choice] = {}
    for chunk in plain:
        for choice in chunk.get("choices") or ():
            index = choice.get("index") or 0
            if index not in choices:
                choices[index] = _Choice(index)
            choices[index].add(choice)
    data: dict[str, Any] = {
        "id": _first(plain, "id") or "",
        "created": _first(plain, "created"),
        "model": _first(plain, "model"),
        "object": "chat.completion",
        "system_fingerprint": _last(plain, "system_fingerprint"),
        "choices": [choices[index].finished() for index in sorted(choices)],
    }
    for chunk in plain:
        others = chunk.items()
        data.update(
            (name, value) for name, value in others if name not in _OWN and value is not None
        )
    response = ModelResponse._wrap(data)
    facts = getattr(chunks[0], "_hidden_params", None)
    if isinstance(facts, dict):
        response._hidden_params = dict(facts)
    return response


def _chunk_data(chunk: Any, position: int) -> dict[str, Any]:
    if isinstance(chunk, (Object, dict)):
        data: dict[str, Any] = _plain(chunk)
        return data
    dump = None if isinstance(chunk, type) else getattr(chunk, "model_dump", None)
    if dump is None:
        raise TypeError(f"chunks[{position}] takes a chunk of a stream, not {type(chunk).__name__}")
    dumped: dict[str, Any] = dump()
    return dumped


def _first(chunks: Iterable[dict[str, Any]], name: str) -> Any:
    return next((chunk[name] for chunk in chunks if chunk.get(name)), None)


def _last(chunks: Sequence[dict[str, Any]], name: str) -> Any:
    return _first(reversed(chunks), name)


class _Choice:
    """One choice, as far as it has come."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.role = "assistant"
        self.finish_reason: str | None = None
        self.texts: dict[str, list[str]] = {}
        self.lists: dict[str, list[Any]] = {}
        self.calls: list[dict[str, Any]] = []
        # The place in `calls` of the call that a fragment with this index belongs to.
        self.places: dict[int, int] = {}
        self.function_call: dict[str, Any] | None = None
        self.audio: dict[str, Any] | None = None
        self.fields: dict[str, Any] = {}
        self.thinking: list[dict[str, Any]] = []
        self.logprobs: dict[str, list[Any]] | None = None
        self.others: dict[str, Any] = {}

    def add(self, choice: dict[str, Any]) -> None:
        self.finish_reason = choice.get("finish_reason") or self.finish_reason
        for name, value in (choice.get("logprobs") or {}).items():
            if self.logprobs is None:
                self.logprobs = {}
            if isinstance(value, list):
                self.logprobs.setdefault(name, []).extend(value)
        for name, value in (choice.get("delta") or {}).items():
            if value is not None:
                self.add_field(name, value)

    def add_field(self, name: str, value: Any) -> None:
        if name in _TEXTS and isinstance(value, str):
            self.texts.setdefault(name, []).append(value)
        elif name in _LISTS and isinstance(value, list):
            self.lists.setdefault(name, []).extend(value)
        elif name == "role":
            self.role = value or self.role
        elif name == "tool_calls":
            for fragment in value:
                self.add_call(fragment)
        elif name == "function_call":
            self.function_call = _joined(self.function_call, value, ("arguments",))
        elif name == "audio":
            self.audio = _joined_sound(self.audio, value)
        elif name == "provider_specific_fields" and isinstance(value, dict):
            self.add_own_fields(value)
        elif name == "thinking_blocks":
            for block in value:
                self.add_thinking(block)
        else:
            self.others[name] = value

    def add_call(self, fragment: dict[str, Any]) -> None:
        index, call_id = fragment.get("index"), fragment.get("id")
        place: int | None
        if index is not None:
            place = self.places.get(index)
        elif call_id:
            place = next((n for n, call in enumerate(self.calls) if call["id"] == call_id), None)
        else:
            place = len(self.calls) - 1 if self.calls else None
        if place is not None:
            # Some servers number every parallel call 0: another id with a name is another call.
            known = self.calls[place]["id"]
            begins = (fragment.get("function") or fragment.get("custom") or {}).get("name")
            if known and call_id and call_id != known and begins:
                place = None
        if place is None:
            place = len(self.calls)
            self.calls.append({"id": None, "type": None})
            if index is not None:
                self.places[index] = place
        call = self.calls[place]
        call["id"] = call["id"] or call_id
        call["type"] = call["type"] or fragment.get("type")
        for kind, text in (("function", "arguments"), ("custom", "input")):
            if fragment.get(kind):
                call[kind] = _joined(call.get(kind), fragment[kind], (text,))
        for name, value in fragment.items():
            if name not in {"index", "id", "type", "function", "custom"} and value is not None:
                call[name] = value

    def add_own_fields(self, fields: dict[str, Any]) -> None:
        for name, value in fields.items():
            known = self.fields.get(name)
            if name in _GATHERED and isinstance(known, list) and isinstance(value, list):
                self.fields[name] = [*known, *value]
            else:
                self.fields[name] = value

    def add_thinking(self, block: dict[str, Any]) -> None:
        last = self.thinking[-1] if self.thinking else None
        if (
            last is None
            or block.get("type") != "thinking"
            or last.get("type") != "thinking"
            or last.get("signature")
        ):
            self.thinking.append(dict(block))
        else:
            joined = _joined(last, block, ("thinking", "signature"))
            self.thinking[-1] = joined

    def finished(self) -> dict[str, Any]:
        texts = {name: "".join(pieces) for name, pieces in self.texts.items()}
        content = texts.pop("content", None)
        # Beside what is said otherwise, an empty text says nothing.
        is_said = bool(self.calls or self.function_call or texts.get("refusal") or self.audio)
        message: dict[str, Any] = {
            "content": None if is_said and not content else content,
            "role": self.role,
            "tool_calls": [_whole_call(call) for call in self.calls] or None,
            "function_call": self.function_call,
            **texts,
            **self.lists,
            **self.others,
        }
        if "citations" in self.fields:
            # The last of those that were told one by one.
            self.fields.pop("citation", None)
        if self.fields:
            message["provider_specific_fields"] = self.fields
        if self.audio is not None:
            message["audio"] = self.audio
        if self.thinking:
            message["thinking_blocks"] = self.thinking
        choice: dict[str, Any] = {
            "finish_reason": self.finish_reason or "stop",
            "index": self.index,
            "message": message,
        }
        if self.logprobs is not None:
            choice["logprobs"] = self.logprobs
        return choice


def _joined(
    known: dict[str, Any] | None, piece: dict[str, Any], texts: tuple[str, ...]
) -> dict[str, Any]:
    """Adds a piece: the texts are appended, all else is taken when it is said first."""
    joined = dict(known or {})
    for name, value in piece.items():
        if name in texts and isinstance(value, str):
            joined[name] = (joined.get(name) or "") + value
        elif value is not None and not joined.get(name):
            joined[name] = value
    return joined


def _joined_sound(known: dict[str, Any] | None, piece: dict[str, Any]) -> dict[str, Any]:
    """Adds a piece of sound. Base64 that ends with its padding cannot be appended to as it is."""
    data, more = (known or {}).get("data"), piece.get("data")
    if isinstance(data, str) and data.endswith("=") and isinstance(more, str):
        from base64 import b64decode, b64encode

        try:
            data = b64encode(b64decode(data) + b64decode(more)).decode()
        except ValueError:
            data += more
        known = {**(known or {}), "data": data}
        piece = {name: value for name, value in piece.items() if name != "data"}
    return _joined(known, piece, ("data", "transcript"))


def _whole_call(call: dict[str, Any]) -> dict[str, Any]:
    if not call["id"]:
        import os

        call["id"] = f"call_{os.urandom(12).hex()}"
    call["type"] = call["type"] or ("custom" if "custom" in call else "function")
    if "function" in call:
        call["function"].setdefault("arguments", "")
    return call
