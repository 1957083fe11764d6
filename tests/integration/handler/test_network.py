"""The guest's network, created for real in a network namespace."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from virt_core.objects.kubevirt import Configuration
from virt_core.vmi.accepted import accept
from virt_handler.network.execute import prepare, read_pod_network
from virt_handler.network.namespace import run_inside
from virt_handler.network.plan import TAP, NetworkPlan, PodNetwork, Route, network_plan, other_mac
from virt_handler.network.rules import BRIDGE

from tests.integration.handler.pod import MTU, Pod, ip


def planned(found: PodNetwork, binding: str = "masquerade", *, queues: bool = False) -> NetworkPlan:
    devices = {"interfaces": [{"name": "default", binding: {}}]}
    networks = [{"name": "default", "pod": {}}]
    spec = accept({"domain": {"devices": devices, "memory": {"guest": "64Mi"}}, "networks": networks}, Configuration())
    plan = network_plan(found, spec, queues=queues)
    assert plan is not None
    return plan


def _state(pod: Pod) -> tuple[object, ...]:
    links = {link["ifname"]: link for link in json.loads(pod.ip("-j", "-d", "link"))}
    kept = ("ifindex", "mtu", "address", "master", "operstate", "flags")
    rules = subprocess.run(
        ["ip", "netns", "exec", pod.name, "nft", "list", "ruleset"], check=True, capture_output=True, text=True
    ).stdout
    addresses = pod.ip("-4", "-o", "address")
    return {name: {key: link.get(key) for key in kept} for name, link in links.items()}, rules, addresses


async def test_the_pods_card_is_read(pod: Pod) -> None:
    pod.ip("route", "add", "default", "via", "10.99.0.1")
    found = await run_inside(pod.fd, read_pod_network)
    (card,) = json.loads(pod.ip("-j", "link", "show", "eth0"))
    assert found == PodNetwork(MTU, ("10.99.0.2",), 24, card["address"], (Route("0.0.0.0/0", "10.99.0.1"),))


async def test_preparing_twice_is_preparing_once_and_leaves_the_process_where_it_was(pod: Pod) -> None:
    before = socket.if_nameindex()
    plan = planned(await run_inside(pod.fd, read_pod_network))
    await run_inside(pod.fd, lambda: prepare(plan))
    once = _state(pod)
    await run_inside(pod.fd, lambda: prepare(plan))
    assert _state(pod) == once
    assert socket.if_nameindex() == before
    links = {link["ifname"]: link for link in json.loads(pod.ip("-j", "-d", "link"))}
    assert (links[TAP]["master"], links[TAP]["mtu"], links[BRIDGE]["mtu"]) == (BRIDGE, MTU, MTU)
    tap = links[TAP]["linkinfo"]["info_data"]
    assert (tap["type"], tap["persist"], int(tap["user"]), int(tap["group"])) == ("tap", True, 107, 107)


async def test_half_of_it_is_completed(pod: Pod) -> None:
    plan = planned(await run_inside(pod.fd, read_pod_network))
    pod.ip("link", "add", BRIDGE, "address", "02:00:00:00:00:00", "type", "bridge")
    pod.ip("tuntap", "add", TAP, "mode", "tap", "user", "107", "group", "107", "vnet_hdr")
    index = json.loads(pod.ip("-j", "link", "show", TAP))[0]["ifindex"]
    await run_inside(pod.fd, lambda: prepare(plan))
    tap = json.loads(pod.ip("-j", "link", "show", TAP))[0]
    assert (tap["ifindex"], tap["master"]) == (index, BRIDGE)


async def test_what_arrives_at_the_pod_reaches_the_guest_and_the_guest_reaches_out(pod: Pod) -> None:
    plan = planned(await run_inside(pod.fd, read_pod_network))
    await run_inside(pod.fd, lambda: prepare(plan))
    guest = f"{pod.name}-g"
    ip("netns", "add", guest)
    try:
        # The guest is another namespace on the bridge: the tap device itself is proved by a real guest elsewhere.
        pod.ip("link", "add", "port", "type", "veth", "peer", "name", "eth0", "netns", guest)
        pod.ip("link", "set", "port", "master", BRIDGE, "up")
        ip("-n", guest, "address", "add", "10.0.2.2/24", "dev", "eth0")
        ip("-n", guest, "link", "set", "eth0", "up")
        ip("-n", guest, "route", "add", "default", "via", "10.0.2.1")
        assert _exchange(server=guest, client=pod.outside, address="10.99.0.2") == "10.99.0.1"
        assert _exchange(server=pod.outside, client=guest, address="10.99.0.1") == "10.99.0.2"
        assert _ping(pod.outside, "10.99.0.2", source="10.99.0.1")
        ip("-n", guest, "address", "add", "10.0.2.77/24", "dev", "eth0")
        assert _ping(guest, "10.99.0.1", source="10.0.2.2")
        assert not _ping(guest, "10.99.0.1", source="10.0.2.77", patience=1)  # not the guest's own address
    finally:
        ip("netns", "delete", guest)


async def test_a_bridged_guest_takes_the_pods_address_and_a_handler_that_comes_later_knows_it(pod: Pod) -> None:
    pod.ip("route", "add", "default", "via", "10.99.0.1")
    found = await run_inside(pod.fd, read_pod_network)
    plan = planned(found, "bridge")
    await run_inside(pod.fd, lambda: prepare(plan))
    once = _state(pod)
    assert await run_inside(pod.fd, read_pod_network) == found
    again = planned(await run_inside(pod.fd, read_pod_network), "bridge")
    await run_inside(pod.fd, lambda: prepare(again))
    assert _state(pod) == once
    (card,) = json.loads(pod.ip("-j", "link", "show", "eth0"))
    assert (card["master"], card["address"]) == (BRIDGE, other_mac(found.mac))
    with bridged_guest(pod, found) as guest:
        assert _exchange(server=guest, client=pod.outside, address="10.99.0.2") == "10.99.0.1"
        assert _exchange(server=pod.outside, client=guest, address="10.99.0.1") == "10.99.0.2"


async def test_a_bridged_guest_reaches_out_first_though_the_node_sends_back_what_it_broadcasts(pod: Pod) -> None:
    # CNI's bridge plugin with hairpinMode, as flannel and others set it.
    ip("-n", pod.outside, "link", "add", "cni0", "type", "bridge")
    ip("-n", pod.outside, "address", "flush", "dev", "eth0")
    ip("-n", pod.outside, "link", "set", "eth0", "master", "cni0")
    ip("-n", pod.outside, "link", "set", "eth0", "type", "bridge_slave", "hairpin", "on")
    ip("-n", pod.outside, "address", "add", "10.99.0.1/24", "dev", "cni0")
    ip("-n", pod.outside, "link", "set", "cni0", "up")
    found = await run_inside(pod.fd, read_pod_network)
    await run_inside(pod.fd, lambda: prepare(planned(found, "bridge")))
    with bridged_guest(pod, found) as guest:
        assert _exchange(server=pod.outside, client=guest, address="10.99.0.1") == "10.99.0.2"


@contextmanager
def bridged_guest(pod: Pod, found: PodNetwork) -> Iterator[str]:
    """Another namespace on the bridge, with what was the pod's."""
    guest = f"{pod.name}-g"
    ip("netns", "add", guest)
    try:
        pod.ip("link", "add", "port", "type", "veth", "peer", "name", "eth0", "netns", guest)
        pod.ip("link", "set", "port", "master", BRIDGE, "up")
        ip("-n", guest, "link", "set", "eth0", "address", found.mac)
        ip("-n", guest, "address", "add", "10.99.0.2/24", "dev", "eth0")
        ip("-n", guest, "link", "set", "eth0", "up")
        yield guest
    finally:
        ip("netns", "delete", guest)


