"""The results of MCP tools as models read them.

A result is a ``CallToolResult`` of toolbridge or of the official ``mcp`` package, 1.x and 2.x, or a
dict. What it says reaches the model whole, in the richest form that the model's API documents:
TOOLS.md has the table. What an API cannot take becomes a short note with its kind, media type, size
and address: bytes never become text, and nothing is raised for it. Structured content is sent once: if
the text beside it says it already, the text is what is sent. What is for the user alone is noted, and
not sent. The conversions themselves are in the engine.
"""

from __future__ import annotations

from toolbridge import _toolbridge
from toolbridge.objects import Object

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "to_anthropic_block",
    "to_bedrock_block",
    "to_gemini_parts",
    "to_openai_message",
    "to_openai_messages",
    "to_openai_responses_item",
]


def to_openai_message(result: Any, tool_call: Any) -> dict[str, Any]:
    """Writes a result as one tool message of OpenAI's chat completions.

    Such a message carries text alone: pictures, sounds and files become notes. Use
    :func:`to_openai_messages` where the model is to see them.

    Args:
        result: a ``CallToolResult`` of toolbridge or of the official package, or a dict.
        tool_call: the tool call that it answers, of toolbridge, openai or litellm, or a dict; or its id.

    Returns:
        ``{"role": "tool", "tool_call_id", "content"}``; the content is a text, which begins with
        ``Error`` if the tool failed.

    Raises:
        TypeError: ``result`` is no result, or ``tool_call`` no tool call.
        ConfigurationError: the tool call has no id.
    """
    message: dict[str, Any] = _toolbridge.tool_result(
        "openai", _result(result), _call(tool_call), None
    )
    return message


def to_openai_messages(
    result: Any, tool_call: Any, *, model: str | None = None
) -> list[dict[str, Any]]:
    """Writes the results of one round of tool calls as messages of chat completions.

    Args:
        result: a ``CallToolResult`` of toolbridge or of the official package, or a dict; or a list of
            them, for calls that were made at once.
        tool_call: the tool call that it answers, of toolbridge, openai or litellm, or a dict; or its
            id; or a list of these, one for each result.
        model: the model that ``acompletion`` is asked for, as in ``"anthropic/claude-sonnet-4-5"``.
            Pictures and files then stand in the tool message itself where the engine carries them to
            that model so, and what the model does not take becomes a note. None means OpenAI's own
            API: they follow in one user message behind all the tool messages.

    Returns:
        A tool message for each result, then the user message if one is needed.

    Raises:
        TypeError: ``result`` is no result, or ``tool_call`` no tool call.
        ValueError: there are not as many tool calls as results.
        ConfigurationError: a tool call has no id.
        BadRequestError: nothing is known of the provider of ``model``.
    """
    results = list(result) if isinstance(result, (list, tuple)) else [result]
    calls = list(tool_call) if isinstance(tool_call, (list, tuple)) else [tool_call]
    if len(results) != len(calls):
        raise ValueError(
            f"there are {len(results)} results and {len(calls)} tool calls: give one call for each"
        )
    pairs: list[tuple[object, object]] = [
        (_result(one), _call(call)) for one, call in zip(results, calls, strict=True)
    ]
    return _toolbridge.tool_result_messages(pairs, model)


def to_openai_responses_item(result: Any, tool_call: Any) -> dict[str, Any]:
    """Writes a result as an item of OpenAI's Responses API.

    Args:
        result: a ``CallToolResult`` of toolbridge or of the official package, or a dict.
        tool_call: the ``function_call`` item that it answers, an object or a dict; or its ``call_id``.

    Returns:
        ``{"type": "function_call_output", "call_id", "output"}``; the output is a text, or a list of
        ``input_text``, ``input_image`` and ``input_file`` if there is more than text.

    Raises:
        TypeError: ``result`` is no result, or ``tool_call`` no tool call.
        ConfigurationError: the tool call has no id.
    """
    item: dict[str, Any] = _toolbridge.tool_result(
        "openai_responses", _result(result), _call(tool_call), None
    )
    return item


