"""A launcher without a guest: the contract's servicer, the pod around it, and two ways for a handler to reach it.

By gRPC over a unix socket, as in production, or directly, for tests that make thousands of calls.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

from kubevirt.info.v1 import info_pb2
from kubevirt.launcher.v1 import launcher_pb2, launcher_pb2_grpc, machine_pb2, migration_pb2_grpc, state_pb2
from virt_core.rpc.errors import Refused, RpcError, Unavailable
from virt_core.rpc.identity import Identity
from virt_core.rpc.peer import Peer
from virt_core.rpc.server import create_server
from virt_handler.launchers.claim_images import UnusableImage
from virt_handler.launchers.connection import stubs_of
from virt_handler.machines.pod import ConnectedLauncher
from virt_handler.network.execute import NetworkFailed
from virt_handler.network.plan import NetworkPlan, PodNetwork

from tests.support.rpc_servers import serving_on

NETWORK = PodNetwork(1500, ("10.244.1.7",))


class FakePod:
    """The network and the files of a pod: keeps what the handler did in it."""

    def __init__(self) -> None:
        self.network = NETWORK
        self.prepared: list[NetworkPlan] = []
        self.broken = False
        """Whether its network cannot be changed."""
        self.disks: list[str] = []
        self.unusable: str | None = None
        """Why no disk can be prepared, if that is so."""

    async def read_network(self) -> PodNetwork:
        return self.network

    async def prepare_network(self, plan: NetworkPlan) -> None:
        if self.broken:
            raise NetworkFailed("loading nftables rules: Operation not supported")
        self.prepared.append(plan)

    async def prepare_disk(self, disk: machine_pb2.Disk) -> None:
        self.disks.append(disk.name)
        if self.unusable is not None:
            raise UnusableImage(self.unusable)


class FakeLauncher(launcher_pb2_grpc.LauncherServiceServicer):
    """Starts its machine at once, unless it is to refuse or fail."""

    features: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.pod = FakePod()
        self.state = state_pb2.MachineState(phase=state_pb2.MACHINE_PHASE_ABSENT)
        self.error: RpcError | None = None
        """What StartMachine and AcknowledgeEnd answer, if anything."""
        self.before_answer: Callable[[], None] = lambda: None
        """Called when StartMachine has come in."""
        self.calls: list[str] = []
        self.acknowledged = False
        self._changed = asyncio.Event()
        self._process = 0

    def become(self, phase: state_pb2.MachinePhase.ValueType, **fields: Any) -> None:
        """Send every watch a new state of the machine."""
        uid = fields.pop("machine_uid", self.state.machine_uid)
        self.state = state_pb2.MachineState(machine_uid=uid, phase=phase, **fields)
        self._stir()

    def restart(self) -> None:
        """Another process takes over: watches end, the machine stays."""
        self._process += 1
        self._stir()

    def _stir(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def StartMachine(self, request: Any, context: Any) -> launcher_pb2.StartMachineResponse:  # noqa: N802
        self.calls.append("StartMachine")
        self.before_answer()
        if self.error is not None:
            raise self.error
        if self.state.phase == state_pb2.MACHINE_PHASE_ABSENT:
            self.become(state_pb2.MACHINE_PHASE_RUNNING, machine_uid=request.machine.uid)
        return launcher_pb2.StartMachineResponse(state=self.state)

    async def AcknowledgeEnd(self, request: Any, context: Any) -> launcher_pb2.AcknowledgeEndResponse:  # noqa: N802
        self.calls.append("AcknowledgeEnd")
        if self.error is not None:
            raise self.error
        if self.state.phase != state_pb2.MACHINE_PHASE_ENDED or self.state.end != request.end:
            raise Refused("the machine has not ended so", reason="NOT_ENDED")
        self.acknowledged = True
        return launcher_pb2.AcknowledgeEndResponse()

    async def WatchMachine(  # type: ignore[override, misc, unused-ignore]  # noqa: N802 - the contract's name
        self, request: Any, context: Any
    ) -> AsyncIterator[launcher_pb2.WatchMachineResponse]:
        process, revision = self._process, 0
        while process == self._process:
            changed, revision = self._changed, revision + 1
            yield launcher_pb2.WatchMachineResponse(instance_id=f"fake-{process}", revision=revision, state=self.state)
            await changed.wait()
        raise Unavailable("the launcher ended")


@asynccontextmanager
async def listening(launcher: FakeLauncher, socket: Path) -> AsyncIterator[None]:
    """The launcher serves gRPC on `socket`."""
    contracts, features = ("kubevirt.launcher.v1",), frozenset(launcher.features)
    server = create_server(Identity.for_process(info_pb2.COMPONENT_LAUNCHER, contracts, features))
    launcher_pb2_grpc.add_LauncherServiceServicer_to_server(launcher, server)  # type: ignore[no-untyped-call, unused-ignore]
    if isinstance(launcher, migration_pb2_grpc.MigrationServiceServicer):
        migration_pb2_grpc.add_MigrationServiceServicer_to_server(launcher, server)  # type: ignore[no-untyped-call, unused-ignore]
    async with serving_on(server, f"unix:{socket}"):
        yield


@asynccontextmanager
async def connected(launcher: FakeLauncher, socket: Path, name: str) -> AsyncIterator[ConnectedLauncher]:
    """A handler's connection to a launcher that listens on `socket`."""
    peer = Peer(f"unix:{socket}", name=name)
    try:
        await peer.negotiate()
        yield ConnectedLauncher(peer, *stubs_of(peer.channel), launcher.pod)
    finally:
        await peer.close()


class _DirectPeer:
    """Calls a servicer's methods without a transport."""

    info = None

    async def call(self, method: Any, request: Any, *, timeout: float) -> Any:
        return await method(request, None)

    async def stream(self, method: Any, request: Any, *, idle: float, lifetime: float) -> AsyncIterator[Any]:
        async for response in method(request, None):
            yield response


class DirectConnections:
    """Launchers by the UID of their pods, reached without a transport. A pod that is not here does not listen yet."""

    def __init__(self) -> None:
        self.launchers: dict[str, FakeLauncher] = {}
        self._stirred = asyncio.Event()

    def add(self, pod_uid: str, launcher: FakeLauncher) -> None:
        """From now on it listens."""
        self.launchers[pod_uid] = launcher
        self._stirred.set()
        self._stirred = asyncio.Event()

    @asynccontextmanager
    async def connect(self, pod_uid: str, _name: str) -> AsyncIterator[ConnectedLauncher]:
        """As machines.pod.ConnectLauncher says."""
        while pod_uid not in self.launchers:
            await self._stirred.wait()
        launcher = self.launchers[pod_uid]
        yield ConnectedLauncher(cast(Peer, _DirectPeer()), launcher, launcher, launcher.pod)
