"""Taking the suite away when its KubeVirt object is deleted. Pure; called instead of plan.py.

The definition of VirtualMachineInstance goes first: from then on nobody can make new ones, the API server deletes those
that are there, and the definition is gone when the last of them is, while controller and handlers still run to end
them. Then the APIServices, before what serves them; then the workloads; the rest when their pods are gone.
"""

from __future__ import annotations

from virt_core.api.labels import KUBEVIRT_FINALIZER

from virt_operator.install.actions import Delete, RemoveFinalizer, WaitFor
from virt_operator.install.observed import Observed, OwnedObject, SuiteObject
from virt_operator.install.plan import Plan
from virt_operator.install.spec import REMOVE_WORKLOADS
from virt_operator.strategy.ref import KINDS, Ref

DELETED = "Deleted"
_STAGES = (
    (("CustomResourceDefinition",), "its objects are being deleted"),
    (("APIService",), "being deleted"),
    (("Deployment", "DaemonSet"), "being deleted"),
)


def plan_removal(observed: Observed, suite: SuiteObject) -> Plan:
    """The next stage of the removal; an empty plan when the object is no longer ours to hold."""
    meta = suite.metadata
    if KUBEVIRT_FINALIZER not in meta.finalizers:
        return Plan()
    strategy = suite.spec.get("uninstallStrategy") or REMOVE_WORKLOADS
    if strategy != REMOVE_WORKLOADS:
        why = f"{strategy!r} is not supported by this release; nothing is removed until it is {REMOVE_WORKLOADS!r}"
        return Plan(waits=(WaitFor("spec.uninstallStrategy", why),))
    if not nothing_left(observed):
        return _next_stage(observed)
    if suite.status.phase != DELETED:
        return Plan()  # status.py says so first; the object's change brings us back
    return Plan((RemoveFinalizer(meta.namespace, meta.name, meta.uid, tuple(meta.finalizers)),))


def _next_stage(observed: Observed) -> Plan:
    for kinds, why in _STAGES:
        if found := _of(observed, *kinds):
            return _delete(found, why)
    if observed.pods:
        return Plan(waits=tuple(WaitFor(f"Pod {pod.metadata.name}", "ending") for pod in observed.pods))
    return _delete(_of(observed, *KINDS), "being deleted")


def nothing_left(observed: Observed) -> bool:
    """Whether all that the operator installed is gone."""
    return not observed.owned and not observed.pods


def _of(observed: Observed, *kinds: str) -> list[tuple[Ref, OwnedObject]]:
    return sorted((ref, live) for ref, live in observed.owned.items() if ref.kind in kinds)


def _delete(found: list[tuple[Ref, OwnedObject]], why: str) -> Plan:
    return Plan(
        tuple(
            Delete(ref, live.metadata.uid, "the KubeVirt object is being deleted")
            for ref, live in found
            if live.metadata.deletion_timestamp is None
        ),
        tuple(WaitFor(str(ref), _why_left(live) or why) for ref, live in found),
    )


def _why_left(live: OwnedObject) -> str | None:
    condition = live.condition("Terminating")
    message: str | None = condition.get("message")
    return message if condition.get("status") == "True" else None
