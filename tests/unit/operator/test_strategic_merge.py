"""Strategic merge patches, as Kubernetes' documentation describes them. Not compared with the API server yet."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from virt_operator.customization.merge_keys import MERGE_KEYS
from virt_operator.customization.strategic_merge import BadPatch, strategic_merge

KEYS = MERGE_KEYS["Deployment"]


def pod(**spec: Any) -> dict[str, Any]:
    return {"spec": {"template": {"spec": spec}}}


def merged(found: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = strategic_merge(pod(**found), pod(**wanted), KEYS)["spec"]["template"]["spec"]
    return result


def containers(*names: str) -> list[dict[str, Any]]:
    return [{"name": name} for name in names]


def test_an_entry_of_the_same_key_is_merged_and_the_others_stay() -> None:
    found = {"containers": [{"name": "a", "image": "x", "args": ["1"]}, {"name": "b"}]}
    after = merged(found, {"containers": [{"name": "a", "args": ["2", "3"]}]})
    assert after["containers"] == [{"name": "a", "image": "x", "args": ["2", "3"]}, {"name": "b"}]


def test_a_new_entry_comes_first_as_in_the_documentation_of_kubectl_patch() -> None:
    assert merged({"containers": containers("a", "b")}, {"containers": containers("c")})["containers"] == containers(
        "c", "a", "b"
    )


def test_variables_of_a_container_merge_by_name_and_arguments_are_replaced() -> None:
    found = {"containers": [{"name": "a", "env": [{"name": "X", "value": "1"}, {"name": "Y", "value": "2"}]}]}
    after = merged(found, {"containers": [{"name": "a", "env": [{"name": "Y", "value": "3"}]}]})
    assert after["containers"][0]["env"] == [{"name": "X", "value": "1"}, {"name": "Y", "value": "3"}]


def test_null_removes_a_field_and_is_not_stored_in_a_new_one() -> None:
    assert merged({"nodeSelector": {"a": "1", "b": "2"}}, {"nodeSelector": {"a": None}}) == {"nodeSelector": {"b": "2"}}
    assert merged({}, {"affinity": {"nodeAffinity": None}}) == {"affinity": {}}


def test_an_entry_is_deleted_by_a_directive() -> None:
    after = merged({"containers": containers("a", "b")}, {"containers": [{"name": "a", "$patch": "delete"}]})
    assert after["containers"] == containers("b")


def test_a_list_and_an_object_are_replaced_by_a_directive() -> None:
    replaced = merged({"containers": containers("a", "b")}, {"containers": [{"$patch": "replace"}, *containers("c")]})
    assert replaced["containers"] == containers("c")
    selector = {"nodeSelector": {"$patch": "replace", "b": "2"}}
    assert merged({"nodeSelector": {"a": "1"}}, selector) == {"nodeSelector": {"b": "2"}}
    assert merged({"nodeSelector": {"a": "1"}}, {"nodeSelector": {"$patch": "delete"}}) == {"nodeSelector": {}}


def test_only_the_named_keys_are_retained() -> None:
    found = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}
    patch = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
    assert strategic_merge(found, patch, KEYS) == {"spec": {"strategy": {"type": "Recreate"}}}


def test_plain_values_are_added_and_deleted_by_value() -> None:
    found = {"metadata": {"finalizers": ["a", "b"]}}
    assert strategic_merge(found, {"metadata": {"finalizers": ["b", "c"]}}, KEYS)["metadata"]["finalizers"] == [
        "a",
        "b",
        "c",
    ]
    deleted = {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}}
    assert strategic_merge(found, deleted, KEYS) == {"metadata": {"finalizers": ["b"]}}


def test_the_order_of_a_list_is_set_by_a_directive() -> None:
    order = {"$setElementOrder/containers": containers("b", "a")}
    assert merged({"containers": containers("a", "b", "c")}, order)["containers"] == containers("b", "a", "c")


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"containers": [{"image": "x"}]}, ".spec.template.spec.containers: an entry has no 'name'"),
        ({"containers": [{"name": "a", "$patch": "merge"}]}, "$patch 'merge' is not one of delete, replace"),
        ({"nodeSelector": {"$patch": "sometimes"}}, ".spec.template.spec.nodeSelector: $patch 'sometimes'"),
        ({"nodeSelector": {"$retainKeys": ["b"], "a": "2"}}, "$retainKeys"),
    ],
)
def test_a_patch_that_does_not_fit_is_refused_with_the_path(wanted: dict[str, Any], message: str) -> None:
    with pytest.raises(BadPatch, match=message.replace("$", r"\$")):
        merged({"containers": containers("a"), "nodeSelector": {"a": "1"}}, wanted)


names = st.lists(st.sampled_from("abcdef"), unique=True).map(lambda found: containers(*found))


@given(names, names)
def test_a_patch_of_keyed_lists_loses_nothing_keeps_both_orders_and_applies_once(found: Any, wanted: Any) -> None:
    after = merged({"containers": found}, {"containers": wanted})["containers"]
    assert sorted(map(str, after)) == sorted({*map(str, found), *map(str, wanted)})
    others = [entry for entry in found if entry not in wanted]
    assert [entry for entry in after if entry in wanted] == wanted
    assert [entry for entry in after if entry in others] == others
    assert merged({"containers": after}, {"containers": wanted})["containers"] == after
