"""`kubectl explain` says something of each field that is supported."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from virt_core.instancetype.spec import InstancetypeSpec, PreferenceSpec
from virt_core.objects.field_table import field_descriptions, field_table
from virt_operator.packaging.supported import supported_paths
from virt_operator.strategy import crds
from virt_operator.strategy.install_strategy import to_config_map
from virt_operator.suite.spec import SUPPORTED

from .preflight_cluster import INSTALLED
from .suites import INSTALL

OURS = frozenset({"upgradeStrategy"})
"""Fields that KubeVirt does not have: crds.py describes them."""

ROOTS = {
    "v1.VirtualMachineInstanceSpec": supported_paths(),
    "v1beta1.VirtualMachineInstancetypeSpec": supported_paths(InstancetypeSpec),
    "v1beta1.VirtualMachinePreferenceSpec": supported_paths(PreferenceSpec),
    "v1.KubeVirtSpec": sorted(SUPPORTED - OURS),
}


def fields_of(kind: str, path: str) -> Iterator[tuple[str, str]]:
    """The type and the name of each field on the path, as far as it is in KubeVirt's types."""
    for part in path.split("."):
        name = part.replace("[]", "")
        if kind not in field_table():
            return
        yield kind, name
        kind = field_table()[kind][name].split()[0].rstrip("!").removesuffix("|null").replace("[]", "")


@pytest.mark.parametrize("root", ROOTS)
def test_each_supported_field_has_a_description(root: str) -> None:
    lacking = {
        f"{kind}.{field}"
        for path in ROOTS[root]
        for kind, field in fields_of(root, path)
        if field not in field_descriptions().get(kind, {})
    }
    assert not lacking, "write them into field_descriptions.json"


def test_descriptions_are_short_sentences_about_fields_that_exist() -> None:
    for kind, fields in field_descriptions().items():
        assert fields.keys() <= {"", *field_table()[kind]}, kind
        for field, text in fields.items():
            assert text.endswith(".") and len(text) <= 120 and text.isprintable(), f"{kind}.{field}"


def explained(schema: dict[str, Any], *path: str) -> str:
    for part in path:
        schema = schema["properties"][part]
        schema = schema.get("items", schema) if part != path[-1] else schema
    return str(schema["description"])


def schema_of(definition: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return found


DEFINITIONS = (
    crds.virtual_machine_instances(),
    crds.virtual_machines(),
    crds.virtual_machine_instance_replica_sets(),
    crds.virtual_machine_instance_migrations(),
    crds.migration_policies(),
    crds.kubevirts(),
    *crds.instancetypes(),
)


def test_definitions_explain_their_fields_at_each_depth() -> None:
    machine, suite = schema_of(crds.virtual_machines()), schema_of(crds.kubevirts())
    assert all("description" in schema_of(definition) for definition in DEFINITIONS)
    assert explained(machine, "spec", "runStrategy").startswith("When a guest runs: Always")
    cores = explained(machine, "spec", "template", "spec", "domain", "cpu", "cores")
    assert cores == explained(schema_of(crds.virtual_machine_instances()), "spec", "domain", "cpu", "cores")
    assert "virtio, sata" in explained(machine, "spec", "template", "spec", "domain", "devices", "disks", "disk", "bus")
    assert explained(suite, "spec", "imageTag") and explained(suite, "spec", "upgradeStrategy", "canary")


def test_definitions_fit_into_annotations_and_the_strategy_into_its_config_map() -> None:
    assert max(len(json.dumps(definition)) for definition in DEFINITIONS) < 256 * 1024 // 2
    assert len(json.dumps(to_config_map(INSTALLED, INSTALL))) < 1024 * 1024 // 4
