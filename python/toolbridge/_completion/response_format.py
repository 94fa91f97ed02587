"""The ``response_format`` of a pydantic class: OpenAI's structured outputs want a strict schema."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["response_format"]


def response_format(wanted: Any) -> Any:
    """Makes the ``response_format`` of the request.

    Args:
        wanted: a dict, which is handed on, or a class, of which the JSON Schema is taken: a
            pydantic class, or a dataclass or TypedDict where pydantic is installed.

    Raises:
        TypeError: it is none of them.
    """
    if isinstance(wanted, dict):
        return wanted
    make_schema = getattr(wanted, "model_json_schema", None)
    if make_schema is None and isinstance(wanted, type) and _has_fields(wanted):
        make_schema = _adapted(wanted)
    if not isinstance(wanted, type) or make_schema is None:
        kind = wanted.__name__ if isinstance(wanted, type) else type(wanted).__name__
        raise TypeError(f"response_format takes a dict or a pydantic class, not {kind}")
    schema = make_schema()
    return {
        "type": "json_schema",
        "json_schema": {
            "name": wanted.__name__,
            "schema": _strict(schema, schema),
            "strict": True,
        },
    }


def _has_fields(wanted: type) -> bool:
    return hasattr(wanted, "__dataclass_fields__") or (
        issubclass(wanted, dict) and hasattr(wanted, "__total__")
    )


def _adapted(wanted: type) -> Any:
    """What makes the schema of a dataclass or a TypedDict; pydantic knows how."""
    try:
        from pydantic import TypeAdapter
    except ImportError:
        raise TypeError(
            f"response_format takes {wanted.__name__} only where pydantic is installed: install it, "
            "or give a dict with the JSON Schema"
        ) from None
    return TypeAdapter(wanted).json_schema


def _strict(schema: Any, root: dict[str, Any]) -> Any:
    """Rewrites a schema as OpenAI's strict mode wants it.

    Every property is required, nothing else is allowed, a reference stands alone, no default is
    null (https://platform.openai.com/docs/guides/structured-outputs, "Supported schemas").
    """
    if isinstance(schema, list):
        return [_strict(item, root) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema and len(schema) > 1:
        # Siblings of a reference are refused: put what it refers to in its place.
        siblings = {name: value for name, value in schema.items() if name != "$ref"}
        return _strict({**_resolve(schema["$ref"], root), **siblings}, root)
    if len(schema.get("allOf", ())) == 1:
        alone = {name: value for name, value in schema.items() if name != "allOf"}
        return _strict({**schema["allOf"][0], **alone}, root)
    strict: dict[str, Any] = {}
    for name, value in schema.items():
        if name in {"properties", "$defs", "definitions"} and isinstance(value, dict):
            # The keys are names of the user's, not keywords.
            strict[name] = {key: _strict(item, root) for key, item in value.items()}
        elif name in {"enum", "const", "default", "examples", "required"}:
            strict[name] = value
        else:
            strict[name] = _strict(value, root)
    if strict.get("type") == "object":
        strict.setdefault("additionalProperties", False)
    if "properties" in strict:
        strict["required"] = list(strict["properties"])
    if "default" in strict and strict["default"] is None:
        del strict["default"]
    return strict


def _resolve(reference: str, root: dict[str, Any]) -> dict[str, Any]:
    found: Any = root
    for part in reference.removeprefix("#/").split("/"):
        found = found[part.replace("~1", "/").replace("~0", "~")]
    resolved: dict[str, Any] = found
    return resolved
