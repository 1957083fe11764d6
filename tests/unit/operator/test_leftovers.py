"""What only another release has: removed by the permission that it brought, or left behind and named."""

from __future__ import annotations

from dataclasses import replace

import msgspec
from virt_core.objects.kubevirt import KubeVirtStatus
from virt_operator.change.growth import grown
from virt_operator.change.plan import plan
from virt_operator.reconcile.status import status_of
from virt_operator.strategy import rbac
from virt_operator.strategy.ref import Body, Ref, ref_of
from virt_operator.strategy.rules import covers
from virt_operator.suite.actions import Delete
from virt_operator.suite.observed import Observed

from tests.unit.operator.suites import HELD, INSTALL, OPERATOR, changed, desired_objects, installed, live

NEWER = msgspec.structs.replace(INSTALL, tag="v1.3.0")


def status(observed: Observed) -> KubeVirtStatus:
    assert observed.suite is not None
    return status_of(observed.suite, observed, plan(observed, OPERATOR), OPERATOR, None)


def with_policy_of_newer(observed: Observed) -> tuple[Observed, Ref]:
    """An object that an older manifest's operator finds, and that only the newer release knows."""
    policy = {"kind": "ValidatingAdmissionPolicy", "metadata": {"name": "kubevirt-newer"}}
    return changed(observed, ref_of(policy), live(policy, {})), ref_of(policy)


def test_what_the_operator_may_not_delete_is_left_behind_and_named_and_the_change_ends() -> None:
    observed, policy = with_policy_of_newer(installed())
    assert plan(observed, OPERATOR).actions == ()
    found = status(observed)
    assert found.phase == "Deployed" and found.change is None
    available = next(condition for condition in found.conditions if condition.type == "Available")
    assert (available.status, available.reason) == ("True", "AllComponentsReady")
    assert f"{policy}: left behind" in available.message


def test_what_a_newer_release_brought_is_removed_by_the_permission_that_it_brought() -> None:
    observed, policy = with_policy_of_newer(installed())
    role, _ = rbac.removal((*desired_objects(NEWER), named_body(policy)), "kubevirt")
    held = {**HELD, "kubevirt": (*HELD["kubevirt"], *role["rules"])}
    assert [action.ref for action in deletions(replace(observed, held=held))] == [policy]


def named_body(ref: Ref) -> Body:
    return {"kind": ref.kind, "metadata": {"name": ref.name}}


def deletions(observed: Observed) -> list[Delete]:
    return [action for action in plan(observed, OPERATOR).actions if isinstance(action, Delete)]


def test_the_permission_to_remove_grows_while_two_releases_coexist() -> None:
    body = named_body(Ref("ValidatingAdmissionPolicy", "", "kubevirt-newer"))
    (theirs, _), (ours, _) = (
        rbac.removal(objects, "kubevirt") for objects in ((*desired_objects(), body), desired_objects())
    )
    during = grown(ours, theirs, updating=True)
    assert covers(during["rules"], theirs["rules"]) == covers(during["rules"], ours["rules"]) == []
    assert grown(ours, theirs, updating=False) == ours


def test_a_rule_that_is_for_no_resource_does_not_grow_and_is_repaired_during_an_update() -> None:
    role = next(body for body in desired_objects() if body["kind"] == "ClusterRole")
    edited = {**role, "rules": [*role["rules"], {"nonResourceURLs": ["/metrics"], "verbs": ["get"]}]}
    assert grown(role, edited, updating=True) == role
