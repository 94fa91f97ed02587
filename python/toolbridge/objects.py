"""The one value class of the package: a thin skin over a decoded JSON object.

A peer's answer is decoded once, into plain dicts and lists, and stays what it was: unknown fields,
explicit nulls and the order of the keys are kept. :class:`Object` adds attributes, both spellings
of a name (``inputSchema`` and ``input_schema``) and classes for the nested objects, all of it on
access. The subclasses declare their fields as annotations; nothing is validated.
"""

from __future__ import annotations

from toolbridge._fields import (
    ABSENT,
    EMPTY_LIST,
    camel,
    nested_reader,
    plain_reader,
    snake,
    target_of,
    wrapped,
    writer,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, ItemsView, Iterator, KeysView, ValuesView
    from typing import Any, ClassVar, Self, SupportsIndex

__all__ = ["Object"]

# What a notebook shows of one value.
_LONGEST_TEXT = 1000
_LONGEST_LIST = 100


def _plain(value: Any) -> Any:
    """Copies a value into plain dicts and lists."""
    if isinstance(value, Object):
        value = value._data
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def _owned(value: Any) -> Any:
    """Copies the dicts and lists that a caller gave; values of ours stay the same objects."""
    if isinstance(value, dict):
        return {key: _owned(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_owned(item) for item in value]
    return value


class Object:
    """A decoded JSON object that answers to attributes and to subscripts.

    ``value.name``, ``value["name"]``, ``value.get("name")``, ``"name" in value``, ``len(value)``,
    iteration over the keys and ``**value`` all work, for reading and (where it makes sense) for
    writing. A known optional field that is absent reads as None, an unknown one is an
    AttributeError. Nested objects are converted on first access and stay the same objects.

    Args:
        **fields: the fields by either spelling. Dicts and lists are copied.

    Raises:
        TypeError: a field that the class cannot do without is missing.
    """

    __slots__ = ("__weakref__", "_data")

    _data: dict[str, Any]
    # Both spellings of every known field -> the key on the wire.
    _keys: ClassVar[dict[str, str]] = {}
    # The key on the wire -> the snake_case name.
    _names: ClassVar[dict[str, str]] = {}
    # Getters of the fields that hold objects, by key; None for those whose dicts stay plain.
    _readers: ClassVar[dict[str, Callable[[Any], Any] | None]] = {}
    # Fields without which no instance is made.
    _required: ClassVar[frozenset[str]] = frozenset()
    # Optional fields: None given by the user means absent (protocol values only).
    _optional: ClassVar[frozenset[str]] = frozenset()
    # Fields with one possible value, as the `type` of a content block.
    _constants: ClassVar[dict[str, Any]] = {}
    # Protocol values: names are camelCase on the wire, and what a peer sent is never left out.
    _protocol: ClassVar[bool] = False
    # Fields that raise AttributeError when they are absent or null, so that getattr defaults work.
    _hidden_when_none: ClassVar[frozenset[str]] = frozenset()
    # Fields that a dump shows even when they are absent.
    _always_dumped: ClassVar[dict[str, Any]] = {}

    def __init_subclass__(cls, *, protocol: bool | None = None) -> None:
        """Turns the annotated fields of a subclass into properties.

        Args:
            protocol: the class mirrors a type of the MCP specification.
        """
        if protocol is not None:
            cls._protocol = protocol
        keys, names, readers = dict(cls._keys), dict(cls._names), dict(cls._readers)
        required, optional, constants = set(cls._required), set(cls._optional), dict(cls._constants)
        namespace = cls.__dict__
        for name, annotation in cls.__annotations__.items():
            if name.startswith("_") or not isinstance(annotation, str):
                continue
            if annotation.startswith("ClassVar"):
                continue
            key = camel(name) if cls._protocol else name
            keys[name] = keys[key] = key
            names[key] = name
            default = namespace.get(name, ABSENT)
            if annotation.startswith("Literal[") and default is not ABSENT:
                constants[key] = default
            if annotation.endswith("None"):
                optional.add(key)
                default = None
            elif default is ABSENT:
                if cls._protocol:
                    required.add(key)
                if annotation.startswith("list[") and key not in cls._hidden_when_none:
                    default = EMPTY_LIST
            target = target_of(annotation)
            refuses_none = key in cls._hidden_when_none
            if target is None:
                readers[key] = None
                read = plain_reader(key, default, refuses_none)
            else:
                read = nested_reader(key, cls.__module__, target, default, refuses_none)
                readers[key] = read
            write = writer(key, cls._protocol and key in optional)
            setattr(cls, name, property(read, write))
        cls._keys, cls._names, cls._readers = keys, names, readers
        cls._required, cls._optional = frozenset(required), frozenset(optional)
        cls._constants = constants

    def __init__(self, **fields: Any) -> None:
        data: dict[str, Any] = dict(self._constants)
        _set_data(self, data)
        keys, optional = self._keys, self._optional if self._protocol else ()
        for name, value in fields.items():
            key = keys.get(name, name)
            if value is None and key in optional:
                continue
            data[key] = _owned(value)
        if not self._required <= data.keys():
            missing = [repr(key) for key in self._required if key not in data]
            raise TypeError(f"{type(self).__name__}() needs {', '.join(sorted(missing))}")

    @classmethod
    def _wrap(cls, data: dict[str, Any]) -> Self:
        """Puts the class over a decoded object, which it takes over without a copy."""
        self: Self = _new(cls)
        _set_data(self, data)
        return self

    def _like(self, data: dict[str, Any]) -> Self:
        """Makes a value of the same class over other data."""
        return type(self)._wrap(data)

    @classmethod
    def model_validate(cls, obj: Any, **_ignored: Any) -> Self:
        """Makes a value from a dict, or from another value.

        Args:
            obj: the fields, by their names on the wire or in snake_case; the dict is copied.

        Returns:
            A value of this class. Unknown fields are kept; nothing is validated.

        Raises:
            TypeError: ``obj`` is neither a dict nor a value of this package.
        """
        fields: Any = obj._data if isinstance(obj, Object) else obj
        if not isinstance(fields, dict):
            raise TypeError(
                f"{cls.__name__}.model_validate() takes a dict, not {type(obj).__name__}"
            )
        keys: Any = cls._keys
        return cls._wrap({keys.get(key, key): _plain(value) for key, value in fields.items()})

    # Attributes and subscripts.

    def _find(self, name: str) -> str | None:
        """Finds the key under which a field is stored, by either spelling."""
        data = self._data
        if name in data:
            return name
        key = self._keys.get(name)
        if key is not None:
            return key if key in data else None
        for other in (camel(name), snake(name)):
            if other in data:
                return other
        return None

    def _read(self, key: str) -> Any:
        """Reads a stored value by its exact key, converting it first."""
        value = self._data[key]
        if type(value) is dict or type(value) is list:
            read = self._readers.get(key, ABSENT)
            if read is ABSENT:
                value = self._data[key] = wrapped(value, Object._wrap)
            elif read is not None:
                value = read(self)
        return value

    def __getattr__(self, name: str) -> Any:
        # Properties answer for the known fields in snake_case; here are all other names.
        known = self._names.get(self._keys.get(name, ""))
        if known is not None and known != name:
            return getattr(self, known)
        if name.startswith("_") and name != "_meta":
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        key = self._find(name)
        if key is not None and not (key in self._hidden_when_none and self._data[key] is None):
            return self._read(key)
        if name == "dict":
            # The old name of model_dump; a method of that name would hide the builtin type.
            return self.model_dump
        if self._keys.get(name) in self._required:
            raise AttributeError(f"this {type(self).__name__} came without {self._keys[name]!r}")
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        key = self._keys.get(name)
        if key is not None:
            object.__setattr__(self, self._names[key], value)
        elif name.startswith("_") and name != "_meta":
            object.__setattr__(self, name, value)
        else:
            self._data[self._find(name) or name] = value

    def __delattr__(self, name: str) -> None:
        key = self._find(name)
        if key is None:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        del self._data[key]

    def __getitem__(self, key: str) -> Any:
        if isinstance(key, str):
            found = self._find(key)
            if found is not None:
                return self._read(found)
            if key in self._keys and key not in self._hidden_when_none:
                try:
                    return getattr(self, key)
                except AttributeError:
                    pass
        raise KeyError(key)

    def __setitem__(self, key: str, value: Any) -> None:
        self._data[self._find(key) or self._keys.get(key, key)] = value

    def __delitem__(self, key: str) -> None:
        found = self._find(key)
        if found is None:
            raise KeyError(key)
        del self._data[found]

    def __contains__(self, key: object) -> bool:
        if not isinstance(key, str):
            return False
        found = self._find(key)
        if found is None:
            return False
        return not (found in self._hidden_when_none and self._data[found] is None)

    def get(self, key: str, default: Any = None) -> Any:
        """Reads a field, or the default when it is absent.

        Args:
            key: the field, by either spelling.
            default: what comes back when the field is absent and its class gives it no value.
        """
        if key in self:
            return self[key]
        if key in self._keys and key not in self._hidden_when_none:
            known = getattr(self, key, None)
            return default if known is None else known
        return default

    def keys(self) -> KeysView[str]:
        """The keys that are present, as they are on the wire."""
        return self._data.keys()

    def values(self) -> ValuesView[Any]:
        """The values that are present, nested objects converted."""
        self._convert()
        return self._data.values()

    def items(self) -> ItemsView[str, Any]:
        """The pairs that are present, nested objects converted."""
        self._convert()
        return self._data.items()

    def __iter__(self) -> Iterator[str]:
        return iter(self._data)

    def __len__(self) -> int:
        return len(self._data)

    def __bool__(self) -> bool:
        # A value is a value, even when the peer sent `{}`.
        return True

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Object):
            return self._data == other._data
        if isinstance(other, dict):
            return self._data == other
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __dir__(self) -> list[str]:
        return sorted({*object.__dir__(self), *(key for key in self._data if key.isidentifier())})

    # Dumps.

    def _convert(self) -> None:
        """Converts every nested object."""
        for key, value in self._data.items():
            if type(value) is dict or type(value) is list:
                self._read(key)

    def _dump(self, by_alias: bool, exclude_none: bool, complete: bool) -> dict[str, Any]:
        if self._protocol and by_alias:
            copied: dict[str, Any] = _plain(self._data)
            return copied
        self._convert()
        exclude_none = exclude_none and not self._protocol
        dumped = {}
        for key, value in self._data.items():
            if value is None and exclude_none:
                continue
            name = key if by_alias else self._names.get(key, key)
            if isinstance(value, Object):
                value = value._dump(by_alias, exclude_none, complete)
            elif isinstance(value, list):
                value = [
                    item._dump(by_alias, exclude_none, complete)
                    if isinstance(item, Object)
                    else _plain(item)
                    for item in value
                ]
            else:
                value = _plain(value)
            dumped[name] = value
        if complete:
            for key, value in self._always_dumped.items():
                dumped.setdefault(key, value)
        return dumped

    def model_dump(
        self,
        *,
        mode: str = "python",
        include: Any = None,
        exclude: Any = None,
        by_alias: bool | None = True,
        exclude_unset: bool = False,
        exclude_none: bool = False,
        **_ignored: Any,
    ) -> dict[str, Any]:
        """Copies the value into plain dicts and lists.

        What an MCP peer sent comes back as it was on the wire, explicit nulls included; nothing is
        added. A chat value shows the fields that its class always has, unless None is excluded.

        Args:
            mode: accepted for pydantic's sake; the values are JSON values in either mode.
            include: a set of names at the top level; the others are left out.
            exclude: a set of names at the top level to leave out.
            by_alias: False spells the known fields of MCP values in snake_case.
            exclude_unset: leaves out what the class would add.
            exclude_none: leaves out the None members of chat values, never those inside of plain
                dicts such as arguments or schemas.

        Raises:
            TypeError: ``include`` or ``exclude`` is not a set, list or tuple of names.
        """
        del mode
        complete = not (exclude_none or exclude_unset)
        dumped = self._dump(by_alias is not False, exclude_none, complete)
        for argument, names in (("include", include), ("exclude", exclude)):
            if names is None:
                continue
            if not isinstance(names, (set, frozenset, list, tuple)):
                raise TypeError(
                    f"{argument} takes a set of names of the top level, not {type(names).__name__}"
                )
            chosen = {*names, *(self._keys.get(name, name) for name in names)}
            chosen |= {self._names.get(key, key) for key in chosen}
            keep = argument == "include"
            dumped = {key: value for key, value in dumped.items() if (key in chosen) is keep}
        return dumped

    def model_dump_json(self, *, indent: int | None = None, **options: Any) -> str:
        """Writes the value as JSON text.

        Args:
            indent: spaces per level; None writes one line without spaces.
            **options: those of :meth:`model_dump`.
        """
        import json

        separators = (",", ":") if indent is None else None
        plain = self.model_dump(**options)
        return json.dumps(
            plain, indent=indent, separators=separators, ensure_ascii=False, default=str
        )

    def to_dict(self, **options: Any) -> dict[str, Any]:
        """Copies what was set into plain dicts and lists; options as :meth:`model_dump`."""
        return self.model_dump(**{"exclude_unset": True, **options})

    def json(self, **_ignored: Any) -> dict[str, Any]:
        """Copies the value into plain dicts and lists: a dict, as LiteLLM's method of the name."""
        return self.model_dump()

    @property
    def model_fields_set(self) -> set[str]:
        """The names of the fields that are present, in snake_case where they are known."""
        return {self._names.get(key, key) for key in self._data}

    # Copies.

    def model_copy(self, *, update: dict[str, Any] | None = None, deep: bool = False) -> Self:
        """Copies the value.

        Args:
            update: fields to change in the copy.
            deep: copies the nested values too; otherwise they are shared.
        """
        import copy

        copied = copy.deepcopy(self) if deep else copy.copy(self)
        for name, value in (update or {}).items():
            copied[name] = value
        return copied

    def copy(self, *, update: dict[str, Any] | None = None, deep: bool = False) -> Self:
        """Copies the value; as :meth:`model_copy`."""
        return self.model_copy(update=update, deep=deep)

    def __copy__(self) -> Self:
        return self._like(dict(self._data))

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        import copy

        copied = self._like({})
        memo[id(self)] = copied
        copied._data.update(copy.deepcopy(self._data, memo))
        return copied

    def __reduce_ex__(self, _protocol: SupportsIndex) -> tuple[Any, ...]:
        return _restore, (type(self), self._data)

    # What a person sees.

    def __repr__(self) -> str:
        self._convert()
        shown = ", ".join(
            f"{'meta' if key == '_meta' else key}={value!r}" for key, value in self._data.items()
        )
        return f"{type(self).__name__}({shown})"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """Prints the value in a notebook, long texts and long lists cut (IPython's protocol)."""
        name = type(self).__name__
        if cycle:
            printer.text(f"{name}(…)")
            return
        self._convert()
        with printer.group(4, f"{name}(", ")"):
            for position, (key, value) in enumerate(self._data.items()):
                if position:
                    printer.text(",")
                    printer.breakable()
                printer.text(f"{'meta' if key == '_meta' else key}=")
                printer.pretty(_Shortened(value) if _is_long(value) else value)


class _Shortened:
    """Stands in a notebook for a value that is too long to show."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:
        if isinstance(self.value, str):
            printer.text(f"{self.value[:_LONGEST_TEXT]!r}… ({len(self.value)} characters)")
            return
        printer.pretty(self.value[:_LONGEST_LIST])
        printer.text(f"… ({len(self.value)} items)")


def _is_long(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) > _LONGEST_TEXT
    return isinstance(value, list) and len(value) > _LONGEST_LIST


def _restore(cls: type[Object], data: dict[str, Any]) -> Object:
    """Makes a pickled value again."""
    return cls._wrap(data)


_new: Any = object.__new__
# The slot itself: `__setattr__` writes fields.
_set_data: Any = Object.__dict__["_data"].__set__
