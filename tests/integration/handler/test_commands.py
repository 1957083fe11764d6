"""Commands and queries from virt-api through the handler to a launcher: both ends use gRPC over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from kubevirt.handler.v1 import handler_pb2 as pb
from kubevirt.handler.v1 import handler_pb2_grpc
from kubevirt.info.v1 import info_pb2
from kubevirt.launcher.v1 import command_pb2, launcher_pb2, launcher_pb2_grpc, migration_pb2_grpc, state_pb2
from virt_core.rpc.error_status import from_rpc_error
from virt_core.rpc.errors import NotFound, Refused, RpcError, Unavailable
from virt_core.rpc.identity import Identity
from virt_core.rpc.peer import Peer
from virt_core.rpc.server import create_server
from virt_core.vmi.instance import VirtualMachineInstance
from virt_handler.launchers.connection import Launcher
from virt_handler.machines.link import Disconnected
from virt_handler.service.commands import Commands
from virt_handler.service.servicer import HandlerService

from tests.support.rpc_servers import serving_on

UID = "5f0c1e9e-6a50-4a34-8c6b-0d6f2b1c0a11"
PAUSE = command_pb2.Command(pause=command_pb2.Pause())


class LauncherDouble(launcher_pb2_grpc.LauncherServiceServicer):
    """Answers as a launcher may, and keeps what reached it."""

    def __init__(self) -> None:
        self.seen: list[Any] = []
        self.refuses = False
        self.picture = b"\x89PNG"

    async def CommandMachine(self, request: Any, context: Any) -> launcher_pb2.CommandMachineResponse:  # noqa: N802
        self.seen.append(request)
        if self.refuses:
            raise Refused("the guest is paused already", reason="ALREADY_PAUSED")
        state = state_pb2.MachineState(machine_uid=UID, phase=state_pb2.MACHINE_PHASE_PAUSED)
        return launcher_pb2.CommandMachineResponse(state=state)

    async def GetGuestDetails(self, request: Any, context: Any) -> launcher_pb2.GetGuestDetailsResponse:  # noqa: N802
        self.seen.append(request)
        return launcher_pb2.GetGuestDetailsResponse(timezone="CET, 3600")

    async def TakeScreenshot(self, request: Any, context: Any) -> launcher_pb2.TakeScreenshotResponse:  # noqa: N802
        self.seen.append(request)
        return launcher_pb2.TakeScreenshotResponse(png=self.picture)


class Link:
    """What commands.py asks of a machine's link: its launcher while it is connected."""

    def __init__(self, launcher: Launcher) -> None:
        self.connected = True
        self._launcher = launcher

    @asynccontextmanager
    async def launcher(self) -> AsyncIterator[Launcher]:
        if not self.connected:
            raise Disconnected("launcher of default/demo is not connected")
        yield self._launcher


class Node:
    """A handler with one guest, as virt-api calls it."""

    def __init__(self, channel: grpc.aio.Channel, launcher: LauncherDouble, link: Link, links: dict[str, Link]) -> None:
        self._stub: Any = handler_pb2_grpc.HandlerServiceStub(channel)
        self.launcher, self.link, self.links = launcher, link, links

    async def ask(self, method: str, uid: str = UID, **fields: Any) -> Any:
        target = pb.VirtualMachineInstanceRef(namespace="default", name="demo", uid=uid)
        request = getattr(pb, f"{method}Request")(target=target, **fields)
        return await getattr(self._stub, method)(request, timeout=60)

    async def refusal(self, method: str, **options: Any) -> RpcError:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await self.ask(method, **options)
        return from_rpc_error(refused.value)


