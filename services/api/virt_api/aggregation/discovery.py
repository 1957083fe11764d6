"""What the group says about itself: discovery, OpenAPI and version. Pure; routes.py serves it to everyone.

kube-apiserver's aggregator reads these, merges them into its own and answers kubectl from there. The OpenAPI documents
are as small as the aggregator accepts: subresources here carry bytes, not objects with a schema.
"""

from __future__ import annotations

import hashlib
import os
import platform
from typing import Any

import msgspec
from virt_core.conventions.subresources import GROUP, SUPPORTED, VERSIONS

_TITLE = "KubeVirt subresources"


def root_paths() -> dict[str, Any]:
    """Document of "/"."""
    group = f"/apis/{GROUP}"
    versions = [f"{group}/{version}" for version in VERSIONS]
    return {"paths": ["/apis", group, *versions, "/healthz", "/openapi/v2", "/openapi/v3"]}


def api_group() -> dict[str, Any]:
    """Document of the group."""
    versions = [{"groupVersion": f"{GROUP}/{version}", "version": version} for version in VERSIONS]
    return {
        "kind": "APIGroup",
        "apiVersion": "v1",
        "name": GROUP,
        "versions": versions,
        "preferredVersion": versions[0],
    }


def api_group_list() -> dict[str, Any]:
    """Document of "/apis"."""
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [api_group()]}


def api_resource_list(version: str) -> dict[str, Any]:
    """Document of one version: what this release serves, not what KubeVirt has."""
    resources = [
        {"name": name, "singularName": "", "namespaced": True, "kind": "VirtualMachineInstance", "verbs": [verb]}
        for name, verb in SUPPORTED.items()
    ]
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": f"{GROUP}/{version}",
        "resources": resources,
    }


def openapi_v2(release: str) -> dict[str, Any]:
    """Swagger 2.0 without paths."""
    return {"swagger": "2.0", "info": {"title": _TITLE, "version": release}, "paths": {}}


def openapi_v3(release: str, version: str) -> dict[str, Any]:
    """OpenAPI 3.0 of one version, without paths."""
    return {"openapi": "3.0.0", "info": {"title": f"{_TITLE} {version}", "version": release}, "paths": {}}


def openapi_v3_index(release: str) -> dict[str, Any]:
    """Where the versions' documents are; the hash lets clients keep them."""
    paths = {}
    for version in VERSIONS:
        digest = hashlib.sha256(msgspec.json.encode(openapi_v3(release, version))).hexdigest()[:32].upper()
        path = f"apis/{GROUP}/{version}"
        paths[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={digest}"}
    return {"paths": paths}


def version_info(release: str) -> dict[str, str]:
    """What ``virtctl version`` prints as the server's; its fields are those of a Go program."""
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    return {
        "gitVersion": f"v{release}",
        "gitCommit": os.environ.get("KUBEVIRT_COMMIT", ""),
        "gitTreeState": "",
        "buildDate": os.environ.get("KUBEVIRT_BUILD_DATE", ""),
        "goVersion": f"python{platform.python_version()}",
        # Clients compare compiler and platform with their own, so these are Go's words.
        "compiler": "gc",
        "platform": f"linux/{machine}",
    }
