"""The sockets of the DHCP server, one for each interface with a lease. Started by app.py as a task.

Needs no privileges: the pod's sysctl allows every user to bind port 67, and a socket may bind itself to a device once.
Replies are broadcast, because a client without an address receives nothing else.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Callable
from typing import Any

from kubevirt.launcher.v1 import machine_pb2
from virt_core import logs

from virt_launcher.dhcp.packet import Lease, Route, reply
from virt_launcher.dhcp.resolv_conf import parse
from virt_launcher.machine.keeper import Keeper
from virt_launcher.settings import Settings

_log = logs.bound("virt_launcher.dhcp")

_SERVER_PORT, _CLIENT_PORT = 67, 68
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 2.0  # seconds
# The server identifier is mandatory, but the bridge of such a lease has no address: an unused link-local address.
_SERVER_WITHOUT_ROUTER = ipaddress.IPv4Address("169.254.86.1")


async def serve_leases(keeper: Keeper, settings: Settings) -> None:
    """Wait for the machine, then answer its interfaces' requests until cancelled."""
    await keeper.known.wait()
    machine = keeper.record.machine
    assert machine is not None
    resolver = parse(settings.resolv_conf.read_text(errors="replace"))
    async with asyncio.TaskGroup() as group:
        for interface in machine.interfaces:
            if interface.HasField("dhcp"):
                lease = lease_of(interface)
                answer: Callable[[bytes], bytes | None] = lambda data, lease=lease: reply(data, lease, resolver)  # type: ignore[misc]  # noqa: E731
                group.create_task(_serve(interface.dhcp.bridge_device, answer), name=f"dhcp {interface.name}")


def lease_of(interface: machine_pb2.NetworkInterface) -> Lease:
    """The lease of a network card, from the machine."""
    lease = interface.dhcp
    router = ipaddress.IPv4Address(lease.router_address) if lease.router_address else None
    return Lease(
        mac=bytes.fromhex(interface.mac_address.replace(":", "")),
        server=router or _SERVER_WITHOUT_ROUTER,
        router=router,
        address=ipaddress.IPv4Address(lease.client_address),
        prefix_length=lease.prefix_length,
        routes=tuple(
            Route(
                ipaddress.IPv4Network((route.destination, route.prefix_length), strict=False),
                ipaddress.IPv4Address(route.router),
            )
            for route in lease.routes
        ),
        hostname=lease.hostname,
        subdomain=lease.subdomain,
        mtu=interface.mtu,
    )


async def _serve(device: str, answer: Callable[[bytes], bytes | None]) -> None:
    """Answer on `device`. A missing device must not end a guest that may already run, so it is retried."""
    loop = asyncio.get_running_loop()
    pause = _FIRST_PAUSE
    while True:
        try:
            bound = _bind(device)
            break
        except OSError as error:
            _log.warning("waiting for the bridge", device=device, reason=str(error))
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
    _log.info("answering DHCP", device=device)
    transport, _ = await loop.create_datagram_endpoint(lambda: _Responder(answer), sock=bound)
    try:
        await asyncio.Event().wait()
    finally:
        transport.close()


def _bind(device: str) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
        bound.bind(("0.0.0.0", _SERVER_PORT))  # noqa: S104 - bound to one device above
    except OSError:
        bound.close()
        raise
    return bound


class _Responder(asyncio.DatagramProtocol):
    def __init__(self, answer: Callable[[bytes], bytes | None]) -> None:
        self._answer = answer
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        response = self._answer(data)
        if response is not None:
            self._transport.sendto(response, ("255.255.255.255", _CLIENT_PORT))

    def error_received(self, exc: Exception) -> None:
        _log.warning("losing a DHCP reply", reason=str(exc))  # the client repeats its request
