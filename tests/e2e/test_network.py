"""Pod and guest reach each other: TCP by the tick port, ICMP by ping, across nodes."""

from __future__ import annotations

from tests.e2e.cluster import kubectl
from tests.e2e.guests import Guest, observed

# An echo request by an unprivileged ICMP socket, since the image has no ping.
_PING = """
import socket, sys
for host in sys.argv[1:]:
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)
    s.settimeout(5)
    s.sendto(b"\\x08\\0\\0\\0\\0\\0\\0\\x01hello", (host, 0))
    reply = s.recv(100)
    assert reply[0] == 0 and reply.endswith(b"hello"), reply
    print("pong", host)
"""


def test_tcp_and_ping_from_a_pod_to_guests_on_both_nodes(guests: list[Guest]) -> None:
    with observed(*guests) as ticks:
        seen = ticks()
        assert all(seen[guest.name].count > 0 for guest in guests)
        addresses = [guest.address for guest in guests]
        answer = kubectl("exec", "observer", "--", "/opt/kubevirt/bin/python", "-c", _PING, *addresses)
        assert answer.split() == ["pong", addresses[0], "pong", addresses[1]]
