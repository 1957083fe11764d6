"""A real guest on the pod's own card: the handler's network and machine, the launcher's lease, a caller outside."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import msgspec
import pytest
from virt_core.objects.kubevirt import Configuration
from virt_core.vmi.accepted import accept
from virt_core.vmi.instance import VirtualMachineInstance
from virt_handler.machines.translate.machine import machine
from virt_handler.network.execute import prepare, read_pod_network
from virt_handler.network.namespace import run_inside
from virt_handler.network.plan import network_plan

from tests.integration.launcher.commands import discard, run
from tests.integration.launcher.pod import BRIDGE, TAP
from tests.support.patience import PATIENCE

if TYPE_CHECKING:
    from tests.integration.launcher.pod import Pod

TICK_PORT = 7777  # tests/guest-image
MTU = 1442


@pytest.fixture
async def outside(pod: Pod) -> AsyncIterator[str]:
    """The node's side of the pod's card, which is as a CNI plugin leaves it."""
    name = f"{pod.name}-o"
    for link in (TAP, BRIDGE):  # as the fixture made them for a masqueraded guest
        run("ip", "-n", pod.name, "link", "delete", link)
    run("ip", "netns", "add", name)
    try:
        card, peer = ("eth0", "netns", pod.name, "mtu", str(MTU)), ("eth0", "netns", name, "mtu", str(MTU))
        run("ip", "link", "add", *card, "type", "veth", "peer", *peer)
        for namespace, address in ((pod.name, "10.99.0.2/24"), (name, "10.99.0.1/24")):
            run("ip", "-n", namespace, "address", "add", address, "dev", "eth0")
            run("ip", "-n", namespace, "link", "set", "eth0", "up")
        run("ip", "-n", pod.name, "route", "add", "default", "via", "10.99.0.1")
        yield name
    finally:
        discard("ip", "netns", "del", name)


async def test_a_bridged_guest_keeps_the_pods_address_and_its_callers_when_a_handler_is_replaced(
    pod: Pod, outside: str
) -> None:
    stored = {
        "metadata": {"name": "demo", "namespace": "default", "uid": pod.uid},
        "spec": {
            "domain": {"devices": {"interfaces": [{"name": "default", "bridge": {}}]}, "memory": {"guest": "128Mi"}},
            "networks": [{"name": "default", "pod": {}}],
        },
    }
    vmi = msgspec.json.decode(msgspec.json.encode(stored), type=VirtualMachineInstance)

    async def as_a_new_handler_does() -> None:
        found = await run_inside(inside, read_pod_network)
        plan = network_plan(found, accept(vmi.raw_spec, Configuration()), queues=False)
        assert plan is not None
        await run_inside(inside, lambda: prepare(plan))
        wanted.interfaces[0].CopyFrom(machine(vmi, accept(vmi.raw_spec, Configuration()), found).interfaces[0])

    wanted, inside = pod.machine(), os.open(f"/run/netns/{pod.name}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        await as_a_new_handler_does()
        await pod.start_machine(wanted)
        lease = await pod.wait_for_console(b"guest-demo: lease ", b"\r\n")
        assert lease == f"10.99.0.2/24 router=10.99.0.1 mtu={MTU} dns=10.96.0.10".encode()
        reader, writer = await _caller(outside)
        try:
            assert b"boot=" in await reader.readline()
            before = wanted.SerializeToString(deterministic=True)
            await as_a_new_handler_does()
            assert wanted.SerializeToString(deterministic=True) == before
            async with asyncio.timeout(PATIENCE):
                assert b"boot=" in await reader.readline()
        finally:
            writer.close()
    finally:
        os.close(inside)


async def _caller(namespace: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    def connect() -> socket.socket:
        return socket.create_connection(("10.99.0.2", TICK_PORT), timeout=60)

    place = os.open(f"/run/netns/{namespace}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        made = await run_inside(place, connect)
    finally:
        os.close(place)
    made.setblocking(False)
    return await asyncio.open_connection(sock=made)
