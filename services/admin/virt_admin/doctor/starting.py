"""Why a guest does not run yet. Pure; called by machine.py."""

from __future__ import annotations

from collections.abc import Iterator

from virt_core.conventions import components
from virt_core.conventions.conditions import SYNCHRONIZED, UNSUPPORTED_SPEC
from virt_core.conventions.devices import KVM
from virt_core.objects.meta import condition_of, seconds_until
from virt_core.objects.quantity import parse_quantity
from virt_core.vm.virtual_machine import RunStrategy, VirtualMachine
from virt_core.vmi.instance import VirtualMachineInstance, VmiPhase

from virt_admin.doctor.case import Case
from virt_admin.doctor.finding import NOTE, PROBLEM, WAIT, Finding
from virt_admin.doctor.node import node_findings, refusals, wants
from virt_admin.screen.text import listed
from virt_admin.suite.objects import Pod
from virt_admin.suite.trouble import pod_trouble

_ADVICE = {
    "FailedCreate": "the API server refused the launcher pod: look at the namespace's quotas, PodSecurity and webhooks",
    "FailedPvcNotFound": "create the claim",
    "NotConfigured": "virt-controller cannot read the KubeVirt object: run virtadm doctor",
    UNSUPPORTED_SPEC: "change the field that the message names, and restart the VM",
    "ErrImagePull": "check the image's name, the registry, and imagePullSecrets",
    "ImagePullBackOff": "check the image's name, the registry, and imagePullSecrets",
    "FailedMount": "create what is missing, or look at the storage driver of the volume",
    "FailedAttachVolume": "look at the storage driver, and at whether another node has the volume",
}


def controller(case: Case) -> Iterator[Finding]:
    """Whether virt-controller acts at all."""
    if (silence := case.suite.silence(components.CONTROLLER)) is not None:
        where = f"Deployment {case.suite.namespace}/{components.CONTROLLER}"
        since = case.suite.renewed(components.CONTROLLER)
        yield Finding(PROBLEM, f"{silence}: nothing is started, moved or stopped", where, since, "run virtadm doctor")


def without_instance(case: Case, vm: VirtualMachine) -> Iterator[Finding]:
    """Of a VirtualMachine without a VirtualMachineInstance."""
    status, where, strategy = vm.status, case.vm_object, vm.spec.strategy
    failure = condition_of(status.conditions, "Failure")
    start = f"virtctl start -n {case.namespace} {case.name}"
    if failure is not None and failure.status == "True":
        what = f"virt-controller cannot start it: {failure.reason}: {failure.message}"
        yield Finding(PROBLEM, what, where, failure.last_transition_time or "", "mend what the message names")
    elif strategy is RunStrategy.HALTED:
        yield Finding(NOTE, "it is not supposed to run: its run strategy is Halted", where, advice=start)
    elif strategy is RunStrategy.UNKNOWN:
        what = f"its run strategy {vm.spec.strategy_name} is not known to this release, and nothing is done about it"
        yield Finding(PROBLEM, what, where, advice="use a run strategy of this release")
    elif (crash := status.start_failure) is not None:
        count, at = crash.consecutive_fail_count, crash.retry_after_timestamp
        what = f"its guest ended {count} times before it ever ran"
        if seconds_until(at, case.suite.now):
            what += f", the next start is at {at}"
        ready = condition_of(status.conditions, "Ready")
        if ready is not None and ready.message:
            what += f": {ready.message}"
        yield Finding(PROBLEM, what, where, advice="mend that, then virtctl stop and start: that ends the wait")
    elif strategy is RunStrategy.ALWAYS or any(request.is_start for request in status.state_change_requests):
        what = "virt-controller has not created its VirtualMachineInstance yet"
        yield Finding(WAIT, what, where, vm.metadata.creation_timestamp, "look at the events of the VirtualMachine")
    else:
        what = f"it is stopped, and its run strategy {vm.spec.strategy_name} does not start it by itself"
        yield Finding(NOTE, what, where, advice=start)


def before_running(case: Case, vmi: VirtualMachineInstance) -> Iterator[Finding]:
    """Of a VirtualMachineInstance that has not run yet."""
    stated = case.condition(SYNCHRONIZED)
    explained = stated is not None and stated.status == "False"
    if stated is not None and explained:
        what = f"it does not start: {stated.reason}: {stated.message}"
        advice = _ADVICE.get(stated.reason, "mend what the message names")
        yield Finding(PROBLEM, what, case.vmi_object, stated.last_transition_time or "", advice)
        if stated.reason == "FailedCreate":
            yield from _quotas(case)
    yield from _claims(case)
    pod = case.pod
    if pod is not None:
        yield from _pod(case, vmi, pod, explained=explained)
    elif not explained:
        what = "virt-controller has not created its launcher pod yet"
        yield Finding(WAIT, what, case.vmi_object, _since(vmi), "look at the events of the VirtualMachineInstance")


