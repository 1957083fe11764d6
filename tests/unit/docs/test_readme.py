"""README and docs/ match this tree: the example machines, and the tables of supported fields."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from virt_core.instancetype.spec import InstancetypeSpec, PreferenceSpec
from virt_core.objects.kubevirt import Configuration
from virt_core.validation.strict import Strict
from virt_core.vmi.accepted import accept
from virt_operator.change.steps import BACKWARD, FORWARD
from virt_operator.packaging.supported import complete, known_paths, supported_paths, with_summary

ROOT = Path(__file__).parents[3]
PAGES = (ROOT / "README.md", ROOT / "ARCHITECTURE.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))
README = (ROOT / "README.md").read_text()
MACHINES = [yaml.safe_load(text) for text in re.findall(r"(?ms)^```yaml\n(.*?)^```$", README)]


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: str(machine["metadata"]["name"]))
def test_a_machine_of_the_readme_is_supported(machine: dict[str, Any]) -> None:
    assert machine["kind"] == "VirtualMachine"
    accept(machine["spec"]["template"]["spec"], Configuration())


def test_the_readme_shows_one() -> None:
    assert MACHINES


def test_the_tables_of_what_is_supported_are_those_of_the_code() -> None:
    assert with_summary(README) == README, "run `make supported`"
    assert (ROOT / "docs" / "supported.md").read_text() == complete(), "run `make supported`"


def test_a_supported_field_is_in_the_table_and_a_refused_one_is_not() -> None:
    supported = supported_paths()
    assert "volumes[].containerDisk" in supported
    assert "volumes[].sysprep" in known_paths()
    assert "volumes[].sysprep" not in supported


@pytest.mark.parametrize(
    ("root", "spec"),
    [
        ("v1beta1.VirtualMachineInstancetypeSpec", InstancetypeSpec),
        ("v1beta1.VirtualMachinePreferenceSpec", PreferenceSpec),
    ],
)
def test_every_supported_field_is_one_of_kubevirts(root: str, spec: type[Strict]) -> None:
    assert {path.removesuffix("[]") for path in supported_paths(spec)} <= set(known_paths(root))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_that_exist(page: Path) -> None:
    links = re.findall(r"\]\((?!https?://)([^)#]*)(#[^)]*)?\)", page.read_text())
    missing = [link for link, _ in links if link and not (page.parent / link).exists()]
    assert not missing


def test_the_steps_of_the_architecture_are_those_of_the_code() -> None:
    _, _, section = (ROOT / "ARCHITECTURE.md").read_text().partition("## From one release to another")
    cells = re.findall(r"(?m)^\| ([A-Za-z, -]+) \|", section.partition("\n## ")[0])
    written = [name for cell in cells[1:] for name in cell.split(", ")]
    forward, backward = (list(dict.fromkeys(step.name for step in steps)) for steps in (FORWARD, BACKWARD))
    assert [name for name in written if name in forward] == forward
    reverse = {"virt-handler": "virt-api", "virt-api": "virt-handler"}
    assert [reverse.get(name, name) for name in written if name in backward] == backward
