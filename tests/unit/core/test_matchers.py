"""What the matchers in a VirtualMachine's spec point to."""

from __future__ import annotations

from typing import Any

import pytest
from virt_core.instancetype.matcher import (
    Role,
    annotation_of,
    matcher_of,
    matcher_refusals,
    resource_of,
    revision_of,
)


def vm(role: Role, matcher: Any, **status: Any) -> dict[str, Any]:
    return {"spec": {role.value: matcher}, "status": status}


def plural(role: Role, kind: str) -> str | None:
    matcher = matcher_of(vm(role, {"name": "x", "kind": kind}), role)
    assert matcher is not None
    resource = resource_of(role, matcher)
    return resource.plural if resource else None


@pytest.mark.parametrize(
    ("role", "kind", "expected"),
    [
        (Role.INSTANCETYPE, "", "virtualmachineclusterinstancetypes"),
        (Role.INSTANCETYPE, "VirtualMachineClusterInstancetype", "virtualmachineclusterinstancetypes"),
        (Role.INSTANCETYPE, "virtualmachineclusterinstancetypes", "virtualmachineclusterinstancetypes"),
        (Role.INSTANCETYPE, "virtualmachineinstancetype", "virtualmachineinstancetypes"),
        (Role.INSTANCETYPE, "VirtualMachineInstancetypes", "virtualmachineinstancetypes"),
        (Role.INSTANCETYPE, "VirtualMachinePreference", None),
        (Role.PREFERENCE, "", "virtualmachineclusterpreferences"),
        (Role.PREFERENCE, "VIRTUALMACHINEPREFERENCE", "virtualmachinepreferences"),
        (Role.PREFERENCE, "virtualmachineclusterpreference", "virtualmachineclusterpreferences"),
        (Role.PREFERENCE, "Pod", None),
    ],
)
def test_a_kind_is_singular_or_plural_in_any_case_and_cluster_wide_by_default(
    role: Role, kind: str, expected: str | None
) -> None:
    assert plural(role, kind) == expected


@pytest.mark.parametrize("matcher", [None, [], "small", {"name": 1}])
def test_what_is_no_matcher_is_none(matcher: Any) -> None:
    assert matcher_of(vm(Role.INSTANCETYPE, matcher), Role.INSTANCETYPE) is None
    assert matcher_of({}, Role.INSTANCETYPE) is None


def test_a_guest_is_annotated_with_what_it_was_made_of() -> None:
    cases = {"": "kubevirt.io/cluster-preference-name", "VirtualMachinePreference": "kubevirt.io/preference-name"}
    for kind, annotation in cases.items():
        matcher = matcher_of(vm(Role.PREFERENCE, {"kind": kind}), Role.PREFERENCE)
        assert matcher is not None and (resource := resource_of(Role.PREFERENCE, matcher)) is not None
        assert annotation_of(Role.PREFERENCE, resource) == annotation


@pytest.mark.parametrize(
    ("matcher", "stored", "expected"),
    [
        ({"name": "a", "revisionName": "mine"}, {"name": "a", "controllerRevisionRef": {"name": "r"}}, "mine"),
        ({"name": "a"}, {"name": "a", "controllerRevisionRef": {"name": "r"}}, "r"),
        ({"name": "a"}, {"name": "b", "controllerRevisionRef": {"name": "r"}}, ""),
        (
            {"name": "a", "kind": "VirtualMachineInstancetype"},
            {"name": "a", "kind": "VirtualMachineClusterInstancetype", "controllerRevisionRef": {"name": "r"}},
            "",
        ),
        (
            {"name": "a"},
            {"name": "a", "kind": "virtualmachineclusterinstancetype", "controllerRevisionRef": {"name": "r"}},
            "r",
        ),
        ({"name": "a"}, {"name": "a"}, ""),
        ({"name": "a"}, None, ""),
    ],
)
def test_a_stored_revision_counts_for_the_name_and_kind_that_it_was_made_for(
    matcher: Any, stored: Any, expected: str
) -> None:
    body = vm(Role.INSTANCETYPE, matcher, instancetypeRef=stored)
    found = matcher_of(body, Role.INSTANCETYPE)
    assert found is not None
    assert revision_of(body, Role.INSTANCETYPE, found) == expected


@pytest.mark.parametrize(
    ("new", "old", "field"),
    [
        ({}, None, "spec.preference"),
        ({"name": ".."}, None, "spec.preference.name"),
        ({"name": "a", "revisionName": "../x"}, None, "spec.preference.revisionName"),
        ({"name": "a", "inferFromVolume": "v"}, None, "spec.preference.name"),
        ({"kind": "VirtualMachinePreference", "inferFromVolume": "v"}, None, "spec.preference.kind"),
        (
            {"name": "a", "inferFromVolumeFailurePolicy": "Perhaps"},
            None,
            "spec.preference.inferFromVolumeFailurePolicy",
        ),
        ({"name": "a", "kind": "Pod"}, None, "spec.preference.kind"),
        ({"name": "b", "revisionName": "r"}, {"name": "a", "revisionName": "r"}, "spec.preference.revisionName"),
    ],
)
def test_a_wrong_matcher_is_refused_by_field(new: Any, old: Any, field: str) -> None:
    before = None if old is None else vm(Role.PREFERENCE, old)
    refusals = matcher_refusals(Role.PREFERENCE, vm(Role.PREFERENCE, new), before)
    assert [refusal.field for refusal in refusals] == [field]


@pytest.mark.parametrize(
    ("new", "old"),
    [
        ({"name": "a"}, None),
        ({"name": "b", "revisionName": "other"}, {"name": "a", "revisionName": "r"}),
        ({"name": "b"}, {"name": "a", "revisionName": "r"}),
        ({"name": "a", "revisionName": "r"}, {"name": "a", "revisionName": "r"}),
        ({"name": "b", "revisionName": "r"}, {"name": "a"}),
    ],
)
def test_a_right_matcher_is_admitted(new: Any, old: Any) -> None:
    before = None if old is None else vm(Role.PREFERENCE, old)
    assert list(matcher_refusals(Role.PREFERENCE, vm(Role.PREFERENCE, new), before)) == []
