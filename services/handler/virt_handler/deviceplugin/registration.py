"""Serves the plugin of a kind of device and registers it with the kubelet, again after each restart of the kubelet.

Run by app.py, once for each kind.

A starting kubelet removes every plugin's socket and creates a new kubelet.sock; the folder is watched for that. The
kubelet rejects pods that arrive while no plugin is registered, and the controller replaces them.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import grpc
from k8s.deviceplugin.v1beta1 import deviceplugin_pb2 as pb
from k8s.deviceplugin.v1beta1 import deviceplugin_pb2_grpc
from virt_core import logs

from virt_handler.deviceplugin.device_node import ensure
from virt_handler.deviceplugin.plugin import API_VERSION, DevicePlugin, Kind
from virt_handler.launchers.folder_events import FolderEvents

KUBELET = "kubelet.sock"
_DEADLINE = 5.0
_BACKOFF_FIRST, _BACKOFF_LAST = 0.1, 5.0
_log = logs.bound("virt_handler.deviceplugin")


async def serve(folder: Path, events: FolderEvents, kind: Kind, offered: asyncio.Event) -> None:
    """Offer the devices to the kubelet of `folder` until cancelled; `offered` is set while they are registered."""
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    backoff = _BACKOFF_FIRST
    try:
        while True:
            with events.watch(descriptor) as changed:
                kubelet = _identity(folder / KUBELET)
                if kubelet is None:
                    await changed.wait()
                    continue
                try:
                    await _offer(folder, changed, kubelet, kind, offered)
                    backoff = _BACKOFF_FIRST
                except (grpc.aio.AioRpcError, OSError) as error:
                    _log.warning(
                        "announcing again after a failure", resource=kind.resource, reason=str(error), delay=backoff
                    )
                    await asyncio.sleep(backoff)
                    backoff = min(backoff * 2, _BACKOFF_LAST)
    finally:
        os.close(descriptor)


async def _offer(
    folder: Path, changed: asyncio.Event, kubelet: tuple[int, int], kind: Kind, offered: asyncio.Event
) -> None:
    """Serve and register. Returns when the kubelet has restarted.

    Raises:
        OSError, AioRpcError: the kubelet does not answer, does not call back or disconnects.
    """
    plugin = DevicePlugin(kind, ensure(folder, kind.name, kind.number), changed.set)
    endpoint = f"kubevirt-{kind.name}.sock"
    server = grpc.aio.server()
    deviceplugin_pb2_grpc.add_DevicePluginServicer_to_server(plugin, server)
    (folder / endpoint).unlink(missing_ok=True)
    server.add_insecure_port(f"unix:{folder / endpoint}")
    await server.start()
    try:
        await _announce(folder, kind, endpoint)
        # The kubelet answers before it calls back. Meanwhile the handler that this one replaces may remove the socket.
        async with asyncio.timeout(_DEADLINE):
            await plugin.watched.wait()
        offered.set()
        while _identity(folder / KUBELET) == kubelet:
            if not plugin.watched.is_set():
                raise ConnectionError("the kubelet disconnected")
            changed.clear()
            await changed.wait()
        _log.info("registering again after a restart of the kubelet")
    finally:
        offered.clear()
        plugin.end()
        await server.stop(grace=None)


async def _announce(folder: Path, kind: Kind, endpoint: str) -> None:
    _log.info("registering devices with the kubelet", resource=kind.resource)
    async with grpc.aio.insecure_channel(f"unix:{folder / KUBELET}") as channel:
        request = pb.RegisterRequest(version=API_VERSION, endpoint=endpoint, resource_name=kind.resource)
        await deviceplugin_pb2_grpc.RegistrationStub(channel).Register(request, timeout=_DEADLINE)  # type: ignore[no-untyped-call, unused-ignore]


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat(follow_symlinks=False)
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_ctime_ns
