"""The instance types and preferences that come with the suite, and when they are written."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from virt_core.instancetype.admission import admit
from virt_core.instancetype.apply import apply
from virt_core.instancetype.matcher import Role
from virt_core.instancetype.requirements import requirement_refusals
from virt_core.objects.kubevirt import Configuration
from virt_core.vmi.accepted import accept
from virt_operator.change.plan import plan
from virt_operator.strategy.common_instancetypes import common_instancetypes
from virt_operator.strategy.common_preferences import common_preferences
from virt_operator.strategy.ref import DEFINED, Body, Ref, ref_of
from virt_operator.suite.actions import Apply, Compare, Delete, Replace
from virt_operator.suite.observed import Observed

from tests.unit.operator.suites import (
    OPERATOR,
    changed,
    compared,
    desired_objects,
    expecting,
    installed,
    live,
    without,
)

BUNDLE = tuple(ref_of(body) for body in desired_objects() if body["kind"] in DEFINED)
NANO = Ref("VirtualMachineClusterInstancetype", "", "u1.nano")
DEFINITION = Ref("CustomResourceDefinition", "", DEFINED[NANO.kind])
WITHOUT_BUNDLE = {"configuration": {"commonInstancetypesDeployment": {"enabled": False}}}


def name(body: Body) -> str:
    return str(body["metadata"]["name"])


def written(observed: Observed) -> set[Ref]:
    return {action.ref for action in plan(observed, OPERATOR).actions if isinstance(action, Apply | Replace)}


@pytest.mark.parametrize("body", common_instancetypes(), ids=name)
def test_each_instance_type_of_the_bundle_starts_a_machine(body: Body) -> None:
    assert admit(Role.INSTANCETYPE, body, None) == ()
    applied = apply({"spec": {"domain": {"devices": {}}}}, body, None)
    assert applied.refusals == ()
    cpus = accept(applied.template["spec"], Configuration()).topology.vcpus
    assert cpus == int(body["metadata"]["labels"]["instancetype.kubevirt.io/cpu"])


@pytest.mark.parametrize("body", common_preferences(), ids=name)
def test_each_preference_of_the_bundle_starts_a_machine(body: Body) -> None:
    large = next(body for body in common_instancetypes() if name(body) == "u1.2xlarge")
    assert admit(Role.PREFERENCE, body, None) == ()
    devices = {"interfaces": [{"name": "default", "masquerade": {}}]}
    template: dict[str, Any] = {"spec": {"domain": {"devices": devices}, "networks": [{"name": "default", "pod": {}}]}}
    applied = apply(template, large, body)
    assert applied.refusals == ()
    accepted = accept(applied.template["spec"], Configuration())
    assert list(requirement_refusals(large, body, accepted)) == []


def test_sizes_are_kubevirts() -> None:
    specs = {name(body): body["spec"] for body in common_instancetypes()}
    assert specs["u1.nano"] == {"cpu": {"guest": 1}, "memory": {"guest": "512Mi"}}
    assert specs["u1.8xlarge"] == {"cpu": {"guest": 32}, "memory": {"guest": "128Gi"}}
    assert specs["o1.small"]["memory"] == {"guest": "2Gi", "overcommitPercent": 50}
    assert specs["m1.large1gi"]["memory"] == {"guest": "16Gi", "hugepages": {"pageSize": "1Gi"}}


def test_the_bundle_is_written_when_its_kinds_are_defined() -> None:
    undefined = live({"metadata": {"name": DEFINITION.name}}, {})
    observed = without(installed(), *BUNDLE)
    defined = {ref for ref in BUNDLE if ref.kind != NANO.kind}
    assert written(changed(observed, DEFINITION, undefined)) & set(BUNDLE) == defined
    assert written(observed) == set(BUNDLE)


def test_what_others_add_to_an_instance_type_is_removed_without_a_dry_run() -> None:
    observed = installed()
    body = next(body for body in desired_objects() if ref_of(body) == NANO)
    edited = live({**body, "spec": {**body["spec"], "schedulerName": "mine"}}, {})
    observed = compared(changed(observed, NANO, edited))
    assert written(observed) == {NANO}
    actions = plan(replace(observed, compared={}), OPERATOR).actions
    assert not [action for action in actions if isinstance(action, Compare) and action.ref.kind in DEFINED]


def test_the_bundle_goes_and_comes_with_the_configuration() -> None:
    observed = expecting(installed(), WITHOUT_BUNDLE)
    decided = plan(observed, OPERATOR)
    assert {action.ref for action in decided.actions if isinstance(action, Delete)} == set(BUNDLE)
    gone = without(observed, *BUNDLE)
    assert plan(gone, OPERATOR).actions == ()
    assert written(expecting(gone, {})) == set(BUNDLE)
