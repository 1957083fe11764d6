"""A target's launcher behind a masquerade is reachable for the source of a migration, as long as the guest arrives."""

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
from virt_handler.network.plan import NetworkPlan, PodNetwork, network_plan
from virt_handler.network.rules import BRIDGE, IncomingMigration

from tests.integration.handler.pod import Pod, ip

SOURCE, STRANGER = "10.99.0.1", "10.99.0.3"
SPEC = accept({"domain": {"devices": {}, "memory": {"guest": "64Mi"}}}, Configuration())

_SERVER = """
import socket, sys
s = socket.create_server(("0.0.0.0", int(sys.argv[1])))
s.settimeout(20)
print("listening", flush=True)
c, peer = s.accept()
print(peer[0], flush=True)
for line in c.makefile():
    c.sendall(line.encode())
"""
_CLIENT = """
import socket, sys
s = socket.create_connection((sys.argv[2], int(sys.argv[3])), timeout=10, source_address=(sys.argv[1], 0))
answers = s.makefile()
for line in sys.stdin:
    s.sendall(line.encode())
    print(answers.readline(), end="", flush=True)
"""


def planned(found: PodNetwork, incoming: IncomingMigration | None) -> NetworkPlan:
    plan = network_plan(found, SPEC, queues=False, incoming=incoming)
    assert plan is not None
    return plan


@contextmanager
def running(namespace: str, script: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = ["ip", "netns", "exec", namespace, "python3", "-c", script, *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def connected(server: str, client: str, source: str, port: int) -> Iterator[subprocess.Popen[str]]:
    """A connection from `source` to the pod that reaches `server`."""
    with running(server, _SERVER, str(port)) as listening:
        assert listening.stdout is not None
        assert listening.stdout.readline() == "listening\n"
        with running(client, _CLIENT, source, "10.99.0.2", str(port)) as calling:
            assert listening.stdout.readline() == f"{source}\n"
            yield calling


def answers(client: subprocess.Popen[str]) -> bool:
    assert client.stdin is not None and client.stdout is not None
    client.stdin.write("hello\n")
    client.stdin.flush()
    return client.stdout.readline() == "hello\n"


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
        assert answers(stranger) and answers(user)
    with connected(pod.name, pod.outside, SOURCE, 49152) as source:
        assert answers(source)
        await run_inside(pod.fd, lambda: prepare(planned(found, None)))
        assert answers(source)  # a connection that exists goes on
    with connected(guest, pod.outside, SOURCE, 49153) as user:
        assert answers(user)
