"""CRDs: the whole field table becomes schemas that an API server accepts as structural."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from virt_core.objects.field_table import BadFieldTable, type_schema
from virt_operator.strategy import crds


def nodes(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for key, below in schema.get("properties", {}).items():
        yield from nodes(below, f"{path}.{key}")
    for key in ("items", "additionalProperties"):
        if key in schema:
            yield from nodes(schema[key], f"{path}[]")


DEFINITIONS = (
    crds.virtual_machine_instances(),
    crds.virtual_machines(),
    crds.virtual_machine_instance_replica_sets(),
    crds.kubevirts(),
    *crds.instancetypes(),
    crds.virtual_machine_instance_migrations(),
    crds.migration_policies(),
)


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda body: body["metadata"]["name"])
def test_schemas_are_structural(definition: dict[str, Any]) -> None:
    for version in definition["spec"]["versions"]:
        for path, node in nodes(version["schema"]["openAPIV3Schema"]):
            assert "type" in node or node.get("x-kubernetes-int-or-string"), path
            if node.get("type") == "array":
                assert "items" in node, path
            if keys := node.get("x-kubernetes-list-map-keys"):
                assert set(keys) <= set(node["items"]["properties"]), path
                assert set(keys) <= set(node["items"]["required"]), path
            assert "$ref" not in node, path


def test_unsupported_fields_of_kubevirt_are_kept() -> None:
    schema = crds.virtual_machine_instances()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    paths = {path for path, _ in nodes(schema)}
    assert ".spec.domain.devices.gpus[].virtualGPUOptions.display.enabled" in paths
    affinity = schema["properties"]["spec"]["properties"]["affinity"]
    assert affinity["x-kubernetes-preserve-unknown-fields"]


def test_v1_is_stored_and_v1alpha3_served_with_the_same_schema() -> None:
    for definition in (crds.virtual_machine_instances(), crds.kubevirts()):
        new, old = definition["spec"]["versions"]
        assert (new["name"], new["storage"], old["name"], old["storage"]) == ("v1", True, "v1alpha3", False)
        assert new["schema"] == old["schema"]


OWN_MIGRATION_FIELDS = {
    "sourcePodUID",
    "targetPodUID",
    "sourceAddress",
    "sourceCertificateAuthority",
    "targetCertificateAuthority",
    "sourceDisks[]",
    "sourceSwitched",
    "progress.remainingBytes",
    "progress.expectedEnd",
}


@pytest.mark.parametrize("definition", [crds.virtual_machine_instances(), crds.virtual_machine_instance_migrations()])
def test_what_both_sides_of_a_migration_write_for_each_other_is_kept(definition: dict[str, Any]) -> None:
    paths = {path for path, _ in nodes(definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"])}
    assert {f".status.migrationState.{field}" for field in OWN_MIGRATION_FIELDS} <= paths


def test_migrations_are_listed_with_phase_machine_and_nodes() -> None:
    version = crds.virtual_machine_instance_migrations()["spec"]["versions"][0]
    assert version["subresources"] == {"status": {}}
    columns = version["additionalPrinterColumns"]
    assert [column["name"] for column in columns] == ["Phase", "VMI", "Source", "Target", "Age"]
    paths = {column["name"]: column["jsonPath"] for column in columns}
    assert paths["Source"] == ".status.migrationState.sourceNode"
    assert paths["Target"] == ".status.migrationState.targetNode"
    assert crds.migration_policies()["spec"]["scope"] == "Cluster"


def test_a_replica_set_can_be_scaled_although_its_manifest_names_no_number() -> None:
    for version in crds.virtual_machine_instance_replica_sets()["spec"]["versions"]:
        assert version["subresources"]["scale"] == {
            "specReplicasPath": ".spec.replicas",
            "statusReplicasPath": ".status.replicas",
            "labelSelectorPath": ".status.labelSelector",
        }
        assert version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["replicas"]["default"] == 1
        columns = [column["name"] for column in version["additionalPrinterColumns"]]
        assert columns == ["Desired", "Current", "Ready", "Age"]  # the API server adds Name


def test_vmi_has_no_status_subresource_and_kubevirt_keeps_its_upgrade_state() -> None:
    assert "subresources" not in crds.virtual_machine_instances()["spec"]["versions"][0]
    version = crds.kubevirts()["spec"]["versions"][0]
    assert version["subresources"] == {"status": {}}
    upgrade = version["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]["upgrade"]
    assert upgrade == {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def test_an_instance_type_without_cpus_or_memory_is_refused_by_the_schema() -> None:
    for definition in crds.instancetypes()[:2]:
        schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        spec = schema["properties"]["spec"]
        assert schema["required"] == ["spec"]
        assert spec["required"] == ["cpu", "memory"]
        assert [spec["properties"][part]["required"] for part in ("cpu", "memory")] == [["guest"], ["guest"]]


def test_instance_types_and_preferences_are_named_as_in_kubevirt() -> None:
    found = {
        body["metadata"]["name"]: (
            body["spec"]["scope"],
            body["spec"]["names"]["shortNames"],
            "categories" in body["spec"]["names"],
        )
        for body in crds.instancetypes()
    }
    group = "instancetype.kubevirt.io"
    assert found == {
        f"virtualmachineinstancetypes.{group}": (
            "Namespaced",
            ["vminstancetype", "vminstancetypes", "vmf", "vmfs"],
            True,
        ),
        f"virtualmachineclusterinstancetypes.{group}": (
            "Cluster",
            ["vmclusterinstancetype", "vmclusterinstancetypes", "vmcf", "vmcfs"],
            False,
        ),
        f"virtualmachinepreferences.{group}": ("Namespaced", ["vmpref", "vmprefs", "vmp", "vmps"], True),
        f"virtualmachineclusterpreferences.{group}": ("Cluster", ["vmcp", "vmcps"], False),
    }


def test_recursion_ends_in_an_unchecked_object() -> None:
    schema = type_schema("v1.Tree", {"v1.Tree": {"name": "string!", "below": "[]v1.Tree"}})
    assert schema["required"] == ["name"]
    assert schema["properties"]["below"]["items"]["x-kubernetes-preserve-unknown-fields"]


@pytest.mark.parametrize("line", ["v1.Missing", "[]string list=sorted", "string list=set"])
def test_a_bad_table_is_refused_by_field(line: str) -> None:
    with pytest.raises(BadFieldTable, match=r"v1\.A"):
        type_schema("v1.A", {"v1.A": {"field": line}})
