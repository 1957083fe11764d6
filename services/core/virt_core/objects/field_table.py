"""KubeVirt's field table (kubevirt_api.json) as schemas. Pure.

virt-operator makes the structural schemas of its CRDs of it, virt-api the definitions of its OpenAPI documents.

The table maps a type's name to its fields, each a line such as "[]v1.Disk! list=map:name":
- a type: string, boolean, int32, int64, byte, float, double, time, duration, quantity, int-or-string, or the name of
  another type; "[]T" is a list, "map:T" a map from strings;
- "!" after it: required; "|null": may be null;
- "list=atomic|set|map:keys": how server-side apply merges the list.

Types of Kubernetes itself (core.*, meta.*) are not in the table: their content is kept whole and unchecked here, so
nothing is pruned before admission has seen it.

field_descriptions.json has a sentence for each field that is supported, by type and field, for `kubectl explain`;
"" stands for the type.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any

Schema = dict[str, Any]
Table = Mapping[str, Mapping[str, str]]
_KUBERNETES = ("core.", "meta.")

_SCALARS: Mapping[str, Schema] = {
    "string": {"type": "string"},
    "boolean": {"type": "boolean"},
    "int32": {"type": "integer", "format": "int32"},
    "int64": {"type": "integer", "format": "int64"},
    "byte": {"type": "integer", "minimum": 0, "maximum": 255},
    "float": {"type": "number", "format": "float"},
    "double": {"type": "number", "format": "double"},
    "time": {"type": "string", "format": "date-time"},
    "duration": {"type": "string"},
    "quantity": {"anyOf": [{"type": "integer"}, {"type": "string"}], "x-kubernetes-int-or-string": True},
    "int-or-string": {"anyOf": [{"type": "integer"}, {"type": "string"}], "x-kubernetes-int-or-string": True},
}


class BadFieldTable(ValueError):
    """The table has an entry outside of its grammar: a defect of this package."""


def read_field_table() -> Table:
    """The table that this release was built with."""
    text = resources.files("virt_core.objects").joinpath("kubevirt_api.json").read_text()
    table: Table = json.loads(text)
    return table


field_table = cache(read_field_table)
"""The same, read once: for whoever needs it again."""


@cache
def field_descriptions() -> Table:
    """What the fields mean, by type and field."""
    text = resources.files("virt_core.objects").joinpath("field_descriptions.json").read_text()
    descriptions: Table = json.loads(text)
    return descriptions


def kept_whole() -> Schema:
    """A schema of any object, nothing of it pruned."""
    return {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def type_schema(
    name: str, table: Table, above: tuple[str, ...] = (), descriptions: Table = MappingProxyType({})
) -> Schema:
    """The schema of the type `name`; `above` are the types that it is nested in. `descriptions` are those of fields, by
    type and field.

    Raises:
        BadFieldTable: naming the field that cannot be read.
    """
    if name not in table:
        if name.startswith(_KUBERNETES):
            return kept_whole()
        raise BadFieldTable(f"type {name} is not in the table, nested in {' > '.join(above)}")
    if name in above:
        return kept_whole()  # a schema cannot refer to itself
    schema = _object_schema(name, table, lambda kind: type_schema(kind, table, (*above, name), descriptions))
    for field, text in descriptions.get(name, {}).items():
        described = schema["properties"][field] if field else schema
        described["description"] = text
    return schema


def type_definitions(names: Iterable[str], table: Table, prefix: str) -> dict[str, Schema]:
    """The types `names` and the types of their fields, by name; `prefix` and a name are what a `$ref` says.

    Raises:
        BadFieldTable: naming the type or field that cannot be read.
    """
    found: dict[str, Schema] = {}
    waiting = list(names)

    def reference(kind: str) -> Schema:
        if kind not in table and kind.startswith(_KUBERNETES):
            return kept_whole()
        waiting.append(kind)
        return {"$ref": f"{prefix}{kind}"}

    while waiting:
        name = waiting.pop()
        if name not in table:
            raise BadFieldTable(f"type {name} is not in the table")
        if name not in found:
            found[name] = _object_schema(name, table, reference)
    return found


def _object_schema(name: str, table: Table, nested: Callable[[str], Schema]) -> Schema:
    properties: Schema = {}
    required: list[str] = []
    for field, line in table[name].items():
        declared, *marks = line.split()
        kind = declared.rstrip("!")
        if kind != declared:
            required.append(field)
        properties[field] = _field_schema(f"{name}.{field}", kind, marks, nested)
    schema: Schema = {"type": "object"}
    if properties:
        schema["properties"] = properties
    if required:
        schema["required"] = sorted(required)
    return schema


def _field_schema(path: str, kind: str, marks: list[str], nested: Callable[[str], Schema]) -> Schema:
    if kind.endswith("|null"):
        return {**_field_schema(path, kind.removesuffix("|null"), marks, nested), "nullable": True}
    if kind.startswith("[]"):
        items = _field_schema(path, kind.removeprefix("[]"), [], nested)
        return _marked_list(path, {"type": "array", "items": items}, marks)
    if marks:
        raise BadFieldTable(f"{path}: {marks} on something that is no list")
    if kind.startswith("map:"):
        return {"type": "object", "additionalProperties": _field_schema(path, kind.removeprefix("map:"), [], nested)}
    if kind in _SCALARS:
        return dict(_SCALARS[kind])
    return nested(kind)


def _marked_list(path: str, schema: Schema, marks: list[str]) -> Schema:
    for mark in marks:
        key, _, value = mark.partition("=")
        how, _, keys = value.partition(":")
        if key != "list" or how not in ("atomic", "set", "map"):
            raise BadFieldTable(f"{path}: {mark!r} is none of list=atomic, list=set, list=map:keys")
        schema["x-kubernetes-list-type"] = how
        if how == "map":
            _merge_by(schema, keys.split(","))
    return schema


def _merge_by(schema: Schema, keys: list[str]) -> None:
    """Keys of a map list must be known and required in its items, also in those of Kubernetes' own types."""
    schema["x-kubernetes-list-type"] = "map"
    schema["x-kubernetes-list-map-keys"] = keys
    items = schema["items"]
    items["properties"] = {**{key: {"type": "string"} for key in keys}, **items.get("properties", {})}
    items["required"] = sorted({*items.get("required", ()), *keys})


def as_map_list(schema: Schema, *path: str, key: str) -> None:
    """Make the list at `path` (property names from `schema` down) merge by `key`, which becomes required in its items.

    So each writer's conditions are its own under server-side apply.
    """
    for part in path:
        schema = schema["properties"][part]
    _merge_by(schema, [key])
