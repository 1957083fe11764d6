"""The machines that the README shows are what the rules let through."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from virt_core.objects.kubevirt import Configuration
from virt_core.vmi.instance import parse_spec
from virt_core.vmi.rules.check import check_spec

README = (Path(__file__).parents[3] / "README.md").read_text()
MACHINES = [yaml.safe_load(text) for text in re.findall(r"(?ms)^```yaml\n(.*?)^```$", README)]


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: str(machine["metadata"]["name"]))
def test_a_machine_of_the_readme_is_supported(machine: dict[str, Any]) -> None:
    assert machine["kind"] == "VirtualMachineInstance"
    check_spec(parse_spec(msgspec.Raw(msgspec.json.encode(machine["spec"]))), Configuration())


def test_the_readme_shows_one() -> None:
    assert MACHINES
