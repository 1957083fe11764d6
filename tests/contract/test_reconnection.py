"""Negotiated features belong to a process: a replaced peer is queried again; reopened streams leave nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from kubevirt.info.v1 import info_pb2, info_pb2_grpc
from kubevirt.launcher.v1 import launcher_pb2, launcher_pb2_grpc
from virt_core.rpc.errors import Unavailable
from virt_core.rpc.identity import Identity
from virt_core.rpc.peer import Peer
from virt_core.rpc.server import create_server

from tests.support.patience import PATIENCE
from tests.support.rpc_servers import serving_on

REOPENINGS = 10_000
LATENCY = 0.3  # seconds; more than a TLS handshake takes on an idle machine


class Launcher(launcher_pb2_grpc.LauncherServiceServicer):
    """Sends its state, then is silent until the client leaves."""

    async def WatchMachine(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        yield launcher_pb2.WatchMachineResponse(instance_id="a", revision=1)
        await asyncio.Event().wait()


@asynccontextmanager
async def serving(target: str, features: frozenset[str] = frozenset()) -> AsyncIterator[None]:
    server = create_server(Identity.for_process(info_pb2.COMPONENT_LAUNCHER, ("kubevirt.launcher.v1",), features))
    launcher_pb2_grpc.add_LauncherServiceServicer_to_server(Launcher(), server)  # type: ignore[no-untyped-call]
    async with serving_on(server, target):
        yield


@asynccontextmanager
async def peer_at(target: str) -> AsyncIterator[Peer]:
    peer = Peer(target, name="launcher of ns/guest")
    try:
        yield peer
    finally:
        await peer.close()


async def test_a_replaced_peer_is_negotiated_with_again(tmp_path: Path) -> None:
    target = f"unix:{tmp_path}/sock"
    async with peer_at(target) as peer:
        async with serving(target, frozenset({"new"})):
            before = await peer.negotiate()
            assert (await peer.negotiate()).instance_id == before.instance_id
            assert list(before.features) == ["new"]
        async with serving(target):
            after = await peer.negotiate()
            assert after.instance_id != before.instance_id
            assert list(after.features) == []


class Dying(info_pb2_grpc.InfoServiceServicer):
    """Several processes, one after the other, that end while they are asked, and one that stays."""

    def __init__(self, deaths: int) -> None:
        self.deaths = deaths

    async def GetInfo(self, request: Any, context: Any) -> info_pb2.GetInfoResponse:  # noqa: N802
        self.deaths -= 1
        if self.deaths >= 0:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "Stream removed (Socket closed)")
        return info_pb2.GetInfoResponse(component=info_pb2.COMPONENT_LAUNCHER)


@pytest.mark.parametrize("deaths", [1, 3])
async def test_processes_that_end_while_they_are_asked_are_asked_again(tmp_path: Path, deaths: int) -> None:
    target = f"unix:{tmp_path}/sock"
    server = grpc.aio.server()
    info_pb2_grpc.add_InfoServiceServicer_to_server(Dying(deaths), server)  # type: ignore[no-untyped-call]
    async with serving_on(server, target), peer_at(target) as peer:
        assert (await peer.negotiate()).component == info_pb2.COMPONENT_LAUNCHER


async def test_a_process_that_only_breaks_connections_is_asked_no_longer_than_was_said(tmp_path: Path) -> None:
    target = f"unix:{tmp_path}/sock"
    server, dying = grpc.aio.server(), Dying(1_000_000)
    info_pb2_grpc.add_InfoServiceServicer_to_server(dying, server)  # type: ignore[no-untyped-call]
    async with serving_on(server, target), peer_at(target) as peer:
        async with asyncio.timeout(PATIENCE):
            with pytest.raises(Unavailable):
                await peer.negotiate(0.5)
        assert 1_000_000 - dying.deaths <= 11, "asked without a pause"


async def test_a_silent_stream_is_closed(tmp_path: Path) -> None:
    target = f"unix:{tmp_path}/sock"
    async with serving(target), peer_at(target) as peer:
        stub: Any = launcher_pb2_grpc.LauncherServiceStub(peer.channel)
        with pytest.raises(Unavailable, match="launcher of ns/guest has been silent"):
            async for _ in peer.stream(stub.WatchMachine, launcher_pb2.WatchMachineRequest(), idle=0.2, lifetime=60):
                pass


async def test_a_peer_that_is_slow_to_answer_a_connection_is_reached_at_the_first_attempt(tmp_path: Path) -> None:
    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(LATENCY)
        onward = await asyncio.open_unix_connection(tmp_path / "sock")
        await asyncio.wait([asyncio.create_task(copy(*way)) for way in ((reader, onward[1]), (onward[0], writer))])

    async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):  # whoever ends first resets the connection
            while data := await source.read(1 << 16):
                target.write(data)
        target.close()

    slow = await asyncio.start_unix_server(relay, tmp_path / "slow")
    async with slow, serving(f"unix:{tmp_path}/sock"), peer_at(f"unix:{tmp_path}/slow") as peer:
        assert (await peer.negotiate(PATIENCE, patient=False)).component == info_pb2.COMPONENT_LAUNCHER


def resident_kib() -> int:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4


@pytest.mark.exhaustive
async def test_ten_thousand_stream_reopenings_leave_memory_flat(tmp_path: Path) -> None:
    target = f"unix:{tmp_path}/sock"
    async with serving(target), peer_at(target) as peer:
        stub: Any = launcher_pb2_grpc.LauncherServiceStub(peer.channel)

        async def reopen(times: int) -> None:
            for _ in range(times):
                stream = peer.stream(
                    stub.WatchMachine, launcher_pb2.WatchMachineRequest(), idle=PATIENCE, lifetime=PATIENCE
                )
                async for response in stream:
                    assert response.revision == 1
                    break
                await stream.aclose()

        await reopen(REOPENINGS // 5)  # pools, caches and arenas reach their size
        warm = resident_kib()
        await reopen(REOPENINGS)
        grown = resident_kib() - warm
    print(f"{REOPENINGS} reopenings: {grown} KiB more than {warm} KiB")
    assert grown < REOPENINGS * 0.2, f"{grown} KiB: about {grown * 1024 / REOPENINGS:.0f} bytes for each reopening"
