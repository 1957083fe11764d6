"""One VirtualMachineInstance, its pod and what the controller plans for them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
from virt_controller.actions import LookAgain
from virt_controller.node.health import Trouble
from virt_controller.pod.containers import LauncherSettings
from virt_controller.pod.observed import Claim, LauncherPod
from virt_controller.pod.template import pod_name
from virt_controller.vmi.actions import Action, PatchVmi
from virt_controller.vmi.observe import Observed
from virt_controller.vmi.plan import Planner
from virt_core.objects.kubevirt import Configuration, DeveloperConfiguration
from virt_core.vmi.accepted import AcceptedSpecs
from virt_core.vmi.instance import VirtualMachineInstance

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SPEC: dict[str, Any] = {"domain": {"devices": {}, "memory": {"guest": "64Mi"}}}
PLANNER = Planner(LauncherSettings("registry.test/virt-launcher:1", "IfNotPresent"))
EMULATION = Configuration(DeveloperConfiguration(use_emulation=True))
COMPUTE: dict[str, Any] = {"name": "compute", "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}


def vmi(status: dict[str, Any] | None = None, spec: Any = SPEC, **meta: Any) -> VirtualMachineInstance:
    body = {"metadata": {"name": "guest", "namespace": "ns", "uid": "vmi-uid", **meta}, "spec": spec}
    if status is not None:
        body["status"] = status
    return msgspec.json.decode(json.dumps(body), type=VirtualMachineInstance)


def pod(node: str = "", status: dict[str, Any] | None = None, **meta: Any) -> LauncherPod:
    created = {"creationTimestamp": "2026-01-01T00:00:00Z"}
    name = {"name": pod_name(vmi()), "namespace": "ns", "uid": "pod-uid"}
    body: dict[str, Any] = {"metadata": {**name, **created, **meta}, "status": status or {}}
    body["spec"] = {"nodeName": node}
    return msgspec.json.decode(json.dumps(body), type=LauncherPod)


def at_node1(trouble: Trouble | None) -> dict[str, Trouble]:
    """What is wrong with the node of the pod."""
    return {} if trouble is None else {"node1": trouble}


def observed(
    subject: VirtualMachineInstance,
    pods: tuple[LauncherPod, ...],
    configuration: Configuration | None,
    now: datetime,
    claims: Mapping[str, Claim | None] | None = None,
    **more: Any,
) -> Observed:
    """As the reconciler observes it."""
    spec = AcceptedSpecs().of(subject, configuration) if configuration is not None else None
    return Observed(subject, pods, configuration, now, claims or {}, spec=spec, **more)


def plan(subject: VirtualMachineInstance, launcher: LauncherPod | None = None) -> tuple[Action, ...]:
    return PLANNER.plan(observed(subject, (launcher,) if launcher is not None else (), EMULATION, NOW))


def changes(subject: VirtualMachineInstance, launcher: LauncherPod | None = None) -> tuple[Action, ...]:
    """The plan without its looking again."""
    return tuple(action for action in plan(subject, launcher) if not isinstance(action, LookAgain))


def apply(subject: VirtualMachineInstance, action: Action) -> dict[str, Any]:
    """The object after the plan's patch, by the rules of RFC 6902 as far as plans use them."""
    assert isinstance(action, PatchVmi)
    body: dict[str, Any] = {"metadata": msgspec.to_builtins(subject.metadata)}
    if subject.raw_status:
        body["status"] = json.loads(json.dumps(subject.raw_status))
    for operation in action.operations:
        *parents, last = [part.replace("~1", "/") for part in operation["path"].split("/")[1:]]
        target = body
        for part in parents:
            target = target[part]
        if operation["op"] == "test":
            assert target[last] == operation["value"], operation
        elif operation["op"] == "remove":
            del target[last]
        else:
            target[last] = operation["value"]
    return body


def scheduled(phase: str = "Scheduling") -> dict[str, Any]:
    return {"phase": phase, "activePods": {"pod-uid": "node1"}, "nodeName": "node1"}


CLAIMED = {**SPEC, "volumes": [{"name": "root", "persistentVolumeClaim": {"claimName": "data"}}]}
