"""What `make check` refuses: each change of protos and CRDs that breaks a peer of the newest recorded release."""

from __future__ import annotations

import shutil
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from localcluster.releases import crds, protos, recorded, tree
from localcluster.settings import PROJECT_ROOT

from tests.contract.contract_mutations import CRDS, FEATURE, MACHINE, PROTOS, VMIS, Change, Edit, schema

pytestmark = pytest.mark.exhaustive


@pytest.fixture(scope="module")
def released() -> Path:
    """The tree of the newest recorded release."""
    return tree.ensure(recorded.releases()[-1])


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """This tree's protos."""
    source, folder = PROJECT_ROOT / "protos", tmp_path / "protos"
    for path in [source / "buf.yaml", *source.rglob("*.proto")]:
        (folder / path.relative_to(source)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder / path.relative_to(source))
    return folder


def test_thirty_mutations_and_more_are_tried() -> None:
    assert len(PROTOS) >= 30 and len(CRDS) >= 15
    assert len({mutation.name for mutation in PROTOS}) == len(PROTOS)


@pytest.mark.parametrize("mutation", PROTOS, ids=lambda mutation: mutation.name)
def test_a_mutation_of_the_protos_is_refused(mutation: Edit, copy: Path, released: Path) -> None:
    mutation.apply(copy)
    found = protos.problems(released / "protos", copy)
    assert any(mutation.refusal in problem for problem in found), found


def test_protos_may_grow(copy: Path, released: Path) -> None:
    assert protos.problems(released / "protos", copy) == []
    named = FEATURE.replace("access-credentials", "growth")
    value = named.replace("feature", "value_feature")
    growth = {
        "  bool balloon = 22;\n": f"  bool balloon = 22;\n  Grown grown = 900 {named};\n",
        "  BOOTLOADER_UEFI = 3;\n": f"  BOOTLOADER_UEFI = 3;\n  BOOTLOADER_COREBOOT = 4 {value};\n",
        "// Bootloader is": "// Grown is new.\nmessage Grown {\n  string text = 1;\n}\n// Bootloader is",
    }
    Edit("growth", MACHINE, growth, "").apply(copy)
    assert protos.problems(released / "protos", copy) == []


def test_protos_that_do_not_compile_are_refused_with_the_place(copy: Path, released: Path) -> None:
    Edit("broken", MACHINE, {"uint64 memory_bytes = 7;": "uint64 memory_bytes;"}, "").apply(copy)
    assert any("machine.proto:" in problem for problem in protos.problems(released / "protos", copy))


@pytest.fixture(scope="module")
def definitions() -> list[dict[str, Any]]:
    """This tree's CRDs."""
    return crds.of_tree(PROJECT_ROOT)


@pytest.fixture(scope="module")
def released_definitions(released: Path) -> list[dict[str, Any]]:
    return crds.of_tree(released)


def changed(definitions: list[dict[str, Any]], change: Change) -> list[dict[str, Any]]:
    specs = {body["metadata"]["name"]: deepcopy(body["spec"]) for body in definitions}
    change.apply(specs)
    return [{"metadata": {"name": name}, "spec": spec} for name, spec in specs.items()]


@pytest.mark.parametrize("mutation", CRDS, ids=lambda mutation: mutation.name)
def test_a_mutation_of_the_crds_is_refused(
    mutation: Change, definitions: list[dict[str, Any]], released_definitions: list[dict[str, Any]]
) -> None:
    found = crds.problems(released_definitions, changed(definitions, mutation))
    assert any(mutation.refusal in problem for problem in found), found


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ({"enum": ["a", "b"]}, {"enum": ["a"]}, ".: enum lacks b"),
        ({"enum": ["a"]}, {"enum": ["a", "b"]}, ""),
        ({"enum": ["a"]}, {}, ""),
        ({"default": 1}, {"default": 2}, ".: default was 1 and is 2"),
        ({"default": 1}, {}, ".: default was 1 and is None"),
        ({}, {"default": 1}, ""),
        ({"maximum": 5}, {"maximum": 4}, ".: maximum was 5 and is 4"),
        ({"maximum": 5}, {"maximum": 6}, ""),
        ({"minLength": 1}, {"minLength": 2}, ".: minLength was 1 and is 2"),
        ({"minLength": 1}, {}, ""),
        ({"nullable": True}, {}, ".: nullable is removed"),
        ({"required": ["a"]}, {"required": []}, ""),
        ({"items": {"type": "string"}}, {"items": {"type": "integer"}}, "[]: type was string and is integer"),
        ({"additionalProperties": True}, {}, "{}: additionalProperties is removed or narrowed"),
        ({"x-kubernetes-preserve-unknown-fields": True}, {"properties": {"a": {"type": "string"}}}, "removed"),
        ({"description": "old"}, {"description": "new"}, ""),
    ],
)
def test_a_schema_may_be_widened_only(old: dict[str, Any], new: dict[str, Any], problem: str) -> None:
    found = list(crds.narrowed("", old, new))
    assert (not found) if not problem else any(problem in text for text in found), found


def test_crds_may_grow(definitions: list[dict[str, Any]], released_definitions: list[dict[str, Any]]) -> None:
    def grow(specs: dict[str, dict[str, Any]]) -> None:
        schema(specs, VMIS, "spec")["properties"]["note"] = {"type": "string", "enum": ["a"]}
        specs["machines.example.com"] = specs[VMIS]

    assert crds.problems(released_definitions, changed(definitions, Change("growth", grow, ""))) == []
