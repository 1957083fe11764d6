"""OpenAPI documents of the group, from the table of subresources and KubeVirt's table of types. Pure.

Called by documents.py. kube-apiserver's aggregator merges version 2 into its own document and forwards requests for
version 3, so that generated clients contain the subresources. Operations and types have KubeVirt's names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from virt_core.conventions.subresources import (
    EVACUATE_CANCEL,
    EXPAND_MANIFEST,
    GROUP,
    HEALTHZ,
    MIGRATE,
    SCREENSHOT,
    SUPPORTED,
    VERSION,
    VERSIONS,
)
from virt_core.objects.field_table import Schema, read_field_table, type_definitions

Document = dict[str, Any]

# Source of all tables: KubeVirt's api/openapi-spec/swagger.json, v1.8.
_TITLE = "KubeVirt API"
_OBJECTS = {"virtualmachineinstances": ("VirtualMachineInstance", "vmi"), "virtualmachines": ("VirtualMachine", "vm")}
_NAMES = {"softreboot": "SoftReboot", "vnc": "VNC", SCREENSHOT: "VNCScreenshot"}
_BODIES = {
    EVACUATE_CANCEL: "v1.EvacuateCancelOptions",
    "freeze": "v1.FreezeUnfreezeTimeout",
    MIGRATE: "v1.MigrateOptions",
    "pause": "v1.PauseOptions",
    "restart": "v1.RestartOptions",
    "start": "v1.StartOptions",
    "stop": "v1.StopOptions",
    "unpause": "v1.UnpauseOptions",
}
_ANSWERS = {
    "filesystemlist": "v1.VirtualMachineInstanceFileSystemList",
    "guestosinfo": "v1.VirtualMachineInstanceGuestAgentInfo",
    "userlist": "v1.VirtualMachineInstanceGuestOSUserList",
}
_WEBSOCKETS = frozenset({"console", "portforward", "vnc"})
_ACCEPTED = frozenset({MIGRATE, "restart", "start", "stop"})  # the response is sent before the operation ends
_QUERIES = {"vnc": "preserveSession", SCREENSHOT: "moveCursor"}
_ITEMS = {
    "v1.VirtualMachineInstanceFileSystemList": "v1.VirtualMachineInstanceFileSystem",
    "v1.VirtualMachineInstanceGuestOSUserList": "v1.VirtualMachineInstanceGuestOSUser",
}
"""List types. They are not in the table of types, because they have Kubernetes' metadata."""

_SIZES = ("totalBytes", "usedBytes")
_JSON, _PNG = "application/json", "image/png"
_BINARY = {"type": "string", "format": "binary"}
_PARAMETER = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Operation:
    """A method of a path, independent of OpenAPI's version."""

    path: str
    method: str
    name: str
    description: str
    responses: Mapping[str, str]
    """Description by status code."""

    body: str = ""
    """The type of the body; "" for none."""

    answer: str = ""
    content: str = _JSON
    query: str = ""
    """A flag in the URL's query."""


def openapi_v2(release: str) -> Document:
    """Swagger 2.0 of all versions."""
    operations = [operation for version in VERSIONS for operation in _operations(version)]
    return {
        "swagger": "2.0",
        "info": {"title": _TITLE, "version": release},
        "paths": _by_path(operations, _v2),
        "definitions": _definitions(operations, "#/definitions/"),
    }


def openapi_v3(release: str, version: str) -> Document:
    """OpenAPI 3.0 of one version."""
    operations = list(_operations(version))
    return {
        "openapi": "3.0.0",
        "info": {"title": _TITLE, "version": release},
        "paths": _by_path(operations, _v3),
        "components": {"schemas": _definitions(operations, "#/components/schemas/")},
    }


def _operations(version: str) -> Iterator[Operation]:
    root = f"/apis/{GROUP}/{version}"
    ok = {"200": "OK"}
    yield Operation(f"{root}/{VERSION}", "get", f"{version}Version", "Version of the server.", ok)
    health = {**ok, "500": "Unhealthy"}
    yield Operation(f"{root}/{HEALTHZ}", "get", f"{version}CheckHealth", "Health of the server.", health)
    yield Operation(
        f"{root}/namespaces/{{namespace}}/{EXPAND_MANIFEST}",
        "put",
        f"{version}ExpandVmSpec",
        "The VirtualMachine in the body with its instance type and preference in the template.",
        {**ok, "400": "Bad Request", "401": "Unauthorized"},
    )
    for name, verb in SUPPORTED.items():
        resource, _, subresource = name.partition("/")
        yield from _of_subresource(version, resource, subresource, "put" if verb == "update" else "get")


