"""VMs in seeded states, for doctor."""

from __future__ import annotations

from typing import Any

from virt_admin.doctor.case import Case, Claim, Quota, Warned
from virt_admin.suite.objects import Pod
from virt_core.migration.migration import VirtualMachineInstanceMigration
from virt_core.vm.virtual_machine import VirtualMachine
from virt_core.vmi.instance import VirtualMachineInstance

from .bodies import Body, ago, condition, decoded, guest, observed

KVM = "devices.kubevirt.io/kvm"


def vm(strategy: str = "Always", *conditions: Body, deleted: bool = False, **status: Any) -> Body:
    meta: Body = {"name": "a", "namespace": "default", "uid": "uid-vm", "creationTimestamp": ago(minutes=9)}
    if deleted:
        meta |= {"deletionTimestamp": ago(minutes=1), "finalizers": ["kubevirt.io/virtualMachineControllerFinalize"]}
    return {"metadata": meta, "spec": {"runStrategy": strategy}, "status": {"conditions": list(conditions), **status}}


def vmi(phase: str, *conditions: Body, deleted: bool = False, finalizers: tuple[str, ...] = (), **more: Any) -> Body:
    body = guest("a", phase, more.pop("node", ""), *conditions, **more)
    if deleted:
        body["metadata"] |= {"deletionTimestamp": ago(minutes=1), "finalizers": list(finalizers)}
    return body


def launcher(node: str = "", *conditions: Body, deleted: str = "", labels: Body | None = None, **status: Any) -> Body:
    meta: Body = {"name": "virt-launcher-a", "namespace": "default", "uid": "uid-pod", "labels": labels or {}}
    meta["creationTimestamp"] = ago(minutes=4)
    if deleted:
        meta["deletionTimestamp"] = deleted
    container = {"name": "compute", "image": "r/virt-launcher:v1", "resources": {"limits": {KVM: "1"}}}
    spec = {"nodeName": node, "containers": [container], "nodeSelector": {"kubevirt.io/schedulable": "true"}}
    return {"metadata": meta, "spec": spec, "status": {"conditions": list(conditions), **status}}


def migration(phase: str, *conditions: Body, **state: Any) -> Body:
    meta = {"name": "m", "namespace": "default", "uid": "uid-m", "creationTimestamp": ago(minutes=2)}
    status = {"phase": phase, "conditions": list(conditions), "migrationState": state}
    return {"metadata": meta, "spec": {"vmiName": "a"}, "status": status}


def waiting(reason: str, message: str = "") -> Body:
    """Container statuses of a pod whose container waits."""
    state = {"waiting": {"reason": reason, "message": message}}
    return {"containerStatuses": [{"name": "compute", "image": "r/virt-launcher:v1", "state": state}]}


def unscheduled(message: str = "0/2 nodes are available") -> Body:
    return condition("PodScheduled", "False", "Unschedulable", message, minutes=3)


def case(
    machine: Body | None = None,
    instance: Body | None = None,
    *,
    pods: tuple[Body, ...] = (),
    events: tuple[Body, ...] = (),
    claims: tuple[Body, ...] = (),
    claim_names: tuple[str, ...] = (),
    migrations: tuple[Body, ...] = (),
    quotas: tuple[Body, ...] = (),
    **suite: Any,
) -> Case:
    return Case(
        suite=observed(**suite),
        namespace="default",
        name="a",
        vm=decoded(machine, VirtualMachine) if machine is not None else None,
        vmi=decoded(instance, VirtualMachineInstance) if instance is not None else None,
        pods=tuple(decoded(pod, Pod) for pod in pods),
        events=tuple(decoded(event, Warned) for event in events),
        claims=tuple(decoded(claim, Claim) for claim in claims),
        claim_names=claim_names,
        migrations=tuple(decoded(found, VirtualMachineInstanceMigration) for found in migrations),
        quotas=tuple(decoded(quota, Quota) for quota in quotas),
    )
