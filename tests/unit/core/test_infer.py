"""Which instance type and preference a volume stands for, and what is stored of it."""

from __future__ import annotations

from typing import Any

import pytest
from virt_core.instancetype.infer import claims_to_read, inferred
from virt_core.testing.patches import json_patch

KEY = "instancetype.kubevirt.io/default"
VOLUMES = [
    {"name": "root", "persistentVolumeClaim": {"claimName": "disk"}},
    {"name": "dv", "dataVolume": {"name": "disk"}},
    {"name": "scratch", "emptyDisk": {"capacity": "1Gi"}},
]
LABELLED = {
    "metadata": {
        "labels": {
            f"{KEY}-instancetype": "u1.small",
            f"{KEY}-instancetype-kind": "VirtualMachineInstancetype",
            f"{KEY}-preference": "fedora",
        }
    }
}
UNLABELLED: dict[str, Any] = {"metadata": {}}
RESOLVED = {"name": "u1.small", "kind": "VirtualMachineInstancetype"}


def vm(volume: str = "root", **fields: Any) -> dict[str, Any]:
    """A VirtualMachine whose instance type comes from a volume."""
    domain = {"devices": {}, "memory": {"guest": "512Mi"}}
    template = {"spec": {"domain": domain, "volumes": VOLUMES}}
    return {"spec": {"template": template, "instancetype": {"inferFromVolume": volume, **fields}}}


def stored(body: dict[str, Any], claim: Any, old: Any = None) -> dict[str, Any]:
    """The spec after the patch."""
    result = inferred(body, old, {"disk": claim})
    assert result.failure == ""
    patched = json_patch(body, list(result.patch))
    assert patched == result.vm
    return patched["spec"]  # type: ignore[no-any-return]


@pytest.mark.parametrize("volume", ["root", "dv"])
def test_a_matcher_is_stored_with_name_and_kind_of_the_claims_labels(volume: str) -> None:
    assert claims_to_read(vm(volume)) == ("disk",)
    spec = stored(vm(volume), LABELLED)
    assert spec["instancetype"] == RESOLVED
    assert spec["template"]["spec"]["domain"]["memory"] == {"guest": "512Mi"}


def test_both_matchers_are_resolved_and_a_kind_that_no_label_has_is_left_out() -> None:
    body = vm()
    body["spec"]["preference"] = {"inferFromVolume": "root"}
    spec = stored(body, LABELLED)
    assert (spec["instancetype"], spec["preference"]) == (RESOLVED, {"name": "fedora"})


@pytest.mark.parametrize(
    ("volume", "claim", "words"),
    [
        ("other", LABELLED, "unable to find volume other to infer defaults"),
        ("scratch", LABELLED, "unable to infer defaults from volume scratch as type is not supported"),
        ("root", UNLABELLED, f"unable to find required {KEY}-instancetype label on the volume"),
        ("root", None, 'persistentvolumeclaims "disk" not found'),
    ],
)
def test_a_volume_that_says_nothing_is_a_failure(volume: str, claim: Any, words: str) -> None:
    assert inferred(vm(volume), None, {"disk": claim}).failure == words
    assert inferred(vm(volume, inferFromVolumeFailurePolicy="Reject"), None, {"disk": claim}).failure == words


@pytest.mark.parametrize(("volume", "claim"), [("scratch", None), ("root", UNLABELLED)])
def test_a_failure_that_may_be_ignored_drops_the_matcher_and_keeps_the_memory(volume: str, claim: Any) -> None:
    spec = stored(vm(volume, inferFromVolumeFailurePolicy="Ignore"), claim)
    assert "instancetype" not in spec
    assert spec["template"]["spec"]["domain"]["memory"] == {"guest": "512Mi"}


@pytest.mark.parametrize(("volume", "claim"), [("other", LABELLED), ("root", None)])
def test_a_missing_volume_or_claim_is_not_ignored(volume: str, claim: Any) -> None:
    assert inferred(vm(volume, inferFromVolumeFailurePolicy="Ignore"), None, {"disk": claim}).failure


def test_memory_that_was_for_the_case_of_a_failure_is_dropped() -> None:
    spec = stored(vm(inferFromVolumeFailurePolicy="Ignore"), LABELLED)
    assert spec["instancetype"] == RESOLVED
    assert "memory" not in spec["template"]["spec"]["domain"]


def test_a_manifest_that_is_applied_again_changes_nothing() -> None:
    """`kubectl apply` merges the manifest into what is stored: name and kind stay beside inferFromVolume."""
    body = vm(inferFromVolumeFailurePolicy="Ignore")
    before = {"spec": stored(body, LABELLED)}
    merged = {"spec": {**body["spec"], "instancetype": {**body["spec"]["instancetype"], **RESOLVED}}}
    assert claims_to_read(merged) == ()
    assert stored(merged, None, before) == before["spec"]


@pytest.mark.parametrize("matcher", [{"name": "x", "inferFromVolume": "root"}, {"name": "x"}, None, "text"])
def test_what_validation_refuses_or_needs_no_volume_stays(matcher: Any) -> None:
    body = {"spec": {**vm()["spec"], "instancetype": matcher}}
    assert claims_to_read(body) == ()
    assert stored(body, None) == body["spec"]


def test_a_volume_that_a_data_volume_template_would_make_is_left_to_validation() -> None:
    body = vm("dv")
    body["spec"]["dataVolumeTemplates"] = [{"metadata": {"name": "disk"}, "spec": {}}]
    assert inferred(body, None, {"disk": None}).failure == ""
    body["spec"]["dataVolumeTemplates"] = [{"metadata": {"name": "another"}}, None, "odd"]
    assert inferred(body, None, {"disk": None}).failure
