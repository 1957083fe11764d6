"""A connection to the launcher of a pod: its socket, the pod's network namespace, a negotiated peer.

Called through machines/pod.py by machines/link.py, which opens a new connection after a failure: a restarted launcher
has another socket.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from kubevirt.launcher.v1 import launcher_pb2_grpc, migration_pb2_grpc
from virt_core.conventions.launcher_pod import LAUNCHER_SOCKET, SOCKETS_VOLUME
from virt_core.conventions.screenshot import LARGEST_MESSAGE
from virt_core.rpc.bounded import BoundedChannel
from virt_core.rpc.peer import Peer

from virt_handler.launchers.peer_process import open_namespaces
from virt_handler.launchers.pod_folders import PodFolders

# Without this option, channels with equal targets share connections. A target contains a descriptor's number, which is
# reused: a channel could get the connection to another guest's launcher.
_OPTIONS = (
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_receive_message_length", LARGEST_MESSAGE),
)
_LARGEST_RESPONSE = 1 << 20
"""Bytes. Fewer are the statistics of 1024 vCPUs, 128 file systems and all disks, and the state of a guest with 32
interfaces of 16 addresses. A guest whose agent gives 128 file systems long names has more, and loses its details."""


@dataclass(frozen=True, slots=True)
class Launcher:
    """A live connection."""

    peer: Peer
    stub: Any
    migration: Any
    network_namespace: int
    root: int
    """Descriptors of the launcher's network namespace and root folder, valid as long as the connection."""


@asynccontextmanager
async def connect(folders: PodFolders, pod_uid: str, name: str) -> AsyncIterator[Launcher]:
    """Wait for the launcher's socket and connect to it. `name` is used in errors.

    Raises:
        HostilePath, NotThePod: never use this socket.
        OSError, Unavailable: retry.
    """
    socket_fd = await folders.wait_for_socket(pod_uid, SOCKETS_VOLUME, LAUNCHER_SOCKET)
    try:
        namespace, root = open_namespaces(socket_fd, pod_uid)
        try:
            peer = Peer(f"unix:/proc/self/fd/{socket_fd}", name=name, options=_OPTIONS)
            try:
                await peer.negotiate()
                yield Launcher(peer, *stubs_of(peer.channel), namespace, root)
            finally:
                await peer.close()
        finally:
            os.close(namespace)
            os.close(root)
    finally:
        os.close(socket_fd)


def stubs_of(channel: Any) -> tuple[Any, Any]:
    """LauncherService and MigrationService, with a limit for each response but pictures."""
    bounded: Any = BoundedChannel(channel, _LARGEST_RESPONSE, {"TakeScreenshot": LARGEST_MESSAGE})
    return launcher_pb2_grpc.LauncherServiceStub(bounded), migration_pb2_grpc.MigrationServiceStub(bounded)
