"""Discovery documents of the group: versions, resources and release. Pure; called by documents.py.

kube-apiserver's aggregator reads them and merges them into its own documents, which it serves to kubectl.
"""

from __future__ import annotations

import os
import platform
from typing import Any

from virt_core.conventions.component_pod import HEALTH_PATH
from virt_core.conventions.subresources import EXPAND_MANIFEST, GROUP, SUPPORTED, VERSIONS


def root_paths() -> dict[str, Any]:
    """Document of "/"."""
    group = f"/apis/{GROUP}"
    versions = [f"{group}/{version}" for version in VERSIONS]
    return {"paths": ["/apis", group, *versions, HEALTH_PATH, "/openapi/v2", "/openapi/v3"]}


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
    """Document of a version. It lists the subresources that this release serves, not all of KubeVirt's."""
    resources = [
        {"name": name, "singularName": "", "namespaced": True, "kind": _kind(name), "verbs": [verb]}
        for name, verb in {EXPAND_MANIFEST: "update", **SUPPORTED}.items()
    ]
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": f"{GROUP}/{version}",
        "resources": resources,
    }


def _kind(name: str) -> str:
    if name == EXPAND_MANIFEST:
        return "ExpandVmSpec"  # of no kind: kubectl would take this group for the one that VirtualMachines are in
    return "VirtualMachine" if name.startswith("virtualmachines/") else "VirtualMachineInstance"


def version_info(release: str) -> dict[str, str]:
    """The server version for ``virtctl version``, with the fields of a Go program."""
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    return {
        "gitVersion": f"v{release}",
        "gitCommit": os.environ.get("KUBEVIRT_COMMIT", ""),
        "gitTreeState": "",
        "buildDate": os.environ.get("KUBEVIRT_BUILD_DATE", ""),
        "goVersion": f"python{platform.python_version()}",
        # Clients compare compiler and platform with their own, so Go's values are required.
        "compiler": "gc",
        "platform": f"linux/{machine}",
    }
