"""A pod whose guest has migrated passes clients on to the guest's new pod, and resets the connections of old ones."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address

import pytest
from virt_core.objects.kubevirt import Configuration
from virt_core.vmi.accepted import accept
from virt_handler.network.execute import prepare, read_pod_network
from virt_handler.network.namespace import run_inside
from virt_handler.network.plan import NetworkPlan, network_plan
from virt_handler.network.rules import BRIDGE, DepartedGuest

from tests.integration.handler.pod import Pod, ip
from tests.integration.handler.talk import calling, connected, line, listening, running, say

CLIENT, POD, TARGET = "10.99.0.1", "10.99.0.2", "10.98.0.2"
GUEST_MAC = "02:00:00:00:00:99"
SPEC = accept({"domain": {"devices": {}, "memory": {"guest": "64Mi"}}}, Configuration())
DEPARTED = DepartedGuest(IPv4Address(TARGET))

# Writes a line for each TCP packet to the port that reaches the card, and answers none.
_SNIFFER = """
import socket, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
print("sniffing", flush=True)
while True:
    packet = s.recv(2048)
    if packet[9] == socket.IPPROTO_TCP and int.from_bytes(packet[22:24]) == int(sys.argv[1]):
        print("seen", flush=True)
"""
# Sends a datagram for each line, from one port, and writes who has got it.
_ASKS = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(60)
for line in sys.stdin:
    s.sendto(line.encode(), ("10.99.0.2", 53))
    print(s.recv(100).decode(), flush=True)
"""
_ANSWERS = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("0.0.0.0", 53))
print("listening", flush=True)
while True:
    s.sendto(sys.argv[1].encode(), s.recvfrom(100)[1])
"""


async def become(pod: Pod, departed: DepartedGuest | None) -> None:
    """The rules that the handler loads."""
    found = await run_inside(pod.fd, read_pod_network)
    plan = network_plan(found, SPEC, queues=False, moving=departed)
    assert isinstance(plan, NetworkPlan)
    await run_inside(pod.fd, lambda: prepare(plan))


def rules(pod: Pod) -> str:
    command = ["ip", "netns", "exec", pod.name, "nft", "list", "ruleset"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def target(pod: Pod) -> Iterator[str]:
    """The namespace of another pod behind the same router, which is the client's namespace, too."""
    name = f"{pod.name}-t"
    ip("netns", "add", name)
    try:
        ip("-n", pod.outside, "link", "add", "other", "type", "veth", "peer", "name", "eth0", "netns", name)
        for namespace, card, address in ((pod.outside, "other", "10.98.0.1/24"), (name, "eth0", f"{TARGET}/24")):
            ip("-n", namespace, "address", "add", address, "dev", card)
            ip("-n", namespace, "link", "set", card, "up")
        ip("-n", name, "route", "add", "default", "via", "10.98.0.1")
        pod.ip("route", "add", "default", "via", CLIENT)
        ip("netns", "exec", pod.outside, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
        yield name
    finally:
        ip("netns", "delete", name)


@contextmanager
def guest(pod: Pod, *, answers: bool = True) -> Iterator[str]:
    """A namespace on the pod's bridge with the guest's address, or one that is silent like a guest that is stopped."""
    name = f"{pod.name}-g"
    ip("netns", "add", name)
    try:
        pod.ip("link", "add", "port", "type", "veth", "peer", "name", "eth0", "address", GUEST_MAC, "netns", name)
        pod.ip("link", "set", "port", "master", BRIDGE, "up")
        pod.ip("neighbour", "replace", "10.0.2.2", "lladdr", GUEST_MAC, "dev", BRIDGE)
        ip("-n", name, "link", "set", "eth0", "up")
        if answers:
            ip("-n", name, "address", "add", "10.0.2.2/24", "dev", "eth0")
            ip("-n", name, "route", "add", "default", "via", "10.0.2.1")
        yield name
    finally:
        ip("netns", "delete", name)


async def test_a_new_connection_is_answered_by_the_target_and_an_old_one_is_reset(pod: Pod, target: str) -> None:
    await become(pod, None)
    with guest(pod) as here, connected(here, pod.outside, CLIENT, 80) as old:
        assert say(old) == "hello"
        await become(pod, DEPARTED)
        with connected(target, pod.outside, CLIENT, 80, seen_as=POD) as new:
            assert say(old) == "ConnectionResetError"
            assert say(new) == "hello"
            await become(pod, DEPARTED)  # as another handler does
            assert say(new) == "hello"


async def test_a_syn_that_the_guest_has_not_answered_is_answered_when_it_is_repeated(pod: Pod, target: str) -> None:
    await become(pod, None)
    with guest(pod, answers=False) as here, running(here, _SNIFFER, "80") as sniffer, listening(target, 80) as server:
        assert line(sniffer) == "sniffing"
        with calling(pod.outside, CLIENT, POD, 80) as client:
            assert line(sniffer) == "seen"
            await become(pod, DEPARTED)
            assert say(client) == "hello"
            assert line(server) == POD


async def test_datagrams_from_a_port_that_was_used_before_reach_the_target(pod: Pod, target: str) -> None:
    await become(pod, None)
    with guest(pod) as here, running(here, _ANSWERS, "guest") as old, running(target, _ANSWERS, "target") as new:
        assert line(old) == line(new) == "listening"
        with running(pod.outside, _ASKS) as client:
            assert say(client) == "guest"
            await become(pod, DEPARTED)
            assert say(client) == "target"


async def test_the_launchers_own_connections_with_the_target_go_on(pod: Pod, target: str) -> None:
    with (
        connected(target, pod.name, POD, 16514, address=TARGET) as sends,
        connected(pod.name, target, TARGET, 80) as gets,
    ):
        assert say(sends) == say(gets) == "hello"
        await become(pod, DEPARTED)
        assert say(gets) == say(sends) == "hello"
    with connected(target, pod.name, POD, 16514, address=TARGET) as launcher:
        assert say(launcher) == "hello"


async def test_no_client_reaches_the_targets_launcher_in_the_sources_name(pod: Pod, target: str) -> None:
    await become(pod, DEPARTED)
    with listening(target, 16514), calling(pod.outside, CLIENT, POD, 16514) as client:
        assert client.stdin is not None
        client.stdin.close()
        assert line(client) == "ConnectionRefusedError"


async def test_nothing_is_left_when_the_ordinary_rules_return(pod: Pod, target: str) -> None:
    await become(pod, None)
    ordinary = rules(pod)
    await become(pod, DEPARTED)
    assert TARGET in rules(pod)
    with connected(target, pod.outside, CLIENT, 80, seen_as=POD) as client:
        assert say(client) == "hello"
    await become(pod, None)
    assert rules(pod) == ordinary
    with guest(pod) as here, connected(here, pod.outside, CLIENT, 80) as client:
        assert say(client) == "hello"
