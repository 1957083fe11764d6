"""A hostile launcher's responses are not decoded if they are larger than any that is meant."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from kubevirt.launcher.v1 import guest_pb2, launcher_pb2, migration_pb2, migration_pb2_grpc, state_pb2, statistics_pb2
from virt_core.conventions.screenshot import LARGEST_MESSAGE
from virt_core.rpc.errors import RpcError
from virt_core.rpc.peer import Peer
from virt_handler.launchers.connection import stubs_of
from virt_handler.machines.pod import ConnectedLauncher

from tests.support.patience import PATIENCE

from .fake_launcher import FakeLauncher, listening

MANY = 1 << 20  # empty entries: two bytes each, 2 MiB


class Talkative(FakeLauncher, migration_pb2_grpc.MigrationServiceServicer):
    """Answers with as many empty entries as the test wants."""

    entries = 3

    async def WatchMachine(  # type: ignore[override, misc, unused-ignore]  # noqa: N802
        self, request: Any, context: Any
    ) -> AsyncIterator[launcher_pb2.WatchMachineResponse]:
        state = state_pb2.MachineState(disks=[state_pb2.DiskState()] * self.entries)
        yield launcher_pb2.WatchMachineResponse(state=state)

    async def GetGuestDetails(self, request: Any, context: Any) -> launcher_pb2.GetGuestDetailsResponse:  # noqa: N802
        return launcher_pb2.GetGuestDetailsResponse(users=[guest_pb2.GuestUser()] * self.entries)

    async def GetStatistics(self, request: Any, context: Any) -> launcher_pb2.GetStatisticsResponse:  # noqa: N802
        vcpus = [statistics_pb2.VcpuStatistics()] * self.entries
        return launcher_pb2.GetStatisticsResponse(statistics=statistics_pb2.MachineStatistics(vcpus=vcpus))

    async def CommandMachine(self, request: Any, context: Any) -> launcher_pb2.CommandMachineResponse:  # noqa: N802
        state = state_pb2.MachineState(disks=[state_pb2.DiskState()] * self.entries)
        return launcher_pb2.CommandMachineResponse(state=state)

    async def GetMigrationIdentity(  # noqa: N802
        self, request: Any, context: Any
    ) -> migration_pb2.GetMigrationIdentityResponse:
        return migration_pb2.GetMigrationIdentityResponse(certificate_authority="x" * self.entries)

    async def TakeScreenshot(self, request: Any, context: Any) -> launcher_pb2.TakeScreenshotResponse:  # noqa: N802
        return launcher_pb2.TakeScreenshotResponse(png=b"x" * 2 * self.entries)


async def answers(launcher: ConnectedLauncher) -> dict[str, bool]:
    """Whether an answer of each method is decoded."""
    stub, peer, found = launcher.stub, launcher.peer, {}
    questions: dict[str, tuple[Any, Any]] = {
        "details": (stub.GetGuestDetails, launcher_pb2.GetGuestDetailsRequest()),
        "statistics": (stub.GetStatistics, launcher_pb2.GetStatisticsRequest()),
        "command": (stub.CommandMachine, launcher_pb2.CommandMachineRequest()),
        "identity": (launcher.migration.GetMigrationIdentity, migration_pb2.GetMigrationIdentityRequest()),
        "picture": (stub.TakeScreenshot, launcher_pb2.TakeScreenshotRequest()),
    }
    for name, (method, request) in questions.items():
        try:
            await peer.call(method, request, timeout=PATIENCE)
            found[name] = True
        except RpcError as error:
            assert "does not decode" in str(error)
            found[name] = False
    stream = peer.stream(stub.WatchMachine, launcher_pb2.WatchMachineRequest(), idle=PATIENCE, lifetime=PATIENCE)
    async with aclosing(stream):
        try:
            found["watch"] = await anext(stream) is not None
        except RpcError as error:
            assert "does not decode" in str(error)
            found["watch"] = False
    return found


async def test_no_response_but_a_picture_is_decoded_if_it_would_fill_the_memory(tmp_path: Path) -> None:
    launcher, socket = Talkative(), tmp_path / "socket"
    async with asyncio.timeout(PATIENCE), listening(launcher, socket):
        options = (("grpc.max_receive_message_length", LARGEST_MESSAGE),)
        peer = Peer(f"unix:{socket}", name="launcher", options=options)
        link = ConnectedLauncher(peer, *stubs_of(peer.channel), launcher.pod)
        assert all((await answers(link)).values())
        launcher.entries = MANY
        assert [name for name, decoded in (await answers(link)).items() if decoded] == ["picture"]
        await peer.close()


async def test_a_process_that_names_features_without_end_is_not_decoded(tmp_path: Path) -> None:
    launcher, socket = FakeLauncher(), tmp_path / "socket"
    async with asyncio.timeout(PATIENCE):
        for count, decoded in ((500, True), (50_000, False)):
            launcher.features = tuple(f"feature-{number}" for number in range(count))
            peer = Peer(f"unix:{socket}", name="launcher")
            async with listening(launcher, socket):
                if decoded:
                    assert len((await peer.negotiate()).features) == count
                else:
                    with pytest.raises(RpcError, match="does not decode"):
                        await peer.negotiate()
            await peer.close()
