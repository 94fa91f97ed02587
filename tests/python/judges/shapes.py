"""Whether a decoded JSON value has the shape of a type of an official SDK.

Types that SDKs describe requests with are TypedDicts (openai, anthropic) and pydantic models (google-genai,
cohere, mistralai, ollama, replicate). Pydantic itself would let unknown members of a TypedDict pass, and would not look
into an ``Iterable``; here both are a problem, because a misspelled parameter is what a judge is there for.
"""

import enum
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NotRequired, Required

from typing_extensions import ReadOnly, TypeAliasType, is_typeddict

_LISTS = (list, Sequence, Iterable, typing.Iterable, tuple, set)
# What stands in mistralai's types for a value that is left out, and for one that the SDK does not know.
_MARKS = {"Unset", "UnrecognizedStr", "UnrecognizedInt"}
_WRAPPERS = (Required, NotRequired, ReadOnly, typing.Required, typing.NotRequired)


def problems(value, shape, place="body"):
    """What is wrong with ``value``; nothing where it has the shape."""
    return list(_problems(value, shape, place))


def _problems(value, shape, place):
    shape = _bare(shape)
    origin, arguments = typing.get_origin(shape), typing.get_args(shape)
    if shape in (typing.Any, object):
        return
    if shape is None or shape is type(None):
        if value is not None:
            yield f"{place} is {value!r}, not null"
    elif origin is typing.Literal:
        if value not in arguments:
            yield f"{place} is {value!r}; it takes {', '.join(map(repr, arguments))}"
    elif origin in (typing.Union, types.UnionType):
        yield from _nearest(value, arguments, place)
    elif origin in _LISTS or shape in _LISTS:
        if not isinstance(value, list):
            yield f"{place} is {_kind(value)}, not a list"
            return
        for index, item in enumerate(value):
            if arguments:
                yield from _problems(item, arguments[0], f"{place}[{index}]")
    elif origin in (dict, Mapping) or shape in (dict, Mapping):
        if not isinstance(value, dict):
            yield f"{place} is {_kind(value)}, not an object"
            return
        for name, item in value.items():
            if arguments:
                yield from _problems(item, arguments[1], f"{place}.{name}")
    elif is_typeddict(shape):
        yield from _members(value, _typed_dict(shape), place, shape.__name__)
    elif getattr(shape, "__name__", None) in _MARKS:
        yield f"{place} is {value!r}, which the SDK does not know"
    elif hasattr(shape, "model_fields"):
        yield from _members(value, _model(shape), place, shape.__name__)
    elif hasattr(shape, "__fields__"):
        yield from _members(value, _model_of_old(shape), place, shape.__name__)
    elif isinstance(shape, type) and issubclass(shape, enum.Enum):
        if value not in [member.value for member in shape]:
            yield f"{place} is {value!r}; it takes a {shape.__name__}"
    else:
        yield from _plain(value, shape, place)


def _plain(value, shape, place):
    wanted = {
        str: str,
        int: int,
        float: (int, float),
        bool: bool,
        bytes: str,
        datetime: str,
    }.get(shape)
    if wanted is None:
        raise TypeError(f"a judge does not know the shape {shape!r} of {place}")
    is_bool = isinstance(value, bool)
    if not isinstance(value, wanted) or (is_bool and shape is not bool):
        yield f"{place} is {_kind(value)}, not {shape.__name__}"


def _bare(shape):
    """The shape without what only says something about it."""
    while True:
        origin = typing.get_origin(shape)
        if origin is typing.Annotated or origin in _WRAPPERS:
            shape = typing.get_args(shape)[0]
        elif isinstance(origin, TypeAliasType):
            shape = origin.__value__[typing.get_args(shape)]
        elif isinstance(shape, TypeAliasType):
            shape = shape.__value__
        elif isinstance(shape, typing.NewType):
            shape = shape.__supertype__
        else:
            return shape


def _typed_dict(shape):
    """Each member's shape, and whether it has to be there."""
    hints = typing.get_type_hints(shape, include_extras=True)
    # Annotations that are texts hide what is required from `__required_keys__`.
    return {
        name: (hint, _is_required(hint, name in shape.__required_keys__))
        for name, hint in hints.items()
    }


def _is_required(hint, otherwise):
    while (origin := typing.get_origin(hint)) is not None:
        if origin in {Required, typing.Required}:
            return True
        if origin in {NotRequired, typing.NotRequired}:
            return False
        if origin not in {typing.Annotated, ReadOnly}:
            break
        hint = typing.get_args(hint)[0]
    return otherwise


def _model(shape):
    members = {}
    for name, field in shape.model_fields.items():
        alias = field.serialization_alias or field.alias or _own_alias(field.metadata) or name
        members[alias] = (field.annotation, field.is_required())
    return members


def _model_of_old(shape):
    """The members of a model of pydantic's first version, which replicate's SDK has."""
    return {
        field.alias: (
            field.outer_type_ | None if field.allow_none else field.outer_type_,
            bool(field.required),
        )
        for field in shape.__fields__.values()
    }


def _own_alias(metadata):
    """Where cohere's SDK keeps the name on the wire."""
    return next((found.alias for found in metadata if getattr(found, "alias", None)), None)


def _members(value, members, place, name):
    if not isinstance(value, dict):
        yield f"{place} is {_kind(value)}, not an object ({name})"
        return
    for member in value:
        if member not in members:
            yield f"{place}.{member} is no member of {name}"
    for member, (hint, is_required) in members.items():
        if member in value:
            yield from _problems(value[member], hint, f"{place}.{member}")
        elif is_required:
            yield f"{place} has no {member!r}, which {name} has"


def _nearest(value, shapes, place):
    """The problems of the alternative that fits best: the one whose mark (type, role) is there."""
    best = None
    for shape in shapes:
        found = list(_problems(value, shape, place))
        if not found:
            return
        marks = (f"{place}.type is", f"{place}.role is", f"{place} is ")
        weight = (sum(problem.startswith(marks) for problem in found), len(found))
        if best is None or weight < best[0]:
            best = (weight, found)
    yield from best[1]


def _kind(value):
    return "null" if value is None else f"a {type(value).__name__}"
