"""Discovery documents for the aggregator."""

from __future__ import annotations

import pytest
from virt_api.aggregation import discovery
from virt_core.conventions.subresources import SUPPORTED, VERSIONS


def test_the_group_prefers_v1_and_serves_v1alpha3() -> None:
    group = discovery.api_group_list()["groups"][0]
    assert group["name"] == "subresources.kubevirt.io"
    assert group["preferredVersion"] == {"groupVersion": "subresources.kubevirt.io/v1", "version": "v1"}
    assert [version["version"] for version in group["versions"]] == ["v1", "v1alpha3"]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_version_lists_exactly_what_is_served(version: str) -> None:
    document = discovery.api_resource_list(version)
    assert document["groupVersion"] == f"subresources.kubevirt.io/{version}"
    listed = {resource["name"]: resource["verbs"] for resource in document["resources"]}
    assert listed == {"expand-vm-spec": ["update"], **{name: [verb] for name, verb in SUPPORTED.items()}}
    assert listed["virtualmachineinstances/vnc"] == ["get"]
    assert listed["virtualmachineinstances/pause"] == ["update"]


def test_expanding_a_manifest_is_of_no_kind_that_kubectl_looks_for() -> None:
    """kubectl takes the kind of a name without a slash for a kind of the group."""
    kinds = {entry["kind"] for entry in discovery.api_resource_list("v1")["resources"] if "/" not in entry["name"]}
    assert kinds == {"ExpandVmSpec"}


def test_version_has_every_field_that_virtctl_prints_as_a_string() -> None:
    document = discovery.version_info("0.1.0")
    assert document["gitVersion"] == "v0.1.0"
    assert document["compiler"] == "gc"
    assert document["platform"].startswith("linux/")
    fields = {"gitVersion", "gitCommit", "gitTreeState", "buildDate", "goVersion", "compiler", "platform"}
    assert set(document) == fields and all(isinstance(value, str) for value in document.values())