async def test_bridging_that_ended_halfway_is_completed_from_what_was_remembered(pod: Pod) -> None:
    found = await run_inside(pod.fd, read_pod_network)
    plan = planned(found, "bridge")
    await run_inside(pod.fd, lambda: prepare(plan))
    pod.ip("link", "set", "eth0", "nomaster")  # as if the handler had died before the last step
    later = await run_inside(pod.fd, read_pod_network)
    assert later == found
    await run_inside(pod.fd, lambda: prepare(planned(later, "bridge")))
    (card,) = json.loads(pod.ip("-j", "link", "show", "eth0"))
    assert card["master"] == BRIDGE


async def test_a_tap_device_has_several_queues_only_if_they_are_wanted(pod: Pod) -> None:
    plan = planned(await run_inside(pod.fd, read_pod_network), queues=True)
    await run_inside(pod.fd, lambda: prepare(plan))
    (tap,) = json.loads(pod.ip("-j", "-d", "link", "show", TAP))
    assert tap["linkinfo"]["info_data"]["multi_queue"] is True


def _in(namespace: str, *command: str) -> list[str]:
    return ["ip", "netns", "exec", namespace, *command]


_PING = """
import socket, sys
address, source, patience = sys.argv[1:]
with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as s:
    s.bind((source, 0))
    s.settimeout(float(patience))
    header = bytes([8, 0, 0, 0, 0x4B, 0x56, 0, 1])  # echo request, checksum 0, id, sequence
    total = sum(int.from_bytes(header[i:i + 2]) for i in (0, 2, 4, 6))
    s.sendto(header[:2] + (~total & 0xFFFF).to_bytes(2) + header[4:], (address, 0))
    while True:
        packet = s.recv(2048)[20:]
        if packet[0] == 0 and packet[4:] == header[4:]:
            sys.exit(0)
"""


def _ping(namespace: str, address: str, *, source: str, patience: float = 60) -> bool:
    command = _in(namespace, "python3", "-c", _PING, address, source, str(patience))
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


_SERVER = """
import socket
s = socket.create_server(("0.0.0.0", 7777))
s.settimeout(120)
print("listening", flush=True)
c, peer = s.accept()
c.sendall(peer[0].encode())
c.close()
"""
_CLIENT = """
import socket, sys
s = socket.create_connection((sys.argv[1], 7777), timeout=60)
print(s.makefile().read())
"""


def _exchange(*, server: str, client: str, address: str) -> str:
    """Who the server saw, as told to the client over TCP."""
    with subprocess.Popen(_in(server, "python3", "-c", _SERVER), stdout=subprocess.PIPE, text=True) as listening:
        assert listening.stdout is not None
        assert listening.stdout.readline() == "listening\n"
        answer = subprocess.run(
            _in(client, "python3", "-c", _CLIENT, address), check=True, capture_output=True, text=True
        )
        listening.wait(120)
    return answer.stdout.strip()
