"""How the fields of :class:`toolbridge.objects.Object` are named, read and written.

Everything here runs once for each class, or once for each name: reading a field is then one
function call.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import UnionType
    from typing import Any

    from toolbridge.objects import Object

    _Wrap = Callable[[dict[str, Any]], Any]

__all__ = [
    "ABSENT",
    "EMPTY_LIST",
    "camel",
    "nested_reader",
    "plain_reader",
    "snake",
    "target_of",
    "wrapped",
    "writer",
]

# No value: tells "absent" from an explicit null.
ABSENT: Any = object()
# Reads as a fresh empty list when the peer left the field out.
EMPTY_LIST: Any = object()
_PLAIN_TYPES = frozenset({"str", "int", "float", "bool", "object", "Any", "None"})
# Attribute names come from source code, subscripts may come from anywhere: both caches are bounded.
_MOST_CACHED_NAMES = 4096
_camel_names: dict[str, str] = {"meta": "_meta"}
_snake_names: dict[str, str] = {"_meta": "meta"}


def camel(name: str) -> str:
    """Spells a snake_case name as the wire does: ``input_schema`` is ``inputSchema``."""
    known = _camel_names.get(name)
    if known is None:
        head, *rest = name.split("_")
        known = head + "".join(part[:1].upper() + part[1:] for part in rest) if head else name
        if len(_camel_names) < _MOST_CACHED_NAMES:
            _camel_names[name] = known
    return known


def snake(name: str) -> str:
    """Spells a wire name in snake_case: ``inputSchema`` is ``input_schema``."""
    known = _snake_names.get(name)
    if known is None:
        known = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
        known = known if name[:1].islower() else name
        if len(_snake_names) < _MOST_CACHED_NAMES:
            _snake_names[name] = known
    return known


def wrapped(value: Any, wrap: _Wrap) -> Any:
    """Wraps a dict, and the dicts of a list in place."""
    if type(value) is dict:
        return wrap(value)
    if type(value) is list:
        for position, item in enumerate(value):
            if type(item) is dict:
                value[position] = wrap(item)
    return value


def target_of(annotation: str) -> str | None:
    """Names the class in which values of a field are wrapped; None when they stay plain."""
    inner = annotation.removeprefix("list[")
    if inner.startswith(("dict[", "Literal[")):
        return None
    for part in inner.replace("list[", "").replace("]", "").split(" | "):
        if part not in _PLAIN_TYPES:
            return part
    return None


def _wrap_one_of(union: UnionType, unknown: _Wrap) -> _Wrap:
    """Picks a member of a union by its ``type``, or else by a field that only it has."""
    by_type: dict[str, _Wrap] = {}
    by_field: list[tuple[str, _Wrap]] = []
    member: Any
    for member in union.__args__:
        discriminator = member._constants.get("type")
        if discriminator is not None:
            by_type[discriminator] = member._wrap
        else:
            by_field.append((next(iter(member._required - {"uri"})), member._wrap))

    def wrap(data: dict[str, Any]) -> Any:
        kind = data.get("type")
        if isinstance(kind, str) and kind in by_type:
            return by_type[kind](data)
        for field, member_wrap in by_field:
            if field in data:
                return member_wrap(data)
        return unknown(data)

    return wrap


def nested_reader(
    key: str, module: str, target: str, absent: Any, refuses_none: bool
) -> Callable[[Any], Any]:
    """Makes the getter of a field whose dicts are wrapped, once, when they are first read."""
    wrap: Any = None

    def resolve() -> Any:
        import sys

        from toolbridge.objects import Object

        found: Any = vars(sys.modules[module])[target]
        return getattr(found, "_wrap", None) or _wrap_one_of(found, Object._wrap)

    def read(self: Object) -> Any:
        nonlocal wrap
        data = self._data
        value = data.get(key, absent)
        kind = type(value)
        if kind is dict:
            if wrap is None:
                wrap = resolve()
            value = data[key] = wrap(value)
        elif kind is list:
            # The ends tell whether the list was converted already, or grew a dict since.
            if value and (type(value[0]) is dict or type(value[-1]) is dict):
                if wrap is None:
                    wrap = resolve()
                wrapped(value, wrap)
        elif value is EMPTY_LIST:
            return []
        elif value is ABSENT or (refuses_none and value is None):
            raise AttributeError(key)
        return value

    return read


def plain_reader(key: str, absent: Any, refuses_none: bool) -> Callable[[Any], Any]:
    """Makes the getter of a field whose value is handed out as it is."""
    if absent is ABSENT or absent is EMPTY_LIST or refuses_none:

        def read_strictly(self: Object) -> Any:
            value = self._data.get(key, absent)
            if value is EMPTY_LIST:
                return []
            if value is ABSENT or (refuses_none and value is None):
                raise AttributeError(key)
            return value

        return read_strictly

    def read(self: Object) -> Any:
        return self._data.get(key, absent)

    return read


def writer(key: str, drops_none: bool) -> Callable[[Any, Any], None]:
    """Makes the setter of a field; None means absent where the protocol has no null."""

    def write(self: Object, value: Any) -> None:
        if value is None and drops_none:
            self._data.pop(key, None)
        else:
            self._data[key] = value

    return write
