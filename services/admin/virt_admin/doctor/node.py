"""What a node and its virt-handler lack. Pure; called by the other rules."""

from __future__ import annotations

from collections.abc import Iterator

from virt_core.conventions import components
from virt_core.conventions.devices import KVM
from virt_core.conventions.labels import HEARTBEAT, HEARTBEAT_SECONDS, SCHEDULABLE
from virt_core.objects.meta import seconds_since

from virt_admin.doctor import fit
from virt_admin.doctor.finding import PROBLEM, Finding
from virt_admin.suite.objects import Node, Pod
from virt_admin.suite.observed import Observed
from virt_admin.suite.summary import handler_of
from virt_admin.suite.trouble import pod_trouble

_OFF = (
    "look at the kubelet of the node; if the machine is certainly off, taint it "
    "node.kubernetes.io/out-of-service=:NoExecute, and its guests are given up"
)


def node_findings(suite: Observed, name: str) -> Iterator[Finding]:
    """Why nothing happens to guests of the node."""
    node = next((node for node in suite.nodes if node.metadata.name == name), None)
    if node is None:
        yield Finding(PROBLEM, f"node {name} does not exist any more", f"Node {name}")
        return
    if not node.is_ready:
        ready = node.ready
        why = f": {ready.message}" if ready is not None and ready.message else ""
        since = (ready.last_transition_time if ready is not None else "") or ""
        yield Finding(PROBLEM, f"node {name} is not ready{why}", f"Node {name}", since, _OFF)
        return
    yield from _handler(suite, node)


def _handler(suite: Observed, node: Node) -> Iterator[Finding]:
    name, daemon = node.metadata.name, f"DaemonSet {suite.namespace}/{components.HANDLER}"
    handler = handler_of(suite, name)
    if handler is None:
        advice = "look at the DaemonSet's events, and at taints and labels of the node (spec.workloads.nodePlacement)"
        yield Finding(PROBLEM, f"node {name} has no virt-handler", daemon, advice=advice)
        return
    log = f"kubectl -n {handler.metadata.namespace} logs {handler.metadata.name}"
    if not handler.ready:
        why = pod_trouble(handler) or "it does not answer its probe"
        yield Finding(PROBLEM, f"virt-handler on node {name} is not ready: {why}", f"Pod {handler.name}", advice=log)
        return
    beat = node.metadata.annotations.get(HEARTBEAT, "")
    if seconds_since(beat, suite.now) > HEARTBEAT_SECONDS:
        what = f"virt-handler on node {name} has sent no heartbeat for five minutes, by this machine's clock"
        yield Finding(PROBLEM, what, f"Pod {handler.name}", beat, log)


def refusals(suite: Observed, node: Node, pod: Pod) -> list[str]:
    """Why the node does not take the launcher pod, as far as the node's object says."""
    found = []
    if not node.is_ready:
        found.append("it is not ready")
    if node.spec.unschedulable:
        found.append("it is cordoned")
    mark = node.metadata.labels.get(SCHEDULABLE)
    if handler_of(suite, node.metadata.name) is None:
        found.append("it has no virt-handler")
    elif mark != "true":
        found.append(f"its virt-handler does not offer it (label {SCHEDULABLE} is {mark or 'missing'})")
    wanted = ((key, value) for key, value in pod.spec.node_selector.items() if key != SCHEDULABLE)
    found += [f"it has no label {key}={value}" for key, value in wanted if node.metadata.labels.get(key) != value]
    if wants(pod, KVM) and not node.devices(KVM):
        found.append(f"it offers no {KVM}")
    return [*found, *fit.taints(node, pod), *fit.lacking(node, pod)]


def wants(pod: Pod, device: str) -> bool:
    """Whether a container of the pod requests the device."""
    return any(device in (container.resources.get("limits") or {}) for container in pod.spec.containers)
