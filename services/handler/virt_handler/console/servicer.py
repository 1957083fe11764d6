"""HandlerService: joins virt-api's stream to a guest's serial console. Served by app.py.

Knows which guests are on this node from the reflector's cache, and opens their sockets as launchers/ does: the pod's
folder is hostile. It does not ask the launcher, so consoles work while the launcher restarts.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

from kubevirt.handler.v1 import handler_pb2, handler_pb2_grpc
from virt_core import logs
from virt_core.api.vmi import VirtualMachineInstance
from virt_core.kube.reflector import Reflector
from virt_core.rpc.authorize import components
from virt_core.rpc.errors import InvalidField, NotFound, Refused
from virt_core.rpc.port import Contract

from virt_handler.console.session import CHUNK, Session
from virt_handler.launchers.pod_folders import HostilePath, PodFolders
from virt_handler.machines.observe import pod_on_node

VOLUME, SOCKET = "private", "virt-serial0"
_HEARTBEAT = 10.0
_FIRST_REQUEST = 10.0
_TARGET = "a VirtualMachineInstance in the first request"


class HandlerService(handler_pb2_grpc.HandlerServiceServicer):
    """The servicer."""

    def __init__(self, node: str, vmis: Reflector[VirtualMachineInstance], folders: PodFolders) -> None:
        self._node = node
        self._vmis = vmis
        self._folders = folders
        self._open: dict[str, Session] = {}  # by pod UID
        self._log = logs.bound("virt_handler.console")

    async def OpenConsole(  # type: ignore[override, misc, unused-ignore]  # noqa: N802 - the contract's name
        self, request_iterator: AsyncIterator[handler_pb2.OpenConsoleRequest], context: Any
    ) -> AsyncIterator[handler_pb2.OpenConsoleResponse]:
        """See handler.proto."""
        pod_uid = self._find(await _first(request_iterator))
        session = await self._take(pod_uid)
        typing = asyncio.create_task(_forward(request_iterator, session), name=f"console input of pod {pod_uid}")
        try:
            yield handler_pb2.OpenConsoleResponse(opened=handler_pb2.Opened())
            while (data := await session.read(_HEARTBEAT)) != b"":
                if data is None:
                    yield handler_pb2.OpenConsoleResponse(heartbeat=handler_pb2.Heartbeat())
                else:
                    yield handler_pb2.OpenConsoleResponse(data=data)
        finally:
            typing.cancel()
            if self._open.get(pod_uid) is session:
                del self._open[pod_uid]
            await session.close()

    async def CommandMachine(  # noqa: N802 - the contract's name
        self, request: handler_pb2.CommandMachineRequest, context: Any
    ) -> handler_pb2.CommandMachineResponse:
        raise Refused("this handler carries no commands yet", reason="NOT_SUPPORTED")

    async def GetGuestDetails(  # noqa: N802 - the contract's name
        self, request: handler_pb2.GetGuestDetailsRequest, context: Any
    ) -> handler_pb2.GetGuestDetailsResponse:
        raise Refused("this handler asks no guest agent yet", reason="NO_GUEST_AGENT")

    async def TakeScreenshot(  # noqa: N802 - the contract's name
        self, request: handler_pb2.TakeScreenshotRequest, context: Any
    ) -> handler_pb2.TakeScreenshotResponse:
        raise Refused("this handler takes no pictures yet", reason="NO_DISPLAY")

    def _find(self, target: handler_pb2.VirtualMachineInstanceRef) -> str:
        vmi = self._vmis.get((target.namespace, target.name))
        if vmi is None or vmi.metadata.uid != target.uid:
            raise NotFound(f"{target.namespace}/{target.name} with uid {target.uid} is not on node {self._node}")
        pods = vmi.status.active_pods
        pod_uid = pod_on_node(vmi, self._node) or next((u for u, n in sorted(pods.items()) if n == self._node), None)
        if pod_uid is None:
            raise NotFound(f"{target.namespace}/{target.name} has no pod on node {self._node}")
        return pod_uid

    async def _take(self, pod_uid: str) -> Session:
        """A session for the newest caller; the older one ends first, for the serial port has one client."""
        self._log.info("opening a console", pod_uid=pod_uid)
        try:
            socket_fd = self._folders.open_socket(pod_uid, VOLUME, SOCKET)
        except FileNotFoundError as error:
            raise Refused("the guest has no serial console, or does not run yet", reason="NO_CONSOLE") from error
        except HostilePath as error:
            raise Refused(f"the serial console is not used: {error}", reason="HOSTILE_PATH") from error
        self._displace(pod_uid)
        session = await Session.open(socket_fd)
        self._displace(pod_uid)  # who came while this one was opened
        self._open[pod_uid] = session
        return session

    def _displace(self, pod_uid: str) -> None:
        older = self._open.pop(pod_uid, None)
        if older is not None:
            self._log.info("displacing a console", pod_uid=pod_uid)
            older.displace()


def contract(service: HandlerService) -> Contract:
    """How the handler's port serves it: to virt-api only."""
    name = handler_pb2.DESCRIPTOR.services_by_name["HandlerService"].full_name
    add = partial(handler_pb2_grpc.add_HandlerServiceServicer_to_server, service)
    return Contract(name, add, components("virt-api"))


async def _first(requests: AsyncIterator[handler_pb2.OpenConsoleRequest]) -> handler_pb2.VirtualMachineInstanceRef:
    try:
        async with asyncio.timeout(_FIRST_REQUEST):
            request = await anext(requests)
    except (TimeoutError, StopAsyncIteration) as error:
        raise InvalidField("OpenConsoleRequest.target", None, _TARGET) from error
    if request.WhichOneof("message") != "target":
        raise InvalidField("OpenConsoleRequest.target", request.WhichOneof("message"), _TARGET)
    return request.target


async def _forward(requests: AsyncIterator[handler_pb2.OpenConsoleRequest], session: Session) -> None:
    """What the user types, until the user or the hypervisor ends it."""
    try:
        async for request in requests:
            if len(request.data) <= CHUNK:
                await session.write(request.data)
            else:
                break
    except OSError:  # the hypervisor went away
        pass
    session.end()
