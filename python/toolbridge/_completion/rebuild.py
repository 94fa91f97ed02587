"""Makes one response of the chunks of a stream."""

from __future__ import annotations

from toolbridge._toolbridge import rebuild_chunks
from toolbridge.objects import Object, _plain
from toolbridge.types.chat import ModelResponse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

__all__ = ["stream_chunk_builder"]


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
    response = ModelResponse._wrap(rebuild_chunks(plain))
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
