"""A field that a peer does not know is refused with its path: by the sender before sending, by the receiver at any
depth. The newer release is this tree's launcher contract with fields added to its descriptor."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, duration_pb2, message_factory, timestamp_pb2
from google.protobuf.message import Message
from kubevirt.contract.v1 import options_pb2
from kubevirt.info.v1 import info_pb2
from kubevirt.launcher.v1 import (
    command_pb2,
    guest_pb2,
    launcher_pb2,
    launcher_pb2_grpc,
    machine_pb2,
    state_pb2,
    statistics_pb2,
)
from virt_core.rpc.error_status import from_rpc_error
from virt_core.rpc.errors import InvalidField, Refused, UnsupportedByPeer
from virt_core.rpc.identity import Identity
from virt_core.rpc.must_understand import require_supported
from virt_core.rpc.peer import Peer
from virt_core.rpc.server import create_server
from virt_launcher.app import FEATURES

from tests.support.patience import PATIENCE

FIELD = descriptor_pb2.FieldDescriptorProto
NVME = 90


def newer_start_request() -> Any:
    """StartMachineRequest of a later release: Machine gains `tpm`, SerialConsole, one level down, `speed`, and DiskBus
    the value NVME."""
    pool = descriptor_pool.DescriptorPool()
    known = (descriptor_pb2, options_pb2, duration_pb2, timestamp_pb2)
    for module in (*known, guest_pb2, state_pb2, command_pb2, statistics_pb2):
        pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    file = descriptor_pb2.FileDescriptorProto.FromString(machine_pb2.DESCRIPTOR.serialized_pb)
    if options_pb2.DESCRIPTOR.name not in file.dependency:
        file.dependency.append(options_pb2.DESCRIPTOR.name)
    bus = next(enum for enum in file.enum_type if enum.name == "DiskBus")
    nvme = bus.value.add(name="DISK_BUS_NVME", number=NVME)
    nvme.options.Extensions[options_pb2.value_feature] = "disk.nvme"
    for message in file.message_type:
        if message.name in ("Machine", "SerialConsole"):
            name, feature = ("tpm", "machine.tpm") if message.name == "Machine" else ("speed", "console.speed")
            added = message.field.add(name=name, number=900, type=FIELD.TYPE_STRING, label=FIELD.LABEL_OPTIONAL)
            added.options.Extensions[options_pb2.feature] = feature
    pool.Add(file)  # type: ignore[no-untyped-call]
    pool.AddSerializedFile(launcher_pb2.DESCRIPTOR.serialized_pb)
    descriptor = pool.FindMessageTypeByName("kubevirt.launcher.v1.StartMachineRequest")  # type: ignore[no-untyped-call]
    return message_factory.GetMessageClass(descriptor)


class OlderLauncher(launcher_pb2_grpc.LauncherServiceServicer):
    """This tree's contract; counts what reached it."""

    def __init__(self) -> None:
        self.started = 0

    async def StartMachine(self, request: Any, context: Any) -> launcher_pb2.StartMachineResponse:  # noqa: N802
        self.started += 1
        if request.machine.name == "bad":
            raise InvalidField("machine.name", "bad", "another")
        if request.machine.name == "other":
            raise Refused("another machine runs here", reason="OTHER_MACHINE")
        return launcher_pb2.StartMachineResponse()


@pytest.fixture
async def older(tmp_path: Path) -> AsyncIterator[tuple[OlderLauncher, str]]:
    launcher, target = OlderLauncher(), f"unix:{tmp_path}/sock"
    server = create_server(Identity.for_process(info_pb2.COMPONENT_LAUNCHER, ("kubevirt.launcher.v1",)))
    launcher_pb2_grpc.add_LauncherServiceServicer_to_server(launcher, server)  # type: ignore[no-untyped-call]
    server.add_insecure_port(target)
    await server.start()
    yield launcher, target
    await server.stop(None)


def start(channel: grpc.aio.Channel) -> Any:
    """The method as a newer release calls it: its own message type on the wire."""
    return channel.unary_unary(
        "/kubevirt.launcher.v1.LauncherService/StartMachine",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=launcher_pb2.StartMachineResponse.FromString,
    )