@asynccontextmanager
async def _serving(component: Any, contract: str, target: str, add: Any, servicer: Any) -> AsyncIterator[None]:
    server = create_server(
        Identity.for_process(component, (contract,)), options=(("grpc.max_send_message_length", 32 << 20),)
    )
    add(servicer, server)
    async with serving_on(server, target):
        yield


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    stored = {
        "metadata": {"name": "demo", "namespace": "default", "uid": UID},
        "status": {"phase": "Running", "activePods": {"pod": "node1"}},
    }
    vmi = VirtualMachineInstance.of(stored)
    launcher = LauncherDouble()  # type: ignore[abstract, unused-ignore]  # the rest answers UNIMPLEMENTED
    below, above = f"unix:{tmp_path}/launcher", f"unix:{tmp_path}/handler"
    peer = Peer(below, name="launcher of default/demo", options=[("grpc.max_receive_message_length", 32 << 20)])
    machine = launcher_pb2_grpc.LauncherServiceStub(peer.channel)
    link = Link(Launcher(peer, machine, migration_pb2_grpc.MigrationServiceStub(peer.channel), -1, -1))
    links = {UID: link}
    commands = Commands(lambda found: links.get(found.metadata.uid))  # type: ignore[arg-type, return-value]
    service = HandlerService("node1", {vmi.key: vmi}, None, commands)  # type: ignore[arg-type]
    add_launcher = launcher_pb2_grpc.add_LauncherServiceServicer_to_server
    add_handler = handler_pb2_grpc.add_HandlerServiceServicer_to_server
    async with (
        _serving(info_pb2.COMPONENT_LAUNCHER, "kubevirt.launcher.v1", below, add_launcher, launcher),
        _serving(info_pb2.COMPONENT_HANDLER, "kubevirt.handler.v1", above, add_handler, service),
        grpc.aio.insecure_channel(above) as channel,
    ):
        yield Node(channel, launcher, link, links)
        await peer.close()


async def test_a_command_reaches_the_launcher_and_the_state_after_it_the_caller(node: Node) -> None:
    answer = await node.ask("CommandMachine", command=PAUSE)
    assert answer.state.phase == state_pb2.MACHINE_PHASE_PAUSED
    assert node.launcher.seen == [launcher_pb2.CommandMachineRequest(machine_uid=UID, command=PAUSE)]


async def test_questions_reach_the_launcher_and_its_answers_the_caller(node: Node) -> None:
    assert (await node.ask("GetGuestDetails")).details.timezone == "CET, 3600"
    assert (await node.ask("TakeScreenshot")).png == b"\x89PNG"
    assert [request.machine_uid for request in node.launcher.seen] == [UID, UID]


async def test_what_the_launcher_refuses_is_refused_in_its_words_and_not_tried_again(node: Node) -> None:
    node.launcher.refuses = True
    refused = await node.refusal("CommandMachine", command=PAUSE)
    assert isinstance(refused, Refused)
    assert (refused.reason, refused.message) == ("ALREADY_PAUSED", "the guest is paused already")
    assert len(node.launcher.seen) == 1


@pytest.mark.parametrize("method", ["CommandMachine", "GetGuestDetails", "TakeScreenshot"])
async def test_without_a_launcher_the_caller_gets_an_error_at_once(node: Node, method: str) -> None:
    node.link.connected = False
    away = await asyncio.wait_for(node.refusal(method), 30)
    assert isinstance(away, Unavailable) and away.reason == "NO_LAUNCHER"
    node.links.clear()
    none = await asyncio.wait_for(node.refusal(method), 30)
    assert isinstance(none, Unavailable) and none.reason == "NO_LAUNCHER"


async def test_another_machine_of_the_same_name_is_not_commanded(node: Node) -> None:
    assert isinstance(await node.refusal("CommandMachine", uid="another", command=PAUSE), NotFound)
    assert node.launcher.seen == []


async def test_a_picture_larger_than_the_contract_has_it_goes_no_further(node: Node) -> None:
    node.launcher.picture = b"x" * ((16 << 20) + 1)
    refused = await node.refusal("TakeScreenshot")
    assert isinstance(refused, Unavailable) and "too large" in refused.message
