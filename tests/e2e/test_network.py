"""Pod and guest reach each other: TCP by the tick port, ICMP by ping, across nodes."""

from __future__ import annotations

import pytest

from tests.e2e.cluster import get, kubectl, until
from tests.e2e.guest_shell import Shell
from tests.e2e.guests import TICK_PORT, Guest, manifest, observed, running

pytestmark = pytest.mark.parallel

# An echo request by an unprivileged ICMP socket, since the image has no ping.
_PING = """
import socket, sys
for host in sys.argv[1:]:
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)
    s.settimeout(2)
    for _ in range(60):  # a request may be lost, and a busy guest answers late
        s.sendto(b"\\x08\\0\\0\\0\\0\\0\\0\\x01hello", (host, 0))
        try:
            reply = s.recv(100)
            break
        except TimeoutError:
            pass
    assert reply[0] == 0 and reply.endswith(b"hello"), reply
    print("pong", host)
"""


def test_tcp_and_ping_from_a_pod_to_guests_on_both_nodes(guests: list[Guest]) -> None:
    with observed(*guests, name="observer") as ticks:
        seen = ticks()
        assert all(seen[guest.name].count > 0 for guest in guests)
        addresses = [guest.address for guest in guests]
        answer = kubectl("exec", "observer", "--", "/opt/kubevirt/bin/python", "-c", _PING, *addresses)
        assert answer.split() == ["pong", addresses[0], "pong", addresses[1]]


async def test_a_guest_on_a_bridge_has_the_pods_own_address_and_reaches_beyond_it() -> None:
    body = manifest("bridged")
    body["spec"]["domain"]["devices"]["interfaces"] = [{"name": "default", "bridge": {}}]
    with running(body) as (guest,):
        address = guest.address
        async with Shell.of(guest) as shell:
            leased = "until ip route | grep -q default; do usleep 100000; done"
            assert f"inet {address}/" in await shell.run(f"{leased}; ip -4 addr show eth0")
            # It speaks first: whoever asks for it before makes its router known to it.
            service = get("service", "kubernetes")["spec"]["clusterIP"]
            await shell.run(f"until nc -w 5 {service} 443 </dev/null; do sleep 1; done")
        until(lambda: guest.vmi["status"]["interfaces"][0].get("ipAddress") == address, "the address in the status")
        with observed(guest) as ticks:
            assert ticks()[guest.name].count > 0


async def test_only_the_ports_that_an_interface_names_are_open() -> None:
    body = manifest("ported")
    body["spec"]["domain"]["devices"]["interfaces"][0]["ports"] = [{"name": "tick", "port": TICK_PORT}]
    with running(body) as (guest,), observed(guest, name="observer"):
        connect = "import socket; s = socket.create_connection(('{}', {}), {}); s.sendall(b'x'); print(len(s.recv(1)))"
        python = ("exec", "observer", "--", "/opt/kubevirt/bin/python", "-c")
        assert kubectl(*python, connect.format(guest.address, TICK_PORT, 60)).strip() == "1"
        assert kubectl(*python, connect.format(guest.address, 7, 3), check=False) == ""
