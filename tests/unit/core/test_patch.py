"""Patches that change only what was planned, guarded by their preconditions."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from virt_core.objects.meta import ObjectMeta
from virt_core.objects.patch import guarded_patch, pointer
from virt_core.testing.patches import PatchFailed, json_patch, merge_patch

UID = {"op": "test", "path": "/metadata/uid", "value": "u"}
VERSION = {"op": "test", "path": "/metadata/resourceVersion", "value": "7"}
META = ObjectMeta("g", uid="u", resource_version="7")
KEYS = st.text("ab/~0.é ", max_size=4)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)
MAPPINGS = st.dictionaries(KEYS, VALUES, max_size=5)


def thing(status: dict[str, Any], uid: str = "u", version: str = "7") -> dict[str, Any]:
    return {"metadata": {"uid": uid, "resourceVersion": version}, "status": status}


@settings(max_examples=50, deadline=None)
@given(MAPPINGS)
def test_nothing_changed_is_no_patch(status: dict[str, Any]) -> None:
    assert guarded_patch(META, status, dict(status), "status") == []


def test_each_key_changed_is_tested_first() -> None:
    before = {"same": 1, "changes": "old", "goes": [1]}
    assert guarded_patch(META, before, {"same": 1, "changes": "new", "comes": {}}, "status") == [
        UID,
        VERSION,
        {"op": "test", "path": "/status/changes", "value": "old"},
        {"op": "replace", "path": "/status/changes", "value": "new"},
        {"op": "add", "path": "/status/comes", "value": {}},
        {"op": "test", "path": "/status/goes", "value": [1]},
        {"op": "remove", "path": "/status/goes"},
    ]


@settings(max_examples=50, deadline=None)
@given(MAPPINGS, MAPPINGS)
def test_the_patch_turns_before_into_after(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert json_patch(thing(before), guarded_patch(META, before, after, "status")) == thing(after)


@settings(max_examples=50, deadline=None)
@given(MAPPINGS, MAPPINGS)
def test_the_patch_fails_on_another_object(before: dict[str, Any], after: dict[str, Any]) -> None:
    operations = guarded_patch(META, before, after, "status")
    if operations:
        with pytest.raises(PatchFailed):
            json_patch(thing(before, uid="another"), operations)


@settings(max_examples=50, deadline=None)
@given(MAPPINGS, MAPPINGS, VALUES)
def test_the_patch_fails_if_what_it_replaces_changed_meanwhile(
    before: dict[str, Any], after: dict[str, Any], meanwhile: Any
) -> None:
    operations = guarded_patch(META, before, after, "status")
    for key, value in before.items():
        if (key not in after or after[key] != value) and meanwhile != value:
            with pytest.raises(PatchFailed):
                json_patch(thing({**before, key: meanwhile}), operations)


def test_a_key_that_somebody_else_added_meanwhile_is_not_replaced() -> None:
    operations = guarded_patch(META, {}, {"labels": {"ours": "1"}}, "status")
    with pytest.raises(PatchFailed):
        json_patch(thing({"labels": {"theirs": "1"}}, version="8"), operations)


def test_a_patch_that_adds_nothing_survives_a_change_elsewhere() -> None:
    operations = guarded_patch(META, {"phase": "a"}, {"phase": "b"}, "status")
    assert json_patch(thing({"phase": "a"}, version="8"), operations) == thing({"phase": "b"}, version="8")


def test_pointers_are_escaped() -> None:
    assert pointer("metadata", "labels", "kubevirt.io/a~b") == "/metadata/labels/kubevirt.io~1a~0b"


@pytest.mark.parametrize(
    ("document", "patch", "merged"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": None}}, {"a": {"c": 2}}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"a": 1}, {"b": {"c": None, "d": 1}}, {"a": 1, "b": {"d": 1}}),
        ({"a": "text"}, {"a": {"b": 1}}, {"a": {"b": 1}}),
    ],
)
def test_the_fake_s_merge_patch_is_that_of_rfc_7386(document: Any, patch: Any, merged: Any) -> None:
    assert merge_patch(document, patch) == merged


def test_the_fake_s_json_patch_works_on_lists() -> None:
    operations: list[dict[str, Any]] = [
        {"op": "add", "path": "/l/-", "value": 3},
        {"op": "add", "path": "/l/0", "value": 0},
        {"op": "test", "path": "/l/1", "value": 1},
        {"op": "remove", "path": "/l/1"},
    ]
    assert json_patch({"l": [1, 2]}, operations) == {"l": [0, 2, 3]}
