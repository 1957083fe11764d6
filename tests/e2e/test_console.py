"""A guest on each node, reached through the aggregated API as virtctl does it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from localcluster.console import Console

from tests.e2e.cluster import get, kubectl, nodes, until, wait
from tests.e2e.guest_shell import Shell
from tests.e2e.guests import Guest
from tests.support.patience import PATIENCE

pytestmark = pytest.mark.parallel

KUBECONFIG = Path(os.environ.get("KUBECONFIG", ""))


def test_each_guest_runs_on_its_node(guests: list[Guest]) -> None:
    assert [guest.vmi["status"]["nodeName"] for guest in guests] == nodes()
    for guest in guests:
        wait("vmi", guest.name, "condition=Ready")
        until(lambda guest=guest: shown_address(guest) == guest.address, f"the address of {guest.name}")  # type: ignore[misc]


def shown_address(guest: Guest) -> str:
    """As the object has it."""
    interfaces = guest.vmi["status"].get("interfaces") or [{}]
    return str(interfaces[0].get("ipAddress"))


@pytest.mark.parametrize("version", ["v1", "v1alpha3"])
def test_discovery_names_the_console(version: str) -> None:
    resources = kubectl("get", "--raw", f"/apis/subresources.kubevirt.io/{version}")
    assert '"virtualmachineinstances/console"' in resources
    assert '"gitVersion"' in kubectl("get", "--raw", f"/apis/subresources.kubevirt.io/{version}/version")
    assert '"ok"' in kubectl("get", "--raw", f"/apis/subresources.kubevirt.io/{version}/healthz")


@pytest.mark.parametrize("number", [0, 1])
async def test_console_carries_bytes_both_ways(guests: list[Guest], number: int) -> None:
    async with Console.open(KUBECONFIG, "default", guests[number].name) as console:
        await console.send(b"\n")
        await console.read_until(b"ready # ", PATIENCE)
        await console.send(b"echo $((6*7))-answer\n")
        await console.read_until(b"42-answer", PATIENCE)


async def test_a_guest_reaches_beyond_its_pod(guests: list[Guest]) -> None:
    service = get("service", "kubernetes")["spec"]["clusterIP"]
    async with Shell.of(guests[0]) as shell:
        # Again and again: a packet may be lost, and a busy guest is slow to take an answer.
        await shell.run(f"until nc -w 5 {service} 443 </dev/null; do sleep 1; done")
        await shell.run("until nslookup kubernetes.default.svc.cluster.local; do sleep 1; done")


def test_a_console_that_cannot_be_opened_reports_why() -> None:
    path = "/apis/subresources.kubevirt.io/v1/namespaces/default/virtualmachineinstances/nobody/console"
    with pytest.raises(AssertionError, match="nobody"):
        kubectl("get", "--raw", path)
