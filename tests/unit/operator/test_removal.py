"""Removal: VMs first, while the components that end them still run; the finalizer last."""

from __future__ import annotations

from dataclasses import replace

import msgspec
from virt_operator.removal.plan import asks_for_nodes, asks_for_workloads, nothing_left, plan_removal
from virt_operator.strategy.ref import ref_of
from virt_operator.strategy.trust import REGISTRATIONS
from virt_operator.suite.actions import Delete, RemoveFinalizer, UnmarkNode
from virt_operator.suite.observed import Observed, SuiteObject
from virt_operator.suite.plan import Plan
from virt_operator.suite.prometheus import Prometheus

from tests.unit.operator.suites import (
    FINALIZER,
    HELD,
    NOW,
    OPERATOR,
    changed,
    deployed,
    installed,
    kinds,
    live,
    suite,
    without,
)

DELETING = suite(status=deployed(), deletion_timestamp="2026-01-31T10:00:00Z")


def deleted(decided: Plan) -> set[str]:
    return {action.ref.kind for action in decided.actions if isinstance(action, Delete)}


def drop(observed: Observed, kinds_gone: set[str]) -> Observed:
    return without(observed, *(ref for ref in observed.owned if ref.kind in kinds_gone))


def test_stages_follow_each_other() -> None:
    job = {"kind": "Job", "metadata": {"name": "of-an-update", "namespace": "kubevirt"}}
    observed, stages = changed(replace(installed(), suite=DELETING), ref_of(job), live(job, {})), []
    while observed.owned:
        decided = plan_removal(observed, DELETING, OPERATOR)
        if not deleted(decided):  # only the pods are left to wait for
            assert decided.waits[0].what == "Pod virt-handler-0"
            observed = replace(observed, pods=())
            continue
        stages.append(deleted(decided))
        observed = drop(observed, deleted(decided))
    assert stages[:3] == [{"CustomResourceDefinition"}, set(REGISTRATIONS), {"Deployment", "DaemonSet", "Job"}]
    assert {"Secret", "ServiceAccount", "ClusterRole"} <= stages[3]
    assert stages[4] == {"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}
    assert len(stages) == 5


def test_the_finalizer_stays_until_the_objects_of_each_served_kind_are_known() -> None:
    gone = suite(status=msgspec.structs.replace(deployed(), phase="Deleted"), deletion_timestamp="2026-01-31T10:00:00Z")
    observed = replace(installed(), suite=gone, owned={}, pods=())
    unlisted = replace(observed, prometheus=Prometheus(frozenset({"ServiceMonitor"}), {"ServiceMonitor": ""}))
    decided = plan_removal(unlisted, gone, OPERATOR)
    assert (decided.actions, decided.next_deadline is not None) == ((), True)
    for known in (Prometheus(), Prometheus(frozenset({"ServiceMonitor"}), {"ServiceMonitor": "403: forbidden"})):
        assert kinds(plan_removal(replace(observed, prometheus=known), gone, OPERATOR).actions) == ["RemoveFinalizer"]


def test_controller_stays_until_the_last_vm_is_gone() -> None:
    terminating = {"type": "Terminating", "status": "True", "message": "3 instances remain"}
    ending = {}
    for ref, body in installed().owned.items():
        if ref.kind == "CustomResourceDefinition":
            meta = msgspec.structs.replace(body.metadata, deletion_timestamp="2026-01-31T10:00:00Z")
            ending[ref] = msgspec.structs.replace(body, metadata=meta, status={"conditions": [terminating]})
    observed = replace(installed(), owned={**installed().owned, **ending})
    decided = plan_removal(observed, DELETING, OPERATOR)
    assert decided.actions == ()
    assert decided.waits[0].why == "3 instances remain"


def test_finalizer_is_removed_when_the_phase_is_deleted() -> None:
    nothing = Observed(now=NOW, suite=DELETING)
    assert plan_removal(nothing, DELETING, OPERATOR).actions == ()
    status = msgspec.structs.replace(DELETING.status, phase="Deleted")
    gone = SuiteObject(msgspec.structs.replace(DELETING.metadata, finalizers=["other", FINALIZER]), {}, status)
    assert plan_removal(nothing, gone, OPERATOR).actions == (RemoveFinalizer(gone.metadata),)


def test_an_object_without_our_finalizer_is_not_ours() -> None:
    other = suite(finalizers=["other"], deletion_timestamp="2026-01-31T10:00:00Z")
    assert plan_removal(replace(installed(), suite=other), other, OPERATOR) == Plan()


BLOCKED = SuiteObject(DELETING.metadata, {"uninstallStrategy": "BlockUninstallIfWorkloadsExist"}, DELETING.status)


def test_block_uninstall_removes_nothing_while_a_workload_exists_and_looks_again() -> None:
    observed = replace(installed(), suite=BLOCKED, workload="VirtualMachineInstance default/vm1")
    assert asks_for_workloads(observed, BLOCKED)
    decided = plan_removal(observed, BLOCKED, OPERATOR)
    assert kinds(decided.actions) == []
    assert decided.waits[0].what == "VirtualMachineInstance default/vm1"
    assert "BlockUninstallIfWorkloadsExist" in decided.waits[0].why
    assert decided.next_deadline is not None
    assert deleted(plan_removal(replace(observed, workload=None), BLOCKED, OPERATOR)) == {"CustomResourceDefinition"}


def test_block_uninstall_continues_once_the_crd_of_workloads_is_being_deleted() -> None:
    gone = drop(replace(installed(), suite=BLOCKED), {"CustomResourceDefinition"})
    assert not asks_for_workloads(gone, BLOCKED)
    assert not asks_for_workloads(replace(installed(), suite=DELETING), DELETING)
    assert deleted(plan_removal(gone, BLOCKED, OPERATOR)) == set(REGISTRATIONS)


def test_nodes_are_unmarked_when_no_handler_is_left_to_mark_them_again() -> None:
    observed = replace(installed(), suite=DELETING)
    assert not asks_for_nodes(observed, DELETING)
    without_handlers = drop(observed, {"CustomResourceDefinition", *REGISTRATIONS, "Deployment", "DaemonSet"})
    assert not asks_for_nodes(without_handlers, DELETING), "a pod is ending still"
    ended = replace(without_handlers, pods=())
    assert asks_for_nodes(ended, DELETING)
    decided = plan_removal(replace(ended, marked_nodes=("node1", "node2")), DELETING, OPERATOR)
    unmarked = [action for action in decided.actions if isinstance(action, UnmarkNode)]
    assert unmarked == [UnmarkNode("node1"), UnmarkNode("node2")]
    assert len(decided.actions) > len(unmarked), "not a stage of its own: no watch would tell its end"


def test_what_only_a_newer_release_has_does_not_keep_the_suite_from_being_removed() -> None:
    newer = {"kind": "ValidatingAdmissionPolicy", "metadata": {"name": "kubevirt-newer"}}
    observed = Observed(now=NOW, suite=DELETING, owned={ref_of(newer): live(newer, {})}, held=HELD)
    assert nothing_left(observed, OPERATOR)
    decided = plan_removal(observed, DELETING, OPERATOR)
    assert (decided.actions, [wait.what for wait in decided.later]) == ((), [str(ref_of(newer))])


def test_an_operator_without_its_own_permissions_leaves_nothing_behind() -> None:
    assert not nothing_left(replace(installed(), suite=DELETING, pods=(), held={}), OPERATOR)


def test_marked_nodes_keep_the_finalizer() -> None:
    nothing = Observed(now=NOW, suite=DELETING, marked_nodes=("node1",))
    assert not nothing_left(nothing, OPERATOR)
    assert plan_removal(nothing, DELETING, OPERATOR).actions == (UnmarkNode("node1"),)


def test_nodes_are_of_no_interest_while_the_suite_stays() -> None:
    assert not asks_for_nodes(Observed(now=NOW, suite=suite(status=deployed())), suite(status=deployed()))
