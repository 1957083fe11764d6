"""Computes the reply to a DHCP request. Pure; called by responder.py.

Requests come from the guest and are hostile: every length is checked, and anything except a well-formed request from
the lease's MAC address is ignored.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from virt_launcher.dhcp.resolv_conf import Resolver

# RFC 2131, section 2: op, htype, hlen, hops, xid, secs, flags, ciaddr, yiaddr, siaddr, giaddr, chaddr, sname, file
_HEADER = struct.Struct("!BBBBIHH4s4s4s4s16s64s128s")
_COOKIE = b"\x63\x82\x53\x63"
_BOOTREQUEST, _BOOTREPLY = 1, 2
_ETHERNET = 1
# RFC 2132
_PAD, _END = 0, 255
_SUBNET_MASK, _ROUTER, _NAME_SERVERS, _HOST_NAME, _DOMAIN_NAME, _MTU = 1, 3, 6, 12, 15, 26
_REQUESTED_ADDRESS, _LEASE_TIME, _MESSAGE_TYPE, _SERVER = 50, 51, 53, 54
_DOMAIN_SEARCH = 119  # RFC 3397
_CLASSLESS_ROUTES = 121  # RFC 3442
_DISCOVER, _OFFER, _REQUEST, _ACK, _NAK, _INFORM = 1, 2, 3, 5, 6, 8
# RFC 2131, section 2: a client accepts 576 bytes, 28 of them IP's and UDP's headers.
_LONGEST_REPLY = 548
# RFC 1542, section 2.1: relays and old clients want BOOTP's 300 bytes.
_SHORTEST_REPLY = 300
# The guest keeps the address as long as the pod exists; clients expect a lease of about a day.
_LEASE = 86_400  # seconds
_EVERYWHERE = ipaddress.IPv4Network("0.0.0.0/0")


@dataclass(frozen=True, slots=True)
class Route:
    """A route in addition to the default route. The router 0.0.0.0 means that the destination is on the link."""

    destination: ipaddress.IPv4Network
    router: ipaddress.IPv4Address


@dataclass(frozen=True, slots=True)
class Lease:
    """What one network card gets by DHCP."""

    mac: bytes
    """The card's address, the only one that is answered."""

    server: ipaddress.IPv4Address
    """The server identifier."""

    router: ipaddress.IPv4Address | None
    """Of the default route; None: no such route."""

    address: ipaddress.IPv4Address
    prefix_length: int
    routes: tuple[Route, ...] = ()
    hostname: str = ""
    mtu: int = 0
    """In bytes; 0: the option is omitted."""

    subdomain: str = ""
    """Whose names come first in the search list; empty: none."""


@dataclass(frozen=True, slots=True)
class _Request:
    kind: int
    xid: int
    flags: int
    client: bytes
    hardware: bytes
    options: dict[int, bytes]


def reply(datagram: bytes, lease: Lease, resolver: Resolver) -> bytes | None:
    """The reply to `datagram`; None if it is ignored."""
    request = _parse(datagram)
    if request is None or request.hardware[:6] != lease.mac:
        return None
    if request.kind == _DISCOVER:
        return _build(request, _OFFER, lease, resolver)
    if request.kind == _INFORM:
        return _build(request, _ACK, lease, resolver)
    if request.kind != _REQUEST or request.options.get(_SERVER, lease.server.packed) != lease.server.packed:
        return None
    wanted = request.options.get(_REQUESTED_ADDRESS, request.client)
    return _build(request, _ACK if wanted == lease.address.packed else _NAK, lease, resolver)


def _parse(datagram: bytes) -> _Request | None:
    if len(datagram) < _HEADER.size + len(_COOKIE):
        return None
    op, htype, hlen, _, xid, _, flags, client, _, _, relay, hardware, _, _ = _HEADER.unpack_from(datagram)
    if (op, htype, hlen, relay) != (_BOOTREQUEST, _ETHERNET, 6, bytes(4)):
        return None
    if datagram[_HEADER.size : _HEADER.size + 4] != _COOKIE:
        return None
    options = _options(datagram[_HEADER.size + 4 :])
    kind = options.get(_MESSAGE_TYPE, b"")
    return _Request(kind[0], xid, flags, client, hardware, options) if len(kind) == 1 else None


def _options(data: bytes) -> dict[int, bytes]:
    """The options up to the end, or up to the first one that is truncated."""
    options: dict[int, bytes] = {}
    position = 0
    while position < len(data) and data[position] != _END:
        if data[position] == _PAD:
            position += 1
            continue
        start = position + 2
        if start > len(data) or start + data[position + 1] > len(data):
            break
        options[data[position]] = data[start : start + data[position + 1]]
        position = start + data[position + 1]
    return options


def _build(request: _Request, kind: int, lease: Lease, resolver: Resolver) -> bytes:
    informing, refusing = request.kind == _INFORM, kind == _NAK
    message = bytearray(
        _HEADER.pack(
            _BOOTREPLY,
            _ETHERNET,
            6,
            0,
            request.xid,
            0,
            request.flags,
            bytes(4) if refusing else request.client,
            bytes(4) if informing or refusing else lease.address.packed,
            bytes(4),
            bytes(4),
            request.hardware,
            b"",
            b"",
        )
    )
    message += _COOKIE + bytes([_MESSAGE_TYPE, 1, kind, _SERVER, 4]) + lease.server.packed
    if not refusing:
        if not informing:
            message += bytes([_LEASE_TIME, 4]) + _LEASE.to_bytes(4, "big")
        for option, value in _configuration(lease, resolver):
            if 0 < len(value) <= 255 and len(message) + 2 + len(value) + 1 <= _LONGEST_REPLY:
                message += bytes([option, len(value)]) + value
    message.append(_END)
    return bytes(message.ljust(_SHORTEST_REPLY, b"\0"))


def _configuration(lease: Lease, resolver: Resolver) -> Iterator[tuple[int, bytes]]:
    """The options in order of importance: the last ones are omitted if they do not fit."""
    yield _SUBNET_MASK, ipaddress.IPv4Network((0, lease.prefix_length)).netmask.packed
    if lease.router is not None:
        yield _ROUTER, lease.router.packed
    if lease.routes:
        yield _CLASSLESS_ROUTES, _route_list(lease)
    yield _NAME_SERVERS, b"".join(server.packed for server in resolver.servers[:8])
    if lease.mtu:
        yield _MTU, lease.mtu.to_bytes(2, "big")
    yield _HOST_NAME, lease.hostname.encode("ascii")
    search = resolver.within(lease.subdomain).search
    if search:
        yield _DOMAIN_NAME, search[0].encode("ascii", "replace")
        yield _DOMAIN_SEARCH, _search_list(search)


def _route_list(lease: Lease) -> bytes:
    """All routes including the default route: a client that reads this option ignores the router option (RFC 3442)."""
    default = [Route(_EVERYWHERE, lease.router)] if lease.router is not None else []
    encoded = b""
    for route in (*default, *lease.routes):
        length = route.destination.prefixlen
        significant = route.destination.network_address.packed[: (length + 7) // 8]
        encoded += bytes([length]) + significant + route.router.packed
    return encoded


def _search_list(domains: tuple[str, ...]) -> bytes:
    """RFC 1035 names without compression, as many as fit into an option."""
    encoded = b""
    for domain in domains:
        labels = [label.encode("ascii", "replace") for label in domain.split(".")]
        if any(not 0 < len(label) < 64 for label in labels):
            continue
        name = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
        if len(encoded) + len(name) > 255:
            break
        encoded += name
    return encoded
