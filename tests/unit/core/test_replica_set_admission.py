"""What a VirtualMachineInstanceReplicaSet is refused for, by field."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from virt_core.objects.kubevirt import Configuration, DeveloperConfiguration
from virt_core.replica_set.admission import admit
from virt_core.replica_set.replica_set import ReplicaSetSpec

CONFIGURATION = Configuration(DeveloperConfiguration(use_emulation=True))
DISK = {"name": "root", "disk": {"bus": "virtio"}}
SPEC: dict[str, Any] = {
    "replicas": 2,
    "selector": {"matchLabels": {"app": "web"}},
    "template": {
        "metadata": {"labels": {"app": "web"}},
        "spec": {
            "domain": {"devices": {"disks": [DISK]}, "memory": {"guest": "64Mi"}},
            "volumes": [{"name": "root", "containerDisk": {"image": "registry.test/disk"}}],
        },
    },
}


def refusals(spec: Any, old: Any = None, **meta: Any) -> dict[str, str]:
    before = None if old is None else {"metadata": {}, "spec": old}
    found = admit({"metadata": meta, "spec": spec}, before, CONFIGURATION, is_own_account=False)
    return {refusal.field: refusal.message for refusal in found}


def changed(**fields: Any) -> dict[str, Any]:
    return {key: value for key, value in {**deepcopy(SPEC), **fields}.items() if value is not None}


def test_a_usual_replica_set_is_admitted() -> None:
    assert refusals(SPEC) == {}
    assert refusals(changed(replicas=None, paused=True)) == {}


@pytest.mark.parametrize(
    ("spec", "fields"),
    [
        (changed(template=None), ["spec.template"]),
        (changed(selector=None), ["spec.selector"]),
        (changed(selector={}), ["spec.selector"]),
        (changed(selector={"matchLabels": {"app": "db"}}), ["spec.selector"]),
        (changed(selector={"matchLabels": 5}), ["spec.selector.matchLabels"]),
        (changed(replicas=-1), ["spec.replicas"]),
        (changed(strategy="Recreate"), ["spec.strategy"]),
        (changed(template={**SPEC["template"], "status": {}}), ["spec.template.status"]),
        ({"replicas": "many"}, ["spec.replicas", "spec.selector", "spec.template"]),
        ("nothing", ["spec.selector", "spec.template"]),
    ],
)
def test_it_is_refused_by_field(spec: Any, fields: list[str]) -> None:
    assert sorted(refusals(spec)) == fields


def test_a_selector_that_does_not_match_is_refused_in_kubevirts_words() -> None:
    words = refusals(changed(selector={"matchLabels": {"app": "db"}}))["spec.selector"]
    assert words.startswith("selector does not match labels")


def test_a_disk_without_volume_is_one_refusal_with_its_path_in_the_template() -> None:
    spec = deepcopy(SPEC)
    spec["template"]["spec"]["domain"]["devices"]["disks"].append({"name": "other", "disk": {"bus": "virtio"}})
    assert list(refusals(spec)) == ["spec.template.spec.domain.devices.disks[1].name"]


def test_reserved_labels_and_annotations_are_refused_in_the_template() -> None:
    spec = deepcopy(SPEC)
    spec["template"]["metadata"]["labels"]["kubevirt.io/nodeName"] = "node1"
    spec["template"]["metadata"]["annotations"] = {"kubevirt.io/ignitiondata": "{}"}
    assert list(refusals(spec)) == [
        "spec.template.metadata.labels.kubevirt.io/nodeName",
        "spec.template.metadata.annotations.kubevirt.io/ignitiondata",
    ]


def test_a_replica_set_that_is_no_longer_admitted_can_be_scaled_and_deleted() -> None:
    old = deepcopy(SPEC)
    old["template"]["spec"]["domain"]["devices"]["gpus"] = [{"name": "g", "deviceName": "d"}]
    assert refusals({**old, "replicas": 0}, old) == {}
    assert list(refusals({**old, "replicas": -1}, old)) == ["spec.replicas"]
    assert refusals("nothing", old, deletionTimestamp="2026-01-01T00:00:00Z") == {}


WORDS = st.sampled_from(
    ["app", "web", "In", "Exists", "Gt", "matchLabels", "matchExpressions", "key", "operator", "values", "labels"]
)
LEAVES = st.none() | st.booleans() | st.integers(-3, 3) | WORDS | st.text(max_size=3)
ANYTHING = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS | st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)
FIELDS = {
    "replicas": ANYTHING,
    "paused": ANYTHING,
    "selector": ANYTHING | st.just(SPEC["selector"]),
    "template": ANYTHING | st.just(SPEC["template"]) | st.fixed_dictionaries({}, optional={"metadata": ANYTHING}),
}


@settings(deadline=None)
@given(st.fixed_dictionaries({}, optional=FIELDS) | ANYTHING)
def test_whatever_is_admitted_can_be_read_by_the_controller(spec: Any) -> None:
    if refusals(spec):
        return
    read = msgspec.json.decode(msgspec.json.encode(spec), type=ReplicaSetSpec)
    assert read.selector.matches(spec["template"]["metadata"]["labels"])
    assert read.wanted_replicas >= 0
