"""Plans the removal of the suite when its KubeVirt object is deleted. Pure; called by change/plan.py.

The definition of VirtualMachineInstance goes first: from then on nobody can make new ones, the API server deletes those
that are there, and the definition is gone when the last of them is, while controller and handlers still run to end
them. Then APIServices and webhooks, before what serves them; then the workloads and Jobs; the rest, and what handlers
wrote on their nodes, when their pods are gone; then the policy that keeps the operator itself from being deleted; last
the permission to delete what only another release's manifest names. The first stage is where workloads forbid the
removal, if the uninstallStrategy says so: after it there are none.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import timedelta

from virt_core.conventions.labels import KUBEVIRT_FINALIZER

from virt_operator.settings import Settings
from virt_operator.strategy.operator_rbac import operator_rbac
from virt_operator.strategy.rbac import REMOVAL
from virt_operator.strategy.ref import FOREIGN, KINDS, Ref
from virt_operator.strategy.settings import InstallSettings
from virt_operator.strategy.trust import REGISTRATIONS
from virt_operator.suite import permissions
from virt_operator.suite.actions import Delete, RemoveFinalizer, UnmarkNode, WaitFor
from virt_operator.suite.observed import Observed, OwnedObject, PodObject, SuiteObject
from virt_operator.suite.plan import Plan
from virt_operator.suite.spec import blocks_uninstall

DELETED = "Deleted"
_DEFINITIONS = ("CustomResourceDefinition",)
_STAGES = (
    ("Machines", _DEFINITIONS, "its objects are being deleted"),
    ("Registration", REGISTRATIONS, "being deleted"),
    ("Components", ("Deployment", "DaemonSet", "Job"), "being deleted"),
)
_POLICIES = ("ValidatingAdmissionPolicyBinding", "ValidatingAdmissionPolicy")
_LEFT = "left behind: virt-operator may not delete it; delete it with kubectl"
_ASK_AGAIN = timedelta(seconds=5)


def plan_removal(observed: Observed, suite: SuiteObject, operator: Settings) -> Plan:
    """The next stage of the removal; an empty plan if our finalizer is gone."""
    left = left_behind(observed, operator)
    later = tuple(WaitFor(str(ref), _LEFT) for ref in sorted(left))
    return replace(_removal(_without(observed, left), suite), later=later)


def _removal(observed: Observed, suite: SuiteObject) -> Plan:
    meta = suite.metadata
    if KUBEVIRT_FINALIZER not in meta.finalizers:
        return Plan()
    if asks_for_workloads(observed, suite) and observed.workload is not None:
        why = f"it exists and spec.uninstallStrategy is {suite.spec['uninstallStrategy']!r}: nothing is removed until "
        why += "all workloads are deleted, or that is 'RemoveWorkloads'"
        return Plan(waits=(WaitFor(observed.workload, why),), next_deadline=observed.now + _ASK_AGAIN)
    if not _nothing_left(observed):
        return _next_stage(observed)
    if unknown := [kind for kind, trouble in observed.prometheus.unlisted.items() if not trouble]:
        waits = tuple(WaitFor(FOREIGN[kind], "its objects are being listed") for kind in unknown)
        return Plan(waits=waits, next_deadline=observed.now + _ASK_AGAIN)
    if suite.status.phase != DELETED:
        return Plan()  # status.py writes the phase Deleted first; that change triggers the next pass
    return Plan((RemoveFinalizer(meta),))


def asks_for_workloads(observed: Observed, suite: SuiteObject) -> bool:
    """Whether a workload may block the removal. It cannot any more when its CRD is being deleted."""
    if suite.metadata.deletion_timestamp is None or not blocks_uninstall(suite.spec):
        return False
    return any(live.metadata.deletion_timestamp is None for _, live in _of(observed, *_DEFINITIONS))


def asks_for_nodes(observed: Observed, suite: SuiteObject) -> bool:
    """Whether to read the marked nodes: the suite is being removed, and no handler is left that marks them again."""
    removing = suite.metadata.deletion_timestamp is not None and KUBEVIRT_FINALIZER in suite.metadata.finalizers
    return removing and not observed.pods and not _of(observed, "DaemonSet")


def _next_stage(observed: Observed) -> Plan:
    for step, kinds, why in _STAGES:
        if found := _of(observed, *kinds):
            return _delete(step, found, why)
    if observed.pods:
        ending = (WaitFor(f"Pod {pod.metadata.name}", _ending(observed, pod), "Pods") for pod in observed.pods)
        return Plan(waits=tuple(ending))
    rest = [(ref, live) for ref, live in _of(observed, *KINDS) if ref.name != REMOVAL]
    policies = [(ref, live) for ref, live in rest if ref.kind in _POLICIES]
    others = [(ref, live) for ref, live in rest if ref.kind not in _POLICIES]
    decided = _delete("Definitions", others or policies or _of(observed, *KINDS), "being deleted")
    return replace(decided, actions=(*decided.actions, *map(UnmarkNode, observed.marked_nodes)))


def _ending(observed: Observed, pod: PodObject) -> str:
    trouble = observed.node_trouble(pod)
    return "ending" if trouble is None else f"ending; {trouble}: it ends when the node is back or deleted"


def nothing_left(observed: Observed, operator: Settings) -> bool:
    """Whether all that the operator can remove, and what handlers marked, is gone."""
    return _nothing_left(_without(observed, left_behind(observed, operator)))


def _without(observed: Observed, left: Collection[Ref]) -> Observed:
    return replace(observed, owned={ref: live for ref, live in observed.owned.items() if ref not in left})


def _nothing_left(observed: Observed) -> bool:
    return not observed.owned and not observed.pods and not observed.marked_nodes


def left_behind(observed: Observed, operator: Settings) -> frozenset[Ref]:
    """Objects of another release that this operator may not delete. None while it lacks a permission of its own
    release, which would make everything look like that."""
    found = {ref for ref in observed.owned if not permissions.may_delete(observed.held, ref, operator.namespace)}
    if not found:
        return frozenset()
    own = operator_rbac(InstallSettings(operator.namespace, operator.registry, operator.tag))
    return frozenset() if permissions.missing(observed.held, own, operator.namespace) else frozenset(found)


def _of(observed: Observed, *kinds: str) -> list[tuple[Ref, OwnedObject]]:
    return sorted((ref, live) for ref, live in observed.owned.items() if ref.kind in kinds)


def _delete(step: str, found: list[tuple[Ref, OwnedObject]], why: str) -> Plan:
    return Plan(
        tuple(
            Delete(ref, live.metadata.uid, "the KubeVirt object is being deleted")
            for ref, live in found
            if live.metadata.deletion_timestamp is None
        ),
        tuple(WaitFor(str(ref), _why_left(live) or why, step) for ref, live in found),
    )


def _why_left(live: OwnedObject) -> str | None:
    condition = live.condition("Terminating")
    message: str | None = condition.get("message")
    return message if condition.get("status") == "True" else None