def _of_subresource(version: str, resource: str, subresource: str, method: str) -> Iterator[Operation]:
    kind, short = _OBJECTS[resource]
    responses = {"200": "OK"}
    if subresource in _WEBSOCKETS:
        responses = {"101": "Switching Protocols: a websocket"}
    elif subresource in _ACCEPTED:
        responses = {"202": "Accepted"}
    path = f"/apis/{GROUP}/{version}/namespaces/{{namespace}}/{resource}/{{name}}/{subresource}"
    named = _NAMES.get(subresource) or "".join(word.capitalize() for word in re.split("[/-]", subresource))
    variants = {path: f"{version}{named}"}
    if subresource == EVACUATE_CANCEL:
        variants = {path: f"{version}{short}-evacuatecancel"}
    if subresource == "portforward":
        variants = {
            f"{path}/{{port}}": f"{version}{short}-PortForward",
            f"{path}/{{port}}/{{protocol}}": f"{version}{short}-PortForwardWithProtocol",
        }
    for variant, operation in variants.items():
        yield Operation(
            path=variant,
            method=method,
            name=operation,
            description=f"{subresource} of a {kind}.",
            responses={**responses, "401": "Unauthorized", "404": "Not Found"},
            body=_BODIES.get(subresource, ""),
            answer=_ANSWERS.get(subresource, ""),
            content=_PNG if subresource == SCREENSHOT else _JSON,
            query=_QUERIES.get(subresource, ""),
        )


def _definitions(operations: list[Operation], prefix: str) -> dict[str, Schema]:
    """The types that operations name, and the types of their fields."""
    named = {name for operation in operations for name in (operation.body, operation.answer) if name}
    types = type_definitions(sorted({_ITEMS.get(name, name) for name in named}), read_field_table(), prefix)
    for schema in types.values():
        for size in _SIZES:
            if size in schema.get("properties", {}):  # KubeVirt's int32 is too small for the size of a disk
                schema["properties"][size]["format"] = "int64"
    for name in named & set(_ITEMS):
        items = {"type": "array", "items": {"$ref": f"{prefix}{_ITEMS[name]}"}}
        text = {"type": "string"}
        properties = {"apiVersion": text, "kind": text, "metadata": {"type": "object"}, "items": items}
        types[name] = {"type": "object", "properties": properties, "required": ["items"]}
    return dict(sorted(types.items()))


def _by_path(operations: list[Operation], worded: Callable[[Operation], Document]) -> Document:
    paths: Document = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method] = {
            "operationId": operation.name,
            "description": operation.description,
            **worded(operation),
        }
    return paths


def _v2(operation: Operation) -> Document:
    parameters: list[Document] = [
        {"name": name, "in": "path", "required": True, "type": "string"} for name in _PARAMETER.findall(operation.path)
    ]
    if operation.query:
        parameters.append({"name": operation.query, "in": "query", "type": "boolean"})
    if operation.body:
        parameters.append({"name": "body", "in": "body", "schema": {"$ref": f"#/definitions/{operation.body}"}})
    worded: Document = {"parameters": parameters, "responses": {}, "produces": [operation.content]}
    if operation.body:
        worded["consumes"] = [_JSON]
    for code, description in operation.responses.items():
        response: Document = {"description": description}
        if code == "200" and operation.answer:
            response["schema"] = {"$ref": f"#/definitions/{operation.answer}"}
        elif code == "200" and operation.content == _PNG:
            response["schema"] = dict(_BINARY)
        worded["responses"][code] = response
    return worded


def _v3(operation: Operation) -> Document:
    parameters: list[Document] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _PARAMETER.findall(operation.path)
    ]
    if operation.query:
        parameters.append({"name": operation.query, "in": "query", "schema": {"type": "boolean"}})
    worded: Document = {"parameters": parameters, "responses": {}}
    if operation.body:
        reference = {"$ref": f"#/components/schemas/{operation.body}"}
        worded["requestBody"] = {"content": {_JSON: {"schema": reference}}}
    for code, description in operation.responses.items():
        response: Document = {"description": description}
        if code == "200" and operation.answer:
            reference = {"$ref": f"#/components/schemas/{operation.answer}"}
            response["content"] = {operation.content: {"schema": reference}}
        elif code == "200" and operation.content == _PNG:
            response["content"] = {_PNG: {"schema": dict(_BINARY)}}
        worded["responses"][code] = response
    return worded
