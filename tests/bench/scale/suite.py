"""Installs what virt-controller needs of the suite: its kinds, a KubeVirt object, and an admission policy that does for
new guests what virt-api's webhook does. Nothing else of it runs, so no webhook and no operator takes part."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

from virt_core.kube.client import KubeClient
from virt_core.kube.errors import KubeError
from virt_core.kube.resource import (
    CUSTOM_RESOURCE_DEFINITIONS,
    KUBEVIRTS,
    NAMESPACES,
    VIRTUAL_MACHINE_INSTANCES,
    Resource,
)
from virt_core.vmi.status import NOT_RUNNING_YET
from virt_operator.strategy.desired import desired_objects
from virt_operator.strategy.operator_objects import kubevirt_object, operator_objects
from virt_operator.strategy.settings import InstallSettings

from tests.bench.scale import controller, fleet
from tests.bench.scale.control_plane import POLICIES

SETTINGS = InstallSettings(controller.NAMESPACE, "registry.example", "bench")
_POLICIES = Resource(*POLICIES, "mutatingadmissionpolicies", "MutatingAdmissionPolicy", namespaced=False)
_BINDINGS = Resource(*POLICIES, "mutatingadmissionpolicybindings", "MutatingAdmissionPolicyBinding", namespaced=False)
_PENDING = "guests-are-pending"
_LONG_AGO = "2026-01-01T00:00:00Z"  # a policy knows no clock
_DEADLINE, _PAUSE = 60.0, 0.1


async def install(client: KubeClient) -> None:
    """Create namespaces, policy, definitions and the KubeVirt object."""
    for namespace in (controller.NAMESPACE, fleet.NAMESPACE):
        await client.create(NAMESPACES, None, {"metadata": {"name": namespace}})
    for body in _definitions():
        await client.create(CUSTOM_RESOURCE_DEFINITIONS, None, body)
    await client.create(_POLICIES, None, pending_guests())
    binding = {"metadata": {"name": _PENDING}, "spec": {"policyName": _PENDING}}
    await client.create(_BINDINGS, None, binding)
    body = kubevirt_object(SETTINGS, use_emulation=True)
    async with asyncio.timeout(_DEADLINE):
        while True:  # until the API server serves the kinds
            try:
                await client.create(KUBEVIRTS, controller.NAMESPACE, body)
                break
            except KubeError:
                await asyncio.sleep(_PAUSE)


def _definitions() -> Iterator[dict[str, Any]]:
    for body in (*operator_objects(SETTINGS), *desired_objects(SETTINGS)):
        if body["kind"] == CUSTOM_RESOURCE_DEFINITIONS.kind:
            yield body


def pending_guests() -> dict[str, Any]:
    """The policy that gives a new VirtualMachineInstance of a VirtualMachine the phase Pending and the condition Ready,
    as virt-api's webhook does. Only virt-controller's have a status."""
    condition = {
        "type": NOT_RUNNING_YET.type,
        "status": NOT_RUNNING_YET.status,
        "reason": NOT_RUNNING_YET.reason,
        "message": NOT_RUNNING_YET.message,
        "lastTransitionTime": _LONG_AGO,
    }
    added = {"phase": "Pending", "conditions": [condition]}
    patches = ", ".join(
        f'JSONPatch{{op: "add", path: "/status/{key}", value: {json.dumps(value)}}}' for key, value in added.items()
    )
    guests = VIRTUAL_MACHINE_INSTANCES
    rule = {
        "apiGroups": [guests.group],
        "apiVersions": ["*"],
        "operations": ["CREATE"],
        "resources": [guests.plural],
    }
    return {
        "metadata": {"name": _PENDING},
        "spec": {
            "matchConstraints": {"resourceRules": [rule]},
            "matchConditions": [{"name": "of-a-virtual-machine", "expression": "has(object.status)"}],
            "failurePolicy": "Fail",
            "reinvocationPolicy": "Never",
            "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": f"[{patches}]"}}],
        },
    }
