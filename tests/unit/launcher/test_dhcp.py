"""DHCP: the guest gets its lease, all other requests are ignored."""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kubevirt.launcher.v1 import machine_pb2
from virt_launcher.dhcp.packet import Lease, Route, reply
from virt_launcher.dhcp.resolv_conf import Resolver, parse
from virt_launcher.dhcp.responder import lease_of

IP = ipaddress.IPv4Address
MAC = bytes.fromhex("525400000001")
LEASE = Lease(MAC, IP("10.0.2.1"), IP("10.0.2.1"), IP("10.0.2.2"), 24, hostname="demo", mtu=1450)
RESOLVER = Resolver((IP("10.96.0.10"), IP("1.1.1.1")), ("default.svc.cluster.local", "svc.cluster.local"))
COOKIE = b"\x63\x82\x53\x63"
DISCOVER, REQUEST, DECLINE, ACK, NAK, RELEASE, INFORM = 1, 3, 4, 5, 6, 7, 8


def request(kind: int, *options: tuple[int, bytes], mac: bytes = MAC, client: bytes = bytes(4)) -> bytes:
    head = struct.pack("!BBBBIHH", 1, 1, 6, 0, 0xDECAFBAD, 0, 0x8000)
    body = head + client + bytes(12) + mac.ljust(16, b"\0") + bytes(192) + COOKIE
    return body + b"".join(bytes([c, len(v)]) + v for c, v in ((53, bytes([kind])), *options)) + b"\xff"


def options(message: bytes | None) -> dict[int, bytes]:
    assert message is not None
    found, position = {}, 240
    while message[position] != 255:
        length = message[position + 1]
        found[message[position]] = message[position + 2 : position + 2 + length]
        position += 2 + length
    return found


