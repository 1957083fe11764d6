"""A link's view of a launcher, by gRPC over a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from kubevirt.info.v1 import info_pb2
from kubevirt.launcher.v1 import launcher_pb2, launcher_pb2_grpc, migration_pb2_grpc, state_pb2
from virt_core.rpc.identity import Identity
from virt_core.rpc.peer import Peer
from virt_core.rpc.server import create_server
from virt_handler.launchers.connection import Launcher
from virt_handler.machines.link import MachineLink

from tests.support.patience import PATIENCE

AT_ONCE = 20


class Restless(launcher_pb2_grpc.LauncherServiceServicer):
    """A launcher that reports a new state all the time."""

    async def WatchMachine(  # type: ignore[override, misc, unused-ignore]  # noqa: N802 - the contract's name
        self, request: Any, context: Any
    ) -> AsyncIterator[launcher_pb2.WatchMachineResponse]:
        for number in count():
            yield launcher_pb2.WatchMachineResponse(state=state_pb2.MachineState(message=str(number)))


async def test_a_launcher_that_never_stops_changing_its_mind_is_listened_to_now_and_then(tmp_path: Path) -> None:
    seen, some, many = 0, asyncio.Event(), asyncio.Event()

    def changed() -> None:
        nonlocal seen
        seen += 1
        if seen >= AT_ONCE:
            some.set()
        if seen >= 3 * AT_ONCE:
            many.set()

    server = create_server(Identity.for_process(info_pb2.COMPONENT_LAUNCHER, ("kubevirt.launcher.v1",)))
    restless = Restless()  # type: ignore[abstract, unused-ignore]  # the rest answers UNIMPLEMENTED
    launcher_pb2_grpc.add_LauncherServiceServicer_to_server(restless, server)  # type: ignore[no-untyped-call, unused-ignore]
    server.add_insecure_port(f"unix:{tmp_path}/sock")
    await server.start()
    peer = Peer(f"unix:{tmp_path}/sock", name="launcher")
    link = MachineLink(None, ("default", "demo"), "vmi", "pod", changed)  # type: ignore[arg-type]
    machine = launcher_pb2_grpc.LauncherServiceStub(peer.channel)
    launcher = Launcher(peer, machine, migration_pb2_grpc.MigrationServiceStub(peer.channel), -1, -1)
    watching = asyncio.create_task(link._watch(launcher))
    try:
        await asyncio.wait_for(some.wait(), PATIENCE)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(many.wait(), 2)
    finally:
        watching.cancel()
        await asyncio.wait([watching])
        await peer.close()
        await server.stop(None)
