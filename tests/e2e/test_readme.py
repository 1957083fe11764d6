"""The README's first VM: its commands as they are written, with a small guest's image and name."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from localcluster import clients
from localcluster.settings import Cluster

from tests.e2e.cluster import ROOT, apply, get, kubectl, until
from tests.e2e.guests import image
from tests.e2e.migrations import migration, phase

pytestmark = pytest.mark.parallel

NAME = "readme-vm"
INTERACTIVE = ("virtctl console", "virtctl ssh")  # test_virtctl.py types on them
PATIENCE_SECONDS = 90.0


def commands() -> list[str]:
    """Of the section, each with its continuation lines, for the small guest."""
    section = (ROOT / "README.md").read_text().partition("## Your first VM")[2].partition("\n## ")[0]
    block = "\n".join(line[4:] for line in section.splitlines() if line.startswith("    ") and "virtctl" in section)
    found = re.findall(r"(?m)^(?:virtctl|kubectl) (?:.*\\\n)*.*$", block)
    small = [command.replace("registry.example.com/debian:13", image("guest-disk")) for command in found]
    return [re.sub(r"\bada\b", NAME, command.replace("1Gi", "128Mi")) for command in small]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[dict[str, str]]:
    """An environment with a key of its own and virtctl on its PATH; what the commands made is deleted."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "virtctl").symlink_to(clients.ensure(clients.VIRTCTL, Cluster.load()))
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "id_ed25519.pub").write_text("ssh-ed25519 AAAA of-the-readme\n")
    try:
        yield {**os.environ, "HOME": str(tmp_path), "PATH": f"{programs}:{os.environ['PATH']}"}
    finally:
        kubectl("delete", "vm,service", NAME, "--ignore-not-found", "--wait", "--timeout=90s")


def printable() -> str:
    """The VirtualMachine's status, as `kubectl get` prints it."""
    return str(get("vm", NAME).get("status", {}).get("printableStatus"))


def fail_a_migration() -> None:
    """An earlier one, which the README's command must not wait for."""
    soon = {"kubevirt.io/migrationUnschedulablePodTimeoutSeconds": "1"}
    apply(migration(f"{NAME}-earlier", NAME, soon, addedNodeSelector={"example.com/node": "nowhere"}))
    until(lambda: phase(f"{NAME}-earlier") == "Failed", "an earlier migration to fail", PATIENCE_SECONDS)


def test_the_commands_of_the_first_vm_do_what_they_promise(home: dict[str, str]) -> None:
    expected = {"restart": "Running", "stop": "", "start": "Running"}  # a command of the README waits for the stop
    written = commands()
    assert [command.split()[1] for command in written if command.startswith("virtctl")][-3:] == list(expected)
    for command in written:
        if command.startswith(INTERACTIVE):
            continue
        if command.startswith("virtctl migrate"):
            fail_a_migration()
        bash = ["bash", "-euo", "pipefail", "-c", command]
        done = subprocess.run(bash, env=home, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        status = expected.get(command.split()[1])
        if status:
            until(lambda status=status: printable() == status, f"{status} after {command}", PATIENCE_SECONDS)  # type: ignore[misc]
    assert get("service", NAME)["spec"]["selector"]