def test_offer_carries_the_whole_lease() -> None:
    offer = reply(request(DISCOVER), LEASE, RESOLVER)
    assert offer is not None
    assert offer[0] == 2
    assert offer[4:8] == b"\xde\xca\xfb\xad"
    assert offer[10:12] == b"\x80\x00"
    assert offer[16:20] == LEASE.address.packed
    assert offer[28:34] == MAC
    assert 300 <= len(offer) <= 548
    assert options(offer) == {
        53: b"\x02",
        54: LEASE.server.packed,
        51: (86400).to_bytes(4, "big"),
        1: IP("255.255.255.0").packed,
        3: LEASE.server.packed,
        6: IP("10.96.0.10").packed + IP("1.1.1.1").packed,
        26: (1450).to_bytes(2, "big"),
        12: b"demo",
        15: b"default.svc.cluster.local",
        119: b"\x07default\x03svc\x07cluster\x05local\x00\x03svc\x07cluster\x05local\x00",
    }


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        (RESOLVER.search, ("peers.default.svc.cluster.local", *RESOLVER.search)),
        (("corp.test", *RESOLVER.search), ("peers.default.svc.cluster.local", "corp.test", *RESOLVER.search)),
        (("peers.default.svc.x", "default.svc.x"), ("peers.default.svc.x", "default.svc.x")),
        (("corp.test",), ("corp.test",)),
        ((), ()),
    ],
)
def test_a_guest_of_a_subdomain_finds_the_others_by_their_host_names(
    search: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    assert Resolver(RESOLVER.servers, search).within("peers").search == expected
    offered = options(reply(request(DISCOVER), replace(LEASE, subdomain="peers"), Resolver(RESOLVER.servers, search)))
    assert offered.get(15, b"").decode() == (expected[0] if expected else "")


def test_routes_carry_the_default_one_too() -> None:
    """Numbers of the table in RFC 3442: only the significant octets of a destination are sent."""
    routes = (
        Route(ipaddress.IPv4Network("10.17.0.0/16"), IP("10.0.2.1")),
        Route(ipaddress.IPv4Network("10.229.0.128/25"), IP("10.0.2.3")),
        Route(ipaddress.IPv4Network("10.0.2.1/32"), IP("0.0.0.0")),
    )
    offered = options(reply(request(DISCOVER), replace(LEASE, routes=routes), RESOLVER))
    assert offered[3] == LEASE.server.packed, "for clients that know no other routes"
    assert offered[121] == (
        b"\x00"
        + IP("10.0.2.1").packed
        + b"\x10\x0a\x11"
        + IP("10.0.2.1").packed
        + b"\x19\x0a\xe5\x00\x80"
        + IP("10.0.2.3").packed
        + b"\x20\x0a\x00\x02\x01"
        + bytes(4)
    )


def test_card_without_a_router_gets_no_default_route() -> None:
    offered = options(reply(request(DISCOVER), replace(LEASE, router=None), RESOLVER))
    assert not {3, 121} & set(offered)
    routes = (Route(ipaddress.IPv4Network("10.244.0.0/16"), IP("10.244.1.1")),)
    offered = options(reply(request(DISCOVER), replace(LEASE, router=None, routes=routes), RESOLVER))
    assert 3 not in offered
    assert offered[121] == b"\x10\x0a\xf4" + IP("10.244.1.1").packed


def test_lease_is_what_the_machine_says() -> None:
    card = machine_pb2.NetworkInterface(
        mac_address="52:54:00:00:00:01",
        mtu=1450,
        dhcp=machine_pb2.DhcpLease(
            router_address="10.0.2.1", client_address="10.0.2.2", prefix_length=24, hostname="demo"
        ),
    )
    assert lease_of(card) == LEASE
    card.dhcp.router_address = ""
    card.dhcp.routes.add(destination="10.244.7.9", prefix_length=16, router="10.244.1.1")
    lease = lease_of(card)
    assert (lease.router, lease.server.is_link_local) == (None, True)
    assert lease.routes == (Route(ipaddress.IPv4Network("10.244.0.0/16"), IP("10.244.1.1")),)


def test_request_is_acknowledged_selecting_and_renewing() -> None:
    selecting = request(REQUEST, (50, LEASE.address.packed), (54, LEASE.server.packed))
    assert options(reply(selecting, LEASE, RESOLVER))[53] == bytes([ACK])
    renewing = request(REQUEST, client=LEASE.address.packed)
    assert options(reply(renewing, LEASE, RESOLVER))[53] == bytes([ACK])


def test_request_for_another_address_is_refused_without_a_lease() -> None:
    refusal = reply(request(REQUEST, (50, IP("10.0.2.9").packed)), LEASE, RESOLVER)
    assert refusal is not None
    assert options(refusal) == {53: bytes([NAK]), 54: LEASE.server.packed}
    assert refusal[16:20] == bytes(4)


def test_inform_is_answered_without_an_address_or_a_time() -> None:
    answer = reply(request(INFORM, client=LEASE.address.packed), LEASE, RESOLVER)
    assert answer is not None
    assert answer[16:20] == bytes(4)
    assert 51 not in options(answer)


@pytest.mark.parametrize(
    "datagram",
    [
        b"",
        request(DISCOVER)[:239],
        request(DISCOVER, mac=bytes.fromhex("525400000002")),
        request(REQUEST, (54, IP("10.0.2.99").packed)),
        request(DECLINE),
        request(RELEASE),
        b"\x02" + request(DISCOVER)[1:],
        request(DISCOVER).replace(COOKIE, b"\0\0\0\0"),
        request(DISCOVER)[:24] + b"\x0a\x00\x00\x01" + request(DISCOVER)[28:],
        request(DISCOVER)[:240] + b"\x35\xff\x01",
        request(DISCOVER)[:240] + b"\x35",
    ],
    ids=[
        "empty",
        "short",
        "other card",
        "other server",
        "decline",
        "release",
        "reply",
        "cookie",
        "relayed",
        "long",
        "cut",
    ],
)
def test_what_is_not_a_request_of_this_card_gets_no_reply(datagram: bytes) -> None:
    assert reply(datagram, LEASE, RESOLVER) is None


@given(st.binary(max_size=600))
def test_no_options_whatever_break_the_responder(tail: bytes) -> None:
    answer = reply(request(DISCOVER)[:240] + tail, LEASE, RESOLVER)
    assert answer is None or (300 <= len(answer) <= 548 and options(answer)[54] == LEASE.server.packed)


def test_endless_search_list_does_not_make_the_reply_too_long() -> None:
    search = (*(f"{'x' * 60}.{'y' * 60}.example{n}" for n in range(40)), "z" * 70, "bad..name")
    offer = reply(request(DISCOVER), LEASE, Resolver(RESOLVER.servers * 40, search))
    assert offer is not None
    assert len(offer) <= 548
    assert len(options(offer)[6]) == 8 * 4


def test_resolv_conf() -> None:
    text = """# made by the kubelet
search first.example
nameserver 10.96.0.10
nameserver fd00::1
nameserver
 nameserver 1.1.1.1 # second
options ndots:5
search default.svc.cluster.local svc.cluster.local.
"""
    expected = Resolver((IP("10.96.0.10"), IP("1.1.1.1")), ("default.svc.cluster.local", "svc.cluster.local"))
    assert parse(text) == expected
    assert parse("") == Resolver()