def _pod(case: Case, vmi: VirtualMachineInstance, pod: Pod, *, explained: bool) -> Iterator[Finding]:
    scheduled = condition_of(pod.status.conditions, "PodScheduled")
    where = f"Pod {pod.name}"
    if not pod.spec.node_name:
        since = (scheduled.last_transition_time if scheduled is not None else "") or pod.metadata.creation_timestamp
        why = scheduled.message if scheduled is not None and scheduled.status == "False" else ""
        if not why:
            scheduler = "the scheduler has not chosen a node for the launcher pod yet"
            yield Finding(WAIT, scheduler, where, since, "if this lasts, look at spec.schedulerName and kube-scheduler")
            yield from _placement(case, pod)
            return
        yield Finding(PROBLEM, f"no node takes the launcher pod: {why}", where, since, _placement_advice(case, pod))
        yield from _placement(case, pod)
        return
    troubled = list(node_findings(case.suite, pod.spec.node_name))
    yield from troubled
    if (why := pod_trouble(pod)) and not explained:
        reason = next((reason for reason in _ADVICE if reason in why), "")
        advice = _ADVICE.get(reason, f"kubectl -n {case.namespace} describe pod {pod.metadata.name}")
        yield Finding(
            PROBLEM, f"the launcher pod does not start: {why}", where, pod.metadata.creation_timestamp, advice
        )
    elif not troubled and not explained:
        node = pod.spec.node_name
        if vmi.status.phase is VmiPhase.SCHEDULED or pod.ready:
            what = f"virt-handler on node {node} starts the guest"
        else:
            what = f"the kubelet of node {node} starts the launcher pod: images, volumes, network"
        yield Finding(WAIT, what, where, _since(vmi), f"kubectl -n {case.namespace} describe pod {pod.metadata.name}")


def _placement(case: Case, pod: Pod) -> Iterator[Finding]:
    nodes = sorted(case.suite.nodes, key=lambda node: node.metadata.name)
    found = [
        f"node {node.metadata.name}: {', '.join(why)}" for node in nodes if (why := refusals(case.suite, node, pod))
    ]
    if found:
        yield Finding(NOTE, listed(found, 10), f"Pod {pod.name}")


def _placement_advice(case: Case, pod: Pod) -> str:
    if wants(pod, KVM) and not any(node.devices(KVM) for node in case.suite.nodes):
        return (
            "no node offers KVM: enable virtualization on the nodes, or set "
            "spec.configuration.developerConfiguration.useEmulation of the KubeVirt object"
        )
    return "free memory, CPU or devices, or change the VM's node selector, affinity or tolerations"


def _claims(case: Case) -> Iterator[Finding]:
    phases = {claim.metadata.name: claim.status.phase for claim in case.claims}
    for name in case.claim_names:
        where = f"PersistentVolumeClaim {case.namespace}/{name}"
        if name not in phases:
            yield Finding(PROBLEM, f"claim {name} does not exist", where, advice="create it")
        elif phases[name] != "Bound":
            what = f"claim {name} has no volume yet: {phases[name] or 'no phase'}"
            yield Finding(WAIT, what, where, advice=f"kubectl -n {case.namespace} describe pvc {name}")


def _quotas(case: Case) -> Iterator[Finding]:
    for quota in case.quotas:
        status = quota.status
        full = [
            f"{key} {status.used.get(key, '0')} of {hard}"
            for key, hard in status.hard.items()
            if _is_full(status.used.get(key, "0"), hard)
        ]
        if full:
            name = quota.metadata.name
            yield Finding(NOTE, f"quota {name} is used up: {listed(full)}", f"ResourceQuota {case.namespace}/{name}")


def _is_full(used: str, hard: str) -> bool:
    try:
        return parse_quantity(used) >= parse_quantity(hard)
    except ValueError:
        return False


def _since(vmi: VirtualMachineInstance) -> str:
    """When it entered its phase."""
    moments = vmi.status.phase_transition_timestamps
    found = (moment.get("phaseTransitionTimestamp") for moment in moments if moment.get("phase") == vmi.status.phase)
    return next(found, None) or vmi.metadata.creation_timestamp