@pytest.mark.parametrize(
    ("fill", "path"),
    [
        (lambda m: setattr(m.machine, "tpm", "x"), "StartMachineRequest.machine.tpm"),
        (
            lambda m: setattr(m.machine.serial_console, "speed", "9600"),
            "StartMachineRequest.machine.serial_console.speed",
        ),
        (lambda m: m.machine.disks.add(bus=NVME), "StartMachineRequest.machine.disks[0].bus"),
    ],
)
async def test_sender_refuses_before_sending(older: tuple[OlderLauncher, str], fill: Any, path: str) -> None:
    launcher, target = older
    peer, request = Peer(target, name="launcher of ns/guest"), newer_start_request()()
    fill(request)
    with pytest.raises(UnsupportedByPeer, match="launcher of ns/guest") as refusal:
        await peer.call(start(peer.channel), request, timeout=PATIENCE)
    assert refusal.value.field == path
    assert launcher.started == 0
    await peer.close()


@pytest.mark.parametrize(
    ("fill", "path"),
    [
        (lambda m: setattr(m.machine, "tpm", "x"), "StartMachineRequest.machine.900"),
        (
            lambda m: setattr(m.machine.serial_console, "speed", "9600"),
            "StartMachineRequest.machine.serial_console.900",
        ),
        (lambda m: m.machine.disks.add(bus=NVME), "StartMachineRequest.machine.disks[0].bus"),
    ],
)
async def test_receiver_refuses_what_got_through(older: tuple[OlderLauncher, str], fill: Any, path: str) -> None:
    launcher, target = older
    request = newer_start_request()()
    fill(request)
    async with grpc.aio.insecure_channel(target) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await start(channel)(request, timeout=PATIENCE)
    assert refusal.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    error = from_rpc_error(refusal.value)
    assert isinstance(error, UnsupportedByPeer)
    assert (error.reason, error.field) == ("UNSUPPORTED_BY_PEER", path)
    assert launcher.started == 0


@pytest.mark.parametrize(
    ("machine", "path"),
    [
        (
            machine_pb2.Machine(access_credentials=[machine_pb2.AccessCredential(folder="/s")]),
            "StartMachineRequest.machine.access_credentials",
        ),
        (
            machine_pb2.Machine(disks=[machine_pb2.Disk(cloud_init=machine_pb2.CloudInit(public_key_folders=["/s"]))]),
            "StartMachineRequest.machine.disks[0].cloud_init.public_key_folders",
        ),
    ],
)
async def test_credentials_are_not_sent_to_a_launcher_without_the_feature(
    older: tuple[OlderLauncher, str], machine: machine_pb2.Machine, path: str
) -> None:
    launcher, target = older
    peer = Peer(target, name="launcher of ns/guest")
    stub: Any = launcher_pb2_grpc.LauncherServiceStub(peer.channel)
    request = launcher_pb2.StartMachineRequest(machine=machine)
    with pytest.raises(UnsupportedByPeer, match="access-credentials") as refusal:
        await peer.call(stub.StartMachine, request, timeout=PATIENCE)
    assert (refusal.value.field, launcher.started) == (path, 0)
    require_supported(request, FEATURES, "launcher")
    await peer.close()


async def test_a_newer_message_without_its_new_fields_is_understood(older: tuple[OlderLauncher, str]) -> None:
    launcher, target = older
    peer, request = Peer(target, name="launcher"), newer_start_request()()
    request.machine.uid = "u"
    await peer.call(start(peer.channel), request, timeout=PATIENCE)
    assert launcher.started == 1
    await peer.close()


async def test_a_method_that_the_peer_lacks_is_unsupported(older: tuple[OlderLauncher, str]) -> None:
    peer = Peer(older[1], name="launcher")
    stub: Any = launcher_pb2_grpc.LauncherServiceStub(peer.channel)
    with pytest.raises(UnsupportedByPeer):
        await peer.call(stub.StopMachine, launcher_pb2.StopMachineRequest(), timeout=PATIENCE)
    await peer.close()


async def test_typed_refusals_arrive_as_they_were_raised(older: tuple[OlderLauncher, str]) -> None:
    peer = Peer(older[1], name="launcher")
    stub: Any = launcher_pb2_grpc.LauncherServiceStub(peer.channel)

    async def start_named(name: str) -> None:
        request = launcher_pb2.StartMachineRequest(machine=machine_pb2.Machine(name=name))
        await peer.call(stub.StartMachine, request, timeout=PATIENCE)

    with pytest.raises(InvalidField, match="use another") as invalid:
        await start_named("bad")
    assert invalid.value.field == "machine.name"
    with pytest.raises(Refused) as refused:
        await start_named("other")
    assert refused.value.reason == "OTHER_MACHINE"
    await peer.close()


def test_a_feature_that_the_peer_names_may_be_used() -> None:
    request: Message = newer_start_request()()
    request.machine.tpm = "x"  # type: ignore[attr-defined]
    request.machine.disks.add(bus=NVME)  # type: ignore[attr-defined]
    require_supported(request, {"machine.tpm", "disk.nvme"}, "launcher")