def to_anthropic_block(result: Any, tool_call: Any) -> dict[str, Any]:
    """Writes a result as a block of a user message of Anthropic's Messages API.

    Args:
        result: a ``CallToolResult`` of toolbridge or of the official package, or a dict.
        tool_call: the ``tool_use`` block that it answers, or any other tool call; or its id.

    Returns:
        ``{"type": "tool_result", "tool_use_id", "content"}``, with ``is_error`` if the tool failed. The
        content is a list of ``text``, ``image``, ``document`` and ``search_result`` blocks.

    Raises:
        TypeError: ``result`` is no result, or ``tool_call`` no tool call.
        ConfigurationError: the tool call has no id.
    """
    block: dict[str, Any] = _toolbridge.tool_result(
        "anthropic", _result(result), _call(tool_call), None
    )
    return block


def to_gemini_parts(
    result: Any, tool_call: Any, *, model: str | None = None
) -> list[dict[str, Any]]:
    """Writes a result as parts of a user turn of Gemini's API.

    Args:
        result: a ``CallToolResult`` of toolbridge or of the official package, or a dict.
        tool_call: the part with the ``functionCall`` that it answers, the ``functionCall``, or any
            other tool call that names its tool.
        model: the model, as in ``"gemini/gemini-2.5-flash"``. Models before Gemini 3 take pictures and
            files behind the ``functionResponse`` alone. None means Gemini 3.

    Returns:
        The part with the ``functionResponse`` first, then those with ``inlineData`` that it cannot have
        inside. With calls that were made at once, all responses come before all other parts.

    Raises:
        TypeError: ``result`` is no result, or ``tool_call`` no tool call.
        ConfigurationError: the tool call does not name its tool.
        BadRequestError: nothing is known of the provider of ``model``.
    """
    parts: list[dict[str, Any]] = _toolbridge.tool_result(
        "gemini", _result(result), _call(tool_call), model
    )
    return parts


def to_bedrock_block(result: Any, tool_call: Any) -> dict[str, Any]:
    """Writes a result as a block of a user message of Bedrock's Converse.

    Args:
        result: a ``CallToolResult`` of toolbridge or of the official package, or a dict.
        tool_call: the block with the ``toolUse`` that it answers, the ``toolUse``, or any other tool
            call; or its id.

    Returns:
        ``{"toolResult": {"toolUseId", "content"}}``, with the status ``error`` if the tool failed. The
        content is a list of ``text``, ``json``, ``image``, ``document`` and ``video`` blocks, whose
        bytes are base64 text as on the wire; boto3 takes them decoded.

    Raises:
        TypeError: ``result`` is no result, or ``tool_call`` no tool call.
        ConfigurationError: the tool call has no id.
    """
    block: dict[str, Any] = _toolbridge.tool_result(
        "bedrock", _result(result), _call(tool_call), None
    )
    return block


def _result(result: Any) -> Any:
    """Reads a result of any package as what it is on the wire."""
    if isinstance(result, Object):
        return result
    if isinstance(result, dict):
        blocks = result.get("content")
        if isinstance(blocks, list):
            return {**result, "content": [_wire(block) for block in blocks]}
        return result
    if isinstance(result, type) or not (
        hasattr(result, "content") and hasattr(result, "model_dump")
    ):
        kind = f"the class {result.__name__}" if isinstance(result, type) else type(result).__name__
        raise TypeError(
            "result takes a CallToolResult of toolbridge or of the mcp package, or a dict with"
            f" content, not {kind}"
        )
    return _wire(result)


def _wire(value: Any) -> Any:
    if isinstance(value, (Object, dict)) or not hasattr(value, "model_dump"):
        return value
    return value.model_dump(mode="json", by_alias=True, exclude_none=True)


def _call(tool_call: Any) -> Any:
    """Reads a tool call of any package as a dict, or as the text of an id."""
    if isinstance(tool_call, (str, dict, Object)) or not hasattr(tool_call, "model_dump"):
        return tool_call
    return _wire(tool_call)
