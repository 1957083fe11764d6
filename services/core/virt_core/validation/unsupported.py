"""Finds every field of a stored object that a strict type does not have, and every value of a wrong type. Pure.

msgspec stops at the first problem; a user wants all of them. Called by vmi/instance.py and vmi/accepted.py after
msgspec has refused an object. The object may be anything that an API server stores under fieldValidation=Ignore.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec
from msgspec import inspect

from virt_core.validation.refusal import Refusal, Refusals, below_spec, refused

_LONGEST_KEY = 128  # characters of a field's name that are repeated to the user
_PLAIN: dict[type[inspect.Type], tuple[type | tuple[type, ...], str]] = {
    inspect.StrType: (str, "a string"),
    inspect.IntType: (int, "an integer"),
    inspect.FloatType: ((int, float), "a number"),
    inspect.BoolType: (bool, "true or false"),
    inspect.NoneType: (type(None), "null"),
}


def unsupported(value: Any, kind: type[msgspec.Struct], path: str = "") -> Refusals:
    """The fields of `value` (made of builtins) that `kind` does not have.

    Refuses the highest unsupported level of a path below `spec`, whose parent is supported.
    """
    yield from _walk(path, value, _inspected(kind))


@cache
def _inspected(kind: type[msgspec.Struct]) -> inspect.Type:
    return inspect.type_info(kind)


class Unfit(Exception):
    """The object is incomplete without its unsupported parts."""


def supported_part(value: Any, kind: type[msgspec.Struct]) -> Any:
    """`value` (made of builtins) without the parts that `unsupported` refuses, so that the rules can check the rest.

    Raises:
        Unfit: a required field or an item of a list is refused.
    """
    return _supported(value, _inspected(kind))


def _supported(value: Any, kind: inspect.Type) -> Any:
    if isinstance(kind, inspect.UnionType):
        if any(_fits(value, option) for option in kind.types if type(option) in _PLAIN):
            return value
        structured = [option for option in kind.types if type(option) not in _PLAIN]
        if not structured:
            raise Unfit
        return _supported(value, structured[0])
    if isinstance(kind, inspect.StructType) and isinstance(value, dict):
        return _supported_fields(value, kind)
    if isinstance(kind, inspect.ListType) and isinstance(value, list):
        return [_supported(item, kind.item_type) for item in value]
    if isinstance(kind, inspect.DictType) and isinstance(value, dict):
        return {key: _supported(item, kind.value_type) for key, item in value.items()}
    if isinstance(kind, inspect.AnyType) or (type(kind) in _PLAIN and _fits(value, kind)):
        return value
    raise Unfit


def _supported_fields(value: dict[str, Any], kind: inspect.StructType) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for field in kind.fields:
        try:
            if field.encode_name in value:
                result[field.encode_name] = _supported(value[field.encode_name], field.type)
        except Unfit:
            if isinstance(value[field.encode_name], list):
                raise  # other fields refer to a list's items
        if field.required and field.encode_name not in result:
            raise Unfit
    return result


def _walk(path: str, value: Any, kind: inspect.Type) -> Refusals:
    if isinstance(kind, inspect.UnionType):
        yield from _walk_union(path, value, kind)
    elif isinstance(kind, inspect.StructType):
        yield from _walk_struct(path, value, kind)
    elif isinstance(kind, inspect.ListType):
        if not isinstance(value, list):
            yield _wrong(path, value, "a list")
            return
        for index, item in enumerate(value):
            yield from _walk(f"{path}[{index}]", item, kind.item_type)
    elif isinstance(kind, inspect.DictType):
        if not isinstance(value, dict):
            yield _wrong(path, value, "an object")
            return
        for key, item in value.items():
            yield from _walk(_below(path, key), item, kind.value_type)
    elif type(kind) in _PLAIN and not _fits(value, kind):
        yield _wrong(path, value, _PLAIN[type(kind)][1])


def _walk_struct(path: str, value: Any, kind: inspect.StructType) -> Refusals:
    if not isinstance(value, dict):
        yield _wrong(path, value, "an object")
        return
    fields = {field.encode_name: field for field in kind.fields}
    for key, item in value.items():
        if key in fields:
            yield from _walk(_below(path, key), item, fields[key].type)
        else:
            yield Refusal(below_spec(_below(path, key)), _not_supported(kind.cls, key))
    for name, field in fields.items():
        if field.required and name not in value:
            yield Refusal(below_spec(_below(path, name)), "is missing")


def _not_supported(kind: type, key: object) -> str:
    instead = getattr(kind, "instead", {}).get(key)
    message = "is not supported by this release, remove it"
    return f"{message}: {instead}" if instead else message


def _walk_union(path: str, value: Any, kind: inspect.UnionType) -> Refusals:
    """A union of a type and None, or of several plain types."""
    structured = [option for option in kind.types if type(option) not in _PLAIN]
    if any(_fits(value, option) for option in kind.types if type(option) in _PLAIN):
        return
    if structured:
        yield from _walk(path, value, structured[0])
        return
    words = [_PLAIN[type(option)][1] for option in kind.types if not isinstance(option, inspect.NoneType)]
    yield _wrong(path, value, " or ".join(words))


def _fits(value: Any, kind: inspect.Type) -> bool:
    # In Python a bool is an int, in JSON it is not.
    if isinstance(value, bool):
        return isinstance(kind, inspect.BoolType)
    return isinstance(value, _PLAIN[type(kind)][0])


def _wrong(path: str, value: Any, wanted: str) -> Refusal:
    if isinstance(value, dict | list):
        value = f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)}"
    return refused(path, value, wanted)


def _below(path: str, key: object) -> str:
    return f"{path}.{str(key)[:_LONGEST_KEY]}".lstrip(".")
