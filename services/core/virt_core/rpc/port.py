"""The gRPC port of a pod of the suite: mTLS, the component's contracts, GetInfo, health and reflection.

Called by the app.py of operator, api, controller and handler. Each service has a rule that authorizes callers before
its servicer sees the call. The launcher does not listen on TCP and imports none of this.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from kubevirt.info.v1 import info_pb2

from virt_core import logs
from virt_core.rpc.authorize import anyone
from virt_core.rpc.identity import Identity
from virt_core.rpc.server import Rule, create_server
from virt_core.rpc.tls import Certificates

_INFO = info_pb2.DESCRIPTOR.services_by_name["InfoService"].full_name
_DRAIN = 1.0  # seconds that streams get to end in order
# Limits for every caller, before a rule decides.
_LIMITS = (
    ("grpc.max_concurrent_streams", 100),
    ("grpc.max_metadata_size", 16 * 1024),
    ("grpc.server_handshake_timeout_ms", 10_000),
    ("grpc.max_connection_idle_ms", 300_000),
)
_log = logs.bound("virt_core.rpc.port")


@dataclass(frozen=True, slots=True)
class Contract:
    """A service that a component serves on its port."""

    name: str
    """Full name, for example "kubevirt.handler.v1.HandlerService"."""

    add: Callable[[grpc.aio.Server], None]
    """Adds the servicer to a server."""

    rule: Rule
    """Who may call it."""

    rules: Mapping[str, Rule] = field(default_factory=dict)
    """Who may call the methods of these names, instead of `rule`."""


@asynccontextmanager
async def listening(
    port: int,
    identity: Identity,
    certificates: Certificates,
    *contracts: Contract,
    peers: Rule,
    people: Rule | None = None,
    also_trusted: Callable[[], bytes] = bytes,
) -> AsyncIterator[int]:
    """Listen on `port` of all addresses, IPv6 and IPv4, 0 for a free one, for the time of the block; yields the port.

    `peers` may call GetInfo, `people` (default: `peers`) may call reflection; health answers every caller with a
    certificate. `also_trusted` returns further CAs (PEM) that may sign a caller's certificate.
    """
    rules = {contract.name: contract.rule for contract in contracts}
    rules |= {_INFO: peers, health.SERVICE_NAME: anyone, reflection.SERVICE_NAME: people or peers}
    of_methods = {
        f"{contract.name}/{method}": rule for contract in contracts for method, rule in contract.rules.items()
    }
    server = create_server(identity, certificates.trust_bundle_sha256, {**rules, **of_methods}, _LIMITS)
    for contract in contracts:
        contract.add(server)
    reflection.enable_server_reflection(tuple(rules), server)
    healthy = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
    for name in ("", *rules):
        await healthy.set(name, health_pb2.HealthCheckResponse.SERVING)
    bound = server.add_secure_port(f"[::]:{port}", certificates.server_credentials(also_trusted))
    _log.info("serving rpc", port=bound, services=sorted(rules))
    await server.start()
    try:
        yield bound
    finally:
        await healthy.enter_graceful_shutdown()
        await server.stop(_DRAIN)


async def serve(
    port: int,
    identity: Identity,
    certificates: Certificates,
    *contracts: Contract,
    peers: Rule,
    people: Rule | None = None,
    also_trusted: Callable[[], bytes] = bytes,
    serving: asyncio.Event | None = None,
) -> None:
    """Serve until cancelled (see `listening`); `serving` is set as long as the port is open."""
    started = serving or asyncio.Event()
    async with listening(
        port, identity, certificates, *contracts, peers=peers, people=people, also_trusted=also_trusted
    ):
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            started.clear()
