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

from kubevirt.launcher.v1 import launcher_pb2, launcher_pb2_grpc, migration_pb2_grpc
from virt_core.conventions.launcher_pod import LAUNCHER_SOCKET, SOCKETS_VOLUME
from virt_core.conventions.screenshot import LARGEST_MESSAGE
from virt_core.rpc.peer import Peer

from virt_handler.launchers.peer_process import open_namespaces
from virt_handler.launchers.pod_folders import PodFolders

# Without this option, channels with equal targets share connections. A target contains a descriptor's number, which is
# reused: a channel could get the connection to another guest's launcher.
_OPTIONS = (
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_receive_message_length", LARGEST_MESSAGE),
)
_LARGEST_STATISTICS = 1 << 20  # bytes; those of 1024 vCPUs, 128 file systems and all disks are fewer


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
                machine = stub_of(peer.channel)
                migration = migration_pb2_grpc.MigrationServiceStub(peer.channel)
                yield Launcher(peer, machine, migration, namespace, root)
            finally:
                await peer.close()
        finally:
            os.close(namespace)
            os.close(root)
    finally:
        os.close(socket_fd)


def stub_of(channel: Any) -> Any:
    """LauncherService, with a limit of its own for statistics, which are asked of all launchers at once."""
    stub: Any = launcher_pb2_grpc.LauncherServiceStub(channel)
    stub.GetStatistics = channel.unary_unary(
        "/kubevirt.launcher.v1.LauncherService/GetStatistics",
        request_serializer=launcher_pb2.GetStatisticsRequest.SerializeToString,
        response_deserializer=_statistics,
    )
    return stub


def _statistics(content: bytes) -> launcher_pb2.GetStatisticsResponse:
    """The channel's limit is that of pictures, and as many empty entries take half a gigabyte of memory. An error here
    is a message that does not decode."""
    if len(content) > _LARGEST_STATISTICS:
        raise ValueError(f"{len(content)} bytes of statistics")
    return launcher_pb2.GetStatisticsResponse.FromString(content)
