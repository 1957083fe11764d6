"""What Prometheus sees of a guest, through the pods' own ports."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.e2e.cluster import NAMESPACE, get, kubectl, until
from tests.e2e.guests import Guest, manifest, running

NAME = "measured"
pytestmark = pytest.mark.parallel
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture(scope="module")
def guest(suite: None) -> Iterator[Guest]:
    with running(manifest(NAME)) as (only,):
        yield only


def samples(component: str, node: str = "") -> Samples:
    """Of all ready pods of a component, or of the one on a node."""
    found: Samples = {}
    for pod in get("pods", "-n", NAMESPACE, "-l", f"kubevirt.io={component}")["items"]:
        if node and pod["spec"]["nodeName"] != node:
            continue
        path = f"/api/v1/namespaces/{NAMESPACE}/pods/https:{pod['metadata']['name']}:8443/proxy/metrics"
        for line in kubectl("get", "--raw", path).splitlines():
            if not line.startswith("#"):
                head, value = line.rsplit(" ", 1)
                name, _, rest = head.partition("{")
                labels = frozenset(re.findall(r'(\w+)="([^"]*)"', rest))
                found[name.removeprefix("kubevirt_vmi_"), labels] = float(value)
    return found


def used(node: str, name: str) -> float:
    """A number of what the guest uses; -1 while it is not shown."""
    mine, found = {("name", NAME), ("namespace", "default")}, samples("virt-handler", node)
    return next((value for (metric, labels), value in found.items() if metric == name and mine <= labels), -1.0)


def test_the_handler_shows_what_a_guest_uses(guest: Guest) -> None:
    node = guest.vmi["status"]["nodeName"]
    # A busy launcher may be too slow for an answer, which is then without its guest.
    until(lambda: used(node, "cpu_usage_seconds_total") > 0, "the guest's CPU time")
    until(lambda: used(node, "memory_domain_bytes") == 128 << 20, "the guest's memory")
    until(lambda: 0 < used(node, "memory_resident_bytes") < 2 << 30, "what QEMU has of the machine's memory")
    until(lambda: used(node, "vcpu_seconds_total") > 0, "the time of its processor")


def test_what_a_guest_receives_is_not_what_it_transmits(guest: Guest) -> None:
    node = guest.vmi["status"]["nodeName"]
    until(lambda: used(node, "network_receive_bytes_total") >= 0, "the guest's network")
    before = {way: used(node, f"network_{way}_bytes_total") for way in ("receive", "transmit")}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)

        def received() -> bool:
            # A few at a time: a tap device drops what its guest has not taken (1,000 packets wait at most).
            for _ in range(200):
                with suppress(BlockingIOError):
                    sender.sendto(bytes(1000), (guest.address, 9))
            return used(node, "network_receive_bytes_total") - before["receive"] > 1_000_000

        until(received, "what was sent")
    assert used(node, "network_transmit_bytes_total") - before["transmit"] < 1_000_000


def test_the_leader_describes_the_guest(guest: Guest) -> None:
    pod = guest.pod["metadata"]["name"]

    def described() -> bool:
        infos = [dict(labels) for name, labels in samples("virt-controller") if name == "info"]
        return any(
            info.get("name") == NAME and info.get("phase") == "running" and info.get("vmi_pod") == pod for info in infos
        )

    until(described, "kubevirt_vmi_info")
