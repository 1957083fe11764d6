"""A VirtualMachine moves as its user asks with KubeVirt's own virtctl, or is deleted while it moves."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from localcluster import clients
from localcluster.settings import Cluster

from tests.e2e.cluster import get, kubectl, until
from tests.e2e.guests import Guest
from tests.e2e.migrations import ended, migrate, policy, state
from tests.e2e.virtual_machines import another_guest_runs, existing, has, vm_manifest
from tests.support.patience import PATIENCE

pytestmark = pytest.mark.parallel

NAME = "wanderer"
SLOW = {"bandwidthPerMigration": "1Mi"}


@pytest.fixture(scope="module")
def guest(suite: None) -> Iterator[Guest]:
    """The guest of a VirtualMachine that moves if it can."""
    body = vm_manifest(NAME)
    body["spec"]["template"]["metadata"]["labels"]["moves"] = NAME
    body["spec"]["template"]["spec"]["evictionStrategy"] = "LiveMigrateIfPossible"
    with existing(body):
        has(NAME, "Running")
        yield Guest(NAME)


def virtctl(*arguments: str) -> str:
    program: Path = clients.ensure(clients.VIRTCTL, Cluster.load())
    done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def requests() -> list[str]:
    """Names of its migrations, the newest last."""
    found = get("vmim", "-l", f"kubevirt.io/vmi-name={NAME}", "--sort-by=.metadata.creationTimestamp")["items"]
    return [body["metadata"]["name"] for body in found]


def test_virtctl_moves_a_machine_and_takes_the_request_back(guest: Guest) -> None:
    node, uid = guest.vmi["status"]["nodeName"], guest.vmi["metadata"]["uid"]
    with policy(NAME, **SLOW):
        virtctl("migrate", NAME)
        has(NAME, "Migrating")
        until(lambda: "startTimestamp" in state(guest), "the copy to begin")  # before it nothing has to be aborted
    virtctl("migrate-cancel", NAME)
    until(lambda: requests() == [], "the request to go")
    has(NAME, "Running")
    assert state(guest)["abortStatus"] == "Succeeded" and guest.vmi["status"]["nodeName"] == node
    virtctl("migrate", NAME)
    (name,) = requests()
    assert name.startswith("kubevirt-migrate-vm-")
    assert ended(name)["phase"] == "Succeeded"
    assert guest.vmi["status"]["nodeName"] != node and guest.vmi["metadata"]["uid"] == uid
    has(NAME, "Running")


@pytest.mark.slow  # half a minute, and unit tests show what the controllers do
def test_a_machine_whose_guest_is_deleted_while_it_moves_has_another_that_can_move(guest: Guest) -> None:
    uid = guest.vmi["metadata"]["uid"]
    with policy(NAME, **SLOW):
        kubectl("delete", "vmim", "-l", f"kubevirt.io/vmi-name={NAME}", "--ignore-not-found")
        virtctl("migrate", NAME)
        has(NAME, "Migrating")
        kubectl("delete", "vmi", NAME, "--wait=false")
        another_guest_runs(NAME, than=uid)
    until(lambda: guest.condition("LiveMigratable").get("status") == "True", "LiveMigratable")
    assert migrate("wanderer-again", NAME)["phase"] == "Succeeded"
