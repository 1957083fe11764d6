"""The device plugin for a kind of device. Served by registration.py.

A launcher pod has no capabilities; the device plugin adds the device node to its container and to its device cgroup.
The devices are not limited: their number only has to exceed the number of pods on a node.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from k8s.deviceplugin.v1beta1 import deviceplugin_pb2 as pb
from k8s.deviceplugin.v1beta1 import deviceplugin_pb2_grpc
from virt_core import logs
from virt_core.conventions import devices

API_VERSION = "v1beta1"
COUNT = 1000


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of device."""

    name: str
    """Part of the plugin's socket and of the devices' IDs."""

    resource: str
    """The resource that pods request."""

    path: str
    """The device in the launcher's container."""

    number: int
    """Major and minor, as of os.makedev. From <linux/miscdevice.h>."""


TUN = Kind("tun", devices.TUN, "/dev/net/tun", os.makedev(10, 200))
KVM = Kind("kvm", devices.KVM, "/dev/kvm", os.makedev(10, 232))


class DevicePlugin(deviceplugin_pb2_grpc.DevicePluginServicer):
    """The servicer of one kind of device."""

    def __init__(self, kind: Kind, host_path: Path, on_drop: Callable[[], None]) -> None:
        """`host_path` is the device node on the host (device_node.py); `on_drop` is called when the kubelet
        disconnects."""
        self.watched = asyncio.Event()
        """Set while the kubelet watches the devices. Without a watch it offers none to pods."""
        self._on_drop = on_drop
        self._kind = kind
        self._host_path = str(host_path)
        self._ended = asyncio.Event()
        self._log = logs.bound("virt_handler.deviceplugin")

    def end(self) -> None:
        """End the streams: the server stops."""
        self._ended.set()

    async def GetDevicePluginOptions(self, request: pb.Empty, context: Any) -> pb.DevicePluginOptions:  # noqa: N802
        """No optional calls."""
        return pb.DevicePluginOptions()

    async def ListAndWatch(  # type: ignore[override, misc, unused-ignore]  # noqa: N802
        self, request: pb.Empty, context: Any
    ) -> AsyncIterator[pb.ListAndWatchResponse]:
        """All devices once: their health does not change while this process lives."""
        self._log.info("listing devices to the kubelet", resource=self._kind.resource, count=COUNT)
        devices = [pb.Device(id=f"{self._kind.name}{number}", health="Healthy") for number in range(COUNT)]
        self.watched.set()
        try:
            yield pb.ListAndWatchResponse(devices=devices)
            await self._ended.wait()
        finally:
            self.watched.clear()
            self._on_drop()

    async def Allocate(self, request: pb.AllocateRequest, context: Any) -> pb.AllocateResponse:  # noqa: N802
        """The same device node for each container."""
        device = pb.DeviceSpec(container_path=self._kind.path, host_path=self._host_path, permissions="rw")
        return pb.AllocateResponse(
            container_responses=[pb.ContainerAllocateResponse(devices=[device]) for _ in request.container_requests]
        )
