"""The device plugin, called over real sockets by a minimal kubelet."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import grpc
import pytest
from k8s.deviceplugin.v1beta1 import deviceplugin_pb2 as pb
from k8s.deviceplugin.v1beta1 import deviceplugin_pb2_grpc
from virt_handler.deviceplugin import registration
from virt_handler.deviceplugin.plugin import KVM, TUN, Kind
from virt_handler.launchers.folder_events import FolderEvents

from tests.support.patience import PATIENCE


class Kubelet(deviceplugin_pb2_grpc.RegistrationServicer):
    """Serves Registration as the kubelet does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.registered: asyncio.Queue[pb.RegisterRequest] = asyncio.Queue()
        self.server: Any = None

    async def Register(self, request: pb.RegisterRequest, context: Any) -> pb.Empty:  # noqa: N802
        self.registered.put_nowait(request)
        return pb.Empty()

    async def start(self) -> None:
        """A kubelet that starts removes what it finds."""
        for path in self.folder.iterdir():
            if not path.is_dir():
                path.unlink()
        self.server = grpc.aio.server()
        deviceplugin_pb2_grpc.add_RegistrationServicer_to_server(self, self.server)
        self.server.add_insecure_port(f"unix:{self.folder / 'kubelet.sock'}")
        await self.server.start()

    async def stop(self) -> None:
        await self.server.stop(None)


@pytest.fixture
async def kubelet() -> AsyncIterator[Kubelet]:
    if os.geteuid() != 0:
        pytest.skip("needs root: a device node is made")
    with TemporaryDirectory() as folder:  # short: a socket's address has 107 bytes
        yield Kubelet(Path(folder))


async def _announced(kubelet: Kubelet) -> pb.RegisterRequest:
    async with asyncio.timeout(PATIENCE):
        return await kubelet.registered.get()


@pytest.mark.parametrize(
    ("kind", "path", "number"),
    [(TUN, "/dev/net/tun", os.makedev(10, 200)), (KVM, "/dev/kvm", os.makedev(10, 232))],
    ids=["tun", "kvm"],
)
async def test_devices_are_announced_listed_and_allocated_and_again_to_the_next_kubelet(
    kubelet: Kubelet, kind: Kind, path: str, number: int
) -> None:
    events, offered = FolderEvents(), asyncio.Event()
    serving = asyncio.create_task(registration.serve(kubelet.folder, events, kind, offered))
    await kubelet.start()
    for _ in range(2):
        request = await _announced(kubelet)
        assert (request.version, request.resource_name) == ("v1beta1", f"devices.kubevirt.io/{kind.name}")
        async with grpc.aio.insecure_channel(f"unix:{kubelet.folder / request.endpoint}") as channel:
            stub: Any = deviceplugin_pb2_grpc.DevicePluginStub(channel)  # type: ignore[no-untyped-call, unused-ignore]
            options = await stub.GetDevicePluginOptions(pb.Empty(), timeout=PATIENCE)
            assert options == pb.DevicePluginOptions()
            assert not offered.is_set()
            listed = stub.ListAndWatch(pb.Empty(), timeout=PATIENCE)
            devices = (await listed.read()).devices
            async with asyncio.timeout(PATIENCE):
                await offered.wait()
            assert len({device.id for device in devices}) == len(devices) >= 110
            assert {device.health for device in devices} == {"Healthy"}
            node = kubelet.folder / "kubevirt-devices" / kind.name
            made = node.stat()
            assert (stat.filemode(made.st_mode), made.st_rdev) == ("crw-rw-rw-", number)
            containers = [pb.ContainerAllocateRequest(devices_ids=[f"{kind.name}0"])] * 2
            answer = await stub.Allocate(pb.AllocateRequest(container_requests=containers), timeout=PATIENCE)
            expected = pb.DeviceSpec(container_path=path, host_path=str(node), permissions="rw")
            assert [list(response.devices) for response in answer.container_responses] == [[expected], [expected]]
            await kubelet.stop()
        await kubelet.start()
    await _announced(kubelet)
    serving.cancel()
    await asyncio.wait([serving])
    await kubelet.stop()
    events.close()
