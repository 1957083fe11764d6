"""Why a guest does not end, or how it ended. Pure; called by machine.py."""

from __future__ import annotations

from collections.abc import Iterator

from virt_core.conventions.conditions import READY
from virt_core.conventions.labels import VM_FINALIZER, VMI_FINALIZER
from virt_core.objects.meta import seconds_since
from virt_core.vm.virtual_machine import VirtualMachine
from virt_core.vmi.instance import VirtualMachineInstance, VmiPhase

from virt_admin.doctor.case import Case
from virt_admin.doctor.finding import NOTE, PROBLEM, WAIT, Finding
from virt_admin.doctor.node import node_findings
from virt_admin.screen.text import listed
from virt_admin.suite.objects import Pod

_OURS = (VMI_FINALIZER, VM_FINALIZER)
_OVERDUE = 30.0  # seconds after the end of its grace period


def instance_stopping(case: Case, vmi: VirtualMachineInstance) -> Iterator[Finding]:
    """Of a VirtualMachineInstance that is deleted and still there."""
    since = vmi.metadata.deletion_timestamp or ""
    for pod in case.pods:
        if not pod.ended:
            yield from _pod(case, pod)
    if any(not pod.ended for pod in case.pods):
        return
    yield from _finalizers(case.vmi_object, vmi.metadata.finalizers, since)


def machine_stopping(case: Case, vm: VirtualMachine) -> Iterator[Finding]:
    """Of a VirtualMachine that is deleted and still there."""
    since = vm.metadata.deletion_timestamp or ""
    if case.vmi is None:
        yield from _finalizers(case.vm_object, vm.metadata.finalizers, since)
    else:
        yield Finding(WAIT, "it is deleted, and goes when its VirtualMachineInstance has gone", case.vm_object, since)


def ended(case: Case, vmi: VirtualMachineInstance) -> Iterator[Finding]:
    """Of a guest that has ended."""
    ready = case.condition(READY)
    why = f": {ready.reason}: {ready.message}" if ready is not None and ready.reason else ""
    failed = vmi.status.phase is VmiPhase.FAILED
    since = (ready.last_transition_time if ready is not None else "") or ""
    what = f"its guest {'failed' if failed else 'has ended by itself'}{why}"
    yield Finding(
        PROBLEM if failed else NOTE, what, case.vmi_object, since, "its events and the log of its pod say more"
    )


def _pod(case: Case, pod: Pod) -> Iterator[Finding]:
    until = pod.metadata.deletion_timestamp
    where = f"Pod {pod.name}"
    if until is None:
        yield Finding(WAIT, "virt-controller has not deleted the launcher pod yet", where)
        return
    troubled = list(node_findings(case.suite, pod.spec.node_name)) if pod.spec.node_name else []
    yield from troubled
    if seconds_since(until, case.suite.now) > _OVERDUE:
        what = "the kubelet has not ended the launcher pod although its grace period is over"
        yield Finding(PROBLEM, what, where, until, f"look at the kubelet of node {pod.spec.node_name}")
    else:
        what = f"the guest shuts down, its pod is killed at {until}"
        advice = f"virtctl stop --force --grace-period 0 -n {case.namespace} {case.name} ends it at once"
        yield Finding(WAIT, what, where, advice=advice)


def _finalizers(where: str, finalizers: list[str], since: str) -> Iterator[Finding]:
    others = [name for name in finalizers if name not in _OURS]
    if others:
        what = f"it is deleted and kept by finalizers of others: {listed(others)}"
        yield Finding(PROBLEM, what, where, since, "whoever set the finalizer has to remove it")
    elif finalizers:
        yield Finding(WAIT, "virt-controller has to remove its finalizer", where, since)
