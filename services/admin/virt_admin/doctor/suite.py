"""Why the suite is not Available, or does not go on. Pure; called by examine.py."""

from __future__ import annotations

from collections.abc import Iterator

from virt_core.conventions import components, suite_status
from virt_core.conventions.devices import KVM
from virt_core.conventions.labels import SCHEDULABLE
from virt_core.objects.meta import condition_of

from virt_admin.doctor.finding import NOTE, PROBLEM, WAIT, Finding
from virt_admin.doctor.node import node_findings
from virt_admin.suite.change import is_going_on, sentence
from virt_admin.suite.observed import Observed
from virt_admin.suite.trouble import pod_trouble

_ADVICE = {
    suite_status.MISSING_PERMISSIONS: "apply kubevirt-operator.yaml of the requested release",
    suite_status.EXISTING_DEPLOYMENT: "delete one of the two KubeVirt objects",
    suite_status.WRONG_NAMESPACE: "create the KubeVirt object in the namespace of virt-operator",
}


def diagnose_suite(suite: Observed) -> tuple[Finding, ...]:
    """What is found; empty if all is as it should be."""
    found = (*_operator(suite), *_conditions(suite), *_change(suite), *_components(suite), *_nodes(suite))
    return tuple(sorted(dict.fromkeys(found), key=lambda finding: finding.kind != PROBLEM))


def _where(suite: Observed) -> str:
    return f"KubeVirt {suite.namespace}/{suite.kubevirt.metadata.name}"


def _operator(suite: Observed) -> Iterator[Finding]:
    if (silence := suite.silence(components.OPERATOR)) is None:
        return
    where = f"Deployment {suite.namespace}/{components.OPERATOR}"
    what = f"{silence}: nothing of the suite is repaired or changed, and the KubeVirt object's status may be old"
    log = f"kubectl -n {suite.namespace} logs deploy/{components.OPERATOR}"
    yield Finding(PROBLEM, what, where, suite.renewed(components.OPERATOR), log)


def _conditions(suite: Observed) -> Iterator[Finding]:
    status, meta = suite.kubevirt.status, suite.kubevirt.metadata
    if meta.deletion_timestamp is not None:
        what = "the KubeVirt object is deleted, and the suite is being removed"
        yield Finding(WAIT, what, _where(suite), meta.deletion_timestamp)
    synchronized, available = (condition_of(status.conditions, kind) for kind in ("Synchronized", "Available"))
    if synchronized is not None and synchronized.status == "False":
        what = f"virt-operator cannot do what the KubeVirt object asks: {synchronized.reason}: {synchronized.message}"
        advice = _ADVICE.get(synchronized.reason, "change the field or mend the object that the message names")
        yield Finding(PROBLEM, what, _where(suite), synchronized.last_transition_time or "", advice)
    if available is None:
        yield Finding(PROBLEM, "virt-operator has not reported yet whether the suite is available", _where(suite))
    elif available.status != "True":
        what = f"the suite is not available: {available.reason}: {available.message}"
        advice = (
            "the other findings name the parts; if there are none, look at the network between control plane and pods"
        )
        yield Finding(PROBLEM, what, _where(suite), available.last_transition_time or "", advice)


def _change(suite: Observed) -> Iterator[Finding]:
    change = suite.kubevirt.status.upgrade
    if change is None or not is_going_on(change):
        return
    if (stopped := change.stopped) is not None:
        advice = f"mend what the message names, then virtadm upgrade --to {stopped.version}; or virtadm rollback"
        yield Finding(PROBLEM, sentence(stopped), _where(suite), stopped.at, advice)
        return
    head = f"{change.operation} to {change.to_version}, step {change.step or 'none yet'}"
    if not change.waiting_for:
        yield Finding(WAIT, f"{head} is in progress", _where(suite), change.since)
    for wait in change.waiting_for:
        yield Finding(WAIT, f"{head}: {wait.reason}", wait.object, wait.since)


def _components(suite: Observed) -> Iterator[Finding]:
    installed = bool(suite.kubevirt.status.observed_kube_virt_version)
    for name in (components.OPERATOR, *components.INSTALLED):
        if suite.workload(name) is None and installed:
            yield Finding(PROBLEM, f"{name} does not exist", f"{name} in namespace {suite.namespace}")
        if name == components.HANDLER:
            continue  # by node
        for pod in suite.pods_of(name):
            if pod.ready or pod.metadata.deletion_timestamp is not None:
                continue
            why = pod_trouble(pod) or "it does not answer its probe"
            advice = f"kubectl -n {suite.namespace} logs {pod.metadata.name}"
            since = pod.metadata.creation_timestamp
            yield Finding(PROBLEM, f"a pod of {name} is not ready: {why}", f"Pod {pod.name}", since, advice)


def _nodes(suite: Observed) -> Iterator[Finding]:
    if suite.workload(components.HANDLER) is None:
        return
    placed = {pod.spec.node_name for pod in suite.pods_of(components.HANDLER)}
    for node in sorted(suite.nodes, key=lambda node: node.metadata.name):
        if node.metadata.name in placed or SCHEDULABLE in node.metadata.labels:
            yield from node_findings(suite, node.metadata.name)
    offered = [node for node in suite.nodes if node.metadata.labels.get(SCHEDULABLE) == "true"]
    where = f"DaemonSet {suite.namespace}/{components.HANDLER}"
    if not offered:
        what = f"no node takes guests: none has the label {SCHEDULABLE}=true"
        yield Finding(PROBLEM, what, where, advice="look at the virt-handler of each node")
    elif not any(node.devices(KVM) for node in offered):
        if suite.kubevirt.spec.configuration.developer_configuration.use_emulation:
            yield Finding(NOTE, "no node offers KVM: guests are emulated, because useEmulation is set", where)
        else:
            advice = "enable virtualization on the nodes, or set developerConfiguration.useEmulation"
            yield Finding(PROBLEM, "no node offers KVM, so no guest starts", where, advice=advice)
