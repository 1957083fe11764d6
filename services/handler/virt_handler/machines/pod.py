"""The connected launcher of a VM, and operations inside that launcher's pod.

link.py connects, execute.py and service/commands.py call the launcher. The pod's network namespace and files are behind
PodAccess, so that tests run everything else against a launcher without a pod.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from kubevirt.launcher.v1 import machine_pb2
from virt_core import logs
from virt_core.conventions.labels import LAUNCHER_UID
from virt_core.rpc.peer import Peer

from virt_handler.launchers import claim_images
from virt_handler.launchers.block_devices import NoBlockDevice, give
from virt_handler.launchers.connection import connect
from virt_handler.launchers.pod_folders import PodFolders
from virt_handler.network.execute import prepare, read_pod_network
from virt_handler.network.namespace import run_inside
from virt_handler.network.plan import NetworkPlan, PodNetwork
from virt_handler.own_thread import OneAtATime

_IMAGE_SECONDS = 5.0  # a volume answers in milliseconds
_log = logs.bound("virt_handler.machines.pod")


class PodAccess(Protocol):
    """Operations of the handler inside a launcher's pod. All of them are repeatable."""

    async def read_network(self) -> PodNetwork:
        """The pod's network as the CNI plugin configured it.

        Raises:
            NetworkFailed: it cannot be read.
        """

    async def prepare_network(self, plan: NetworkPlan) -> None:
        """Set up the pod's network as in `plan`.

        Raises:
            NetworkFailed: the message names the step.
        """

    async def prepare_disk(self, disk: machine_pb2.Disk) -> None:
        """Make the source of `disk` accessible for the launcher's user.

        Raises:
            UnusableImage: somebody has to change the claim's volume first.
        """


@dataclass(frozen=True, slots=True)
class ConnectedLauncher:
    """A live connection."""

    peer: Peer
    stub: Any
    migration: Any
    """The stub of MigrationService."""

    pod: PodAccess


ConnectLauncher = Callable[[str, str], AbstractAsyncContextManager[ConnectedLauncher]]
"""Connects to the launcher of the pod with this UID; waits until it listens. The name is used in errors.

Raises:
    HostilePath, NotThePod: never use this socket.
    OSError, Unavailable: retry.
"""


@dataclass(frozen=True, slots=True)
class _NodePod:
    """A pod of this node, by descriptors of its launcher's network namespace and root folder."""

    uid: str
    network_namespace: int
    root: int
    images: OneAtATime[None]

    async def read_network(self) -> PodNetwork:
        return await run_inside(self.network_namespace, read_pod_network)

    async def prepare_network(self, plan: NetworkPlan) -> None:
        await run_inside(self.network_namespace, lambda: prepare(plan))

    async def prepare_disk(self, disk: machine_pb2.Disk) -> None:
        if disk.HasField("block_device"):
            try:
                give(self.root, disk.block_device.path, LAUNCHER_UID)
            except NoBlockDevice as error:
                _log.warning("leaving a device as it is", disk=disk.name, reason=str(error))
        elif disk.HasField("image_file"):
            wanted = _wanted(disk)

            def begin() -> Callable[[], None]:
                root = os.dup(self.root)  # the caller may close its own while the thread still runs
                return lambda: _provide(root, wanted)

            try:
                await self.images.run((self.uid, disk.name), "claim image", begin)
            except TimeoutError as error:
                reason = f"is in a volume that has not answered for {_IMAGE_SECONDS:.0f} s: is its server reachable?"
                raise claim_images.UnusableImage(reason) from error


def _wanted(disk: machine_pb2.Disk) -> claim_images.Wanted:
    """The image as the launcher will open it."""
    source = disk.image_file
    only_read = disk.read_only or disk.device == machine_pb2.DISK_DEVICE_CDROM or source.ephemeral
    return claim_images.Wanted(source.path, source.create_bytes, writes=bool(source.create_bytes) or not only_read)


def _provide(root: int, wanted: claim_images.Wanted) -> None:
    try:
        claim_images.provide(root, wanted, LAUNCHER_UID)
    finally:
        os.close(root)


def launchers_of(folders: PodFolders) -> ConnectLauncher:
    """Connects to launchers of this node by the sockets in their pods' folders."""
    images = OneAtATime[None](_IMAGE_SECONDS)  # across connections: a thread that hangs outlives its launcher

    @asynccontextmanager
    async def connected(pod_uid: str, name: str) -> AsyncIterator[ConnectedLauncher]:
        async with connect(folders, pod_uid, name) as launcher:
            pod = _NodePod(pod_uid, launcher.network_namespace, launcher.root, images)
            yield ConnectedLauncher(launcher.peer, launcher.stub, launcher.migration, pod)

    return connected
