"""A target's launcher behind a masquerade is reachable for the source of a migration, as long as the guest arrives."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address

import pytest
from virt_core.objects.kubevirt import Configuration
from virt_core.vmi.accepted import accept
from virt_handler.network.execute import prepare, read_pod_network
from virt_handler.network.namespace import run_inside
from virt_handler.network.plan import NetworkPlan, PodNetwork, network_plan
from virt_handler.network.rules import BRIDGE, IncomingMigration

from tests.integration.handler.pod import Pod, ip
from tests.integration.handler.talk import connected, say

SOURCE, STRANGER = "10.99.0.1", "10.99.0.3"
SPEC = accept({"domain": {"devices": {}, "memory": {"guest": "64Mi"}}}, Configuration())


def planned(found: PodNetwork, incoming: IncomingMigration | None) -> NetworkPlan:
    plan = network_plan(found, SPEC, queues=False, moving=incoming)
    assert plan is not None
    return plan


@pytest.fixture
def guest(pod: Pod) -> Iterator[str]:
    """Another namespace on the pod's bridge, with the guest's address."""
    guest = f"{pod.name}-g"
    ip("netns", "add", guest)
    ip("-n", pod.outside, "address", "add", f"{STRANGER}/24", "dev", "eth0")
    try:
        yield guest
    finally:
        ip("netns", "delete", guest)


async def test_the_source_reaches_the_launcher_and_others_the_guest_until_the_guest_has_arrived(
    pod: Pod, guest: str
) -> None:
    found = await run_inside(pod.fd, read_pod_network)
    arriving = planned(found, IncomingMigration(IPv4Address(SOURCE)))
    await run_inside(pod.fd, lambda: prepare(arriving))
    pod.ip("link", "add", "port", "type", "veth", "peer", "name", "eth0", "netns", guest)
    pod.ip("link", "set", "port", "master", BRIDGE, "up")
    ip("-n", guest, "address", "add", "10.0.2.2/24", "dev", "eth0")
    ip("-n", guest, "link", "set", "eth0", "up")
    ip("-n", guest, "route", "add", "default", "via", "10.0.2.1")
    with connected(guest, pod.outside, STRANGER, 16514) as stranger, connected(guest, pod.outside, SOURCE, 80) as user:
        assert say(stranger) == "hello" and say(user) == "hello"
    with connected(pod.name, pod.outside, SOURCE, 49152) as source:
        assert say(source) == "hello"
        await run_inside(pod.fd, lambda: prepare(planned(found, None)))
        assert say(source) == "hello"  # a connection that exists goes on
    with connected(guest, pod.outside, SOURCE, 49153) as user:
        assert say(user) == "hello"
