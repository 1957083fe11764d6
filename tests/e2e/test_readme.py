"""The README's first VM: its commands as they are written, with a small guest's image and name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import documented
from tests.e2e.cluster import ROOT, apply, get, kubectl, until
from tests.e2e.guests import image
from tests.e2e.migrations import migration, phase
from tests.support import documentation
from tests.support.patience import PATIENCE

pytestmark = pytest.mark.parallel

NAME = "readme-vm"
INTERACTIVE = ("virtctl console", "virtctl ssh")  # test_virtctl.py types on them


def commands() -> list[str]:
    """Of the section, each with its continuation lines, for the small guest."""
    section = documentation.section((ROOT / "README.md").read_text(), "Your first VM")
    small = image("guest-disk")
    return [documentation.for_a_test(command, NAME, small) for command in documentation.commands(section)]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The reader's environment; what the commands made is deleted."""
    try:
        yield documented.home(tmp_path)
    finally:
        kubectl("delete", "vm,service", NAME, "--ignore-not-found", "--wait", "--timeout=180s")


def printable() -> str:
    """The VirtualMachine's status, as `kubectl get` prints it."""
    return str(get("vm", NAME).get("status", {}).get("printableStatus"))


def fail_a_migration() -> None:
    """An earlier one, which the README's command must not wait for."""
    soon = {"kubevirt.io/migrationUnschedulablePodTimeoutSeconds": "1"}
    apply(migration(f"{NAME}-earlier", NAME, soon, addedNodeSelector={"example.com/node": "nowhere"}))
    until(lambda: phase(f"{NAME}-earlier") == "Failed", "an earlier migration to fail", PATIENCE)


def test_the_commands_of_the_first_vm_do_what_they_promise(home: dict[str, str]) -> None:
    expected = {"restart": "Running", "stop": "", "start": "Running"}  # a command of the README waits for the stop
    written = commands()
    assert [command.split()[1] for command in written if command.startswith("virtctl")][-3:] == list(expected)
    for command in written:
        if command.startswith(INTERACTIVE):
            continue
        if command.startswith("virtctl migrate"):
            fail_a_migration()
        documented.run(command, home, Path(home["HOME"]))
        status = expected.get(command.split()[1])
        if status:
            until(lambda status=status: printable() == status, f"{status} after {command}", PATIENCE)  # type: ignore[misc]
    assert get("service", NAME)["spec"]["selector"]
