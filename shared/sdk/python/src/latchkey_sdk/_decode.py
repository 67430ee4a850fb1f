"""From JSON to the classes of `types`."""

from __future__ import annotations

import types as builtin_types
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from .errors import UnexpectedAnswerError

T = TypeVar("T")


class _MismatchError(Exception):
    pass


def decode(cls: type[T], json: object, status: int = 200) -> T:
    """The object of this class. Unknown members are ignored; an optional one of another type counts as left out."""
    try:
        return cast(T, _dataclass(cls, json))
    except _MismatchError as mismatch:
        raise UnexpectedAnswerError(f"Latchkey answered without {mismatch}", status) from None


@cache
def _members(cls: type[Any]) -> list[tuple[str, Any, bool]]:
    hints = get_type_hints(cls)
    return [(each.name, hints[each.name], each.default is MISSING) for each in fields(cls)]


def _dataclass(cls: type[Any], json: object) -> Any:
    if not isinstance(json, dict):
        raise _MismatchError("a JSON object")
    given = cast("dict[str, object]", json)
    found: dict[str, Any] = {}
    for name, hint, is_needed in _members(cls):
        try:
            found[name] = _value(hint, given.get(name))
        except _MismatchError:
            if is_needed:
                raise _MismatchError(name) from None
    return cls(**found)


def _value(hint: Any, json: object) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, builtin_types.UnionType):
        return None if json is None else _value(arguments[0], json)
    if hint is Any:
        return json
    if origin is Literal:
        hint, origin = str, None
    if is_dataclass(hint):
        return _dataclass(cast("type[Any]", hint), json)
    if origin is list and isinstance(json, list):
        return [_value(arguments[0], item) for item in cast("list[object]", json)]
    if origin is dict and isinstance(json, dict):
        return {name: _value(arguments[1], item) for name, item in cast("dict[str, object]", json).items()}
    # Python 3.10 counts `list[str]` as a type too.
    is_plain = origin is None and isinstance(hint, type)
    if is_plain and isinstance(json, hint) and json != "" and (hint is bool or not isinstance(json, bool)):
        return json
    raise _MismatchError("a member")
