"""What `status` and `watch` show, computed from one observation. Pure; called by show.py and follow.py.

The structures are the JSON of `-o json`: their names only grow.
"""

from __future__ import annotations

from collections import Counter

import msgspec
from virt_core.conventions import components
from virt_core.conventions.conditions import WORKLOAD_UPDATE_BLOCKED
from virt_core.conventions.devices import KVM
from virt_core.conventions.labels import SCHEDULABLE
from virt_core.conventions.migration import OUTDATED_LAUNCHER
from virt_core.objects.kubevirt import KubeVirt
from virt_core.objects.meta import Condition, condition_of, rfc3339
from virt_core.objects.upgrade_status import Upgrade
from virt_core.vmi.instance import VmiPhase

from virt_admin.outcome import ATTENTION, BROKEN, CLEAN
from virt_admin.suite.change import Change, change_of, is_going_on
from virt_admin.suite.objects import Guest, Node, Pod
from virt_admin.suite.observed import Observed
from virt_admin.suite.trouble import pod_trouble

_NAMED = 5  # objects that cannot be read


class Component(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """The pods of a component."""

    name: str
    wanted: int
    ready: int
    current: int
    """How many are made from the workload's newest template."""

    troubles: list[str] = []


class NodeState(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """A node, and what the suite has there."""

    name: str
    ready: bool
    cordoned: bool
    starts_guests: bool
    """Whether its handler offers the node for guests."""

    handler: str
    """"new", "old", or "" without a handler."""

    handler_ready: bool
    handler_tag: str
    kvm: int
    """How many guests could use KVM; 0: none, they are emulated or do not start."""

    guests: int
    outdated: int
    """Guests there on old launchers."""

    not_ready_since: str = ""
    """When its kubelet was last known to be ready; "" if it is, or that is not known."""

    why_not_ready: str = ""


class Guests(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """All VirtualMachineInstances that have not ended."""

    starting: int
    running: int
    outdated: int
    """On launchers of another image than new ones get."""

    moving: int
    blocked: dict[str, int]
    """Those whose launcher cannot be replaced, by the reason of WorkloadUpdateBlocked."""


class Summary(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """The suite."""

    time: str
    namespace: str
    name: str
    phase: str
    version: str
    target_version: str
    operator_version: str
    leader: str
    conditions: list[Condition]
    upgrade: Upgrade | None
    """Operation, step, waits and the way back, as virt-operator wrote them."""

    change: Change
    """Where that is, and what to do next."""

    components: list[Component]
    nodes: list[NodeState]
    guests: Guests
    warnings: list[str]
    """Why what is shown may be old."""

    exit_code: int
    """0: available, nothing in progress; 1: available, a change or an outage of a part; 2: not available."""


def summarize(observed: Observed) -> Summary:
    """What is shown."""
    kubevirt = observed.kubevirt
    status, meta = kubevirt.status, kubevirt.metadata
    listed = [_component(observed, name) for name in (components.OPERATOR, *components.INSTALLED)]
    warnings = _warnings(observed)
    clean = not is_going_on(status.upgrade) and not warnings and all(part.ready >= part.wanted for part in listed)
    return Summary(
        time=rfc3339(observed.now),
        namespace=meta.namespace,
        name=meta.name,
        phase=status.phase,
        version=status.observed_kube_virt_version,
        target_version=status.target_kube_virt_version,
        operator_version=status.operator_version,
        leader=observed.leader(components.OPERATOR),
        conditions=status.conditions,
        upgrade=status.upgrade,
        change=change_of(kubevirt),
        components=listed,
        nodes=[_node(observed, node) for node in sorted(observed.nodes, key=lambda node: node.metadata.name)],
        guests=_guests(observed),
        warnings=warnings,
        exit_code=BROKEN if not _available(status.conditions) else CLEAN if clean else ATTENTION,
    )


def _available(conditions: list[Condition]) -> bool:
    available = condition_of(conditions, "Available")
    return available is not None and available.status == "True"


def _warnings(observed: Observed) -> list[str]:
    found = []
    if observed.trouble:
        found.append(f"the API server does not answer, this is what was seen last: {observed.trouble}")
    if (silence := observed.silence(components.OPERATOR)) is not None:
        since = observed.renewed(components.OPERATOR)
        found.append(f"{silence}: conditions and step are what it wrote last, before {since or 'an unknown time'}")
    elif not is_going_on(observed.kubevirt.status.upgrade) and _is_newer_than_seen(observed.kubevirt):
        found.append("virt-operator has not processed the newest spec of the KubeVirt object yet")
    unread = observed.unreadable
    found += [f"virtadm cannot read {what}; it is shown as it was before, or left out" for what in unread[:_NAMED]]
    if len(unread) > _NAMED:
        found.append(f"virtadm cannot read {len(unread) - _NAMED} more objects")
    return found


def _is_newer_than_seen(kubevirt: KubeVirt) -> bool:
    """Whether the spec has changed since it was as desired; so it has during the whole change that it requests."""
    return kubevirt.metadata.generation > kubevirt.status.observed_generation


def _component(observed: Observed, name: str) -> Component:
    workload, pods = observed.workload(name), observed.pods_of(name)
    wanted = 0
    if workload is not None:
        daemon = name == components.HANDLER
        wanted = workload.status.desired_number_scheduled if daemon else workload.spec.replicas
    present = [pod for pod in pods if pod.metadata.deletion_timestamp is None]
    troubles = [f"{pod.metadata.name}: {why}" for pod in present if not pod.ready and (why := pod_trouble(pod))]
    current = sum(pod.template_hash == workload.template_hash for pod in present) if workload is not None else 0
    return Component(
        name=name, wanted=wanted, ready=sum(pod.ready for pod in present), current=current, troubles=troubles
    )


def _node(observed: Observed, node: Node) -> NodeState:
    name, daemon = node.metadata.name, observed.workload(components.HANDLER)
    handler = handler_of(observed, name)
    here = [guest for guest in observed.guests if guest.status.node_name == name and not guest.status.phase.final]
    age, condition = "", node.ready
    if handler is not None and daemon is not None:
        age = "new" if handler.template_hash == daemon.template_hash else "old"
    return NodeState(
        name=name,
        ready=node.is_ready,
        cordoned=node.spec.unschedulable,
        starts_guests=node.metadata.labels.get(SCHEDULABLE) == "true",
        handler=age,
        handler_ready=handler is not None and handler.ready,
        handler_tag=handler.tag if handler is not None else "",
        kvm=node.devices(KVM),
        guests=len(here),
        outdated=sum(map(is_outdated, here)),
        not_ready_since=condition.last_transition_time or "" if condition is not None and not node.is_ready else "",
        why_not_ready=condition.message if condition is not None and not node.is_ready else "",
    )


def handler_of(observed: Observed, node: str) -> Pod | None:
    """The node's virt-handler; while one is replaced by another, the one that stays."""
    pods = [pod for pod in observed.pods_of(components.HANDLER) if pod.spec.node_name == node]
    return min(pods, key=lambda pod: (pod.metadata.deletion_timestamp is not None, not pod.ready), default=None)


def is_outdated(guest: Guest) -> bool:
    """Whether its launcher is not of the image that new ones get."""
    return OUTDATED_LAUNCHER in guest.metadata.labels


def _guests(observed: Observed) -> Guests:
    living = [guest for guest in observed.guests if not guest.status.phase.final]
    running = [guest for guest in living if guest.status.phase is VmiPhase.RUNNING]
    blocked = (condition_of(guest.status.conditions, WORKLOAD_UPDATE_BLOCKED) for guest in running)
    return Guests(
        starting=len(living) - len(running),
        running=len(running),
        outdated=sum(map(is_outdated, running)),
        moving=sum(guest.status.migrates for guest in running),
        blocked=dict(sorted(Counter(found.reason for found in blocked if found is not None).items())),
    )
