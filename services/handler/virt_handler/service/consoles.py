"""Connects virt-api's stream to a guest's serial console or display. Called by servicer.py.

Opens the sockets in the same way as launchers/, because the pod's folder is hostile. The launcher is not involved, so
consoles work while it restarts.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from kubevirt.handler.v1 import handler_pb2 as pb
from virt_core import logs
from virt_core.conventions.launcher_pod import PRIVATE_VOLUME, SERIAL_SOCKET, VNC_SOCKET
from virt_core.rpc.errors import InvalidField, Refused, Unavailable

from virt_handler.launchers.pod_folders import HostilePath, PodFolders
from virt_handler.service.session import CHUNK, Session

SOCKETS = {
    pb.CONSOLE_DEVICE_SERIAL: SERIAL_SOCKET,
    pb.CONSOLE_DEVICE_VNC: VNC_SOCKET,
}
_HEARTBEAT = 10.0
_FIRST_REQUEST = 10.0
_TARGET = "a VirtualMachineInstance in the first request"
Requests = AsyncIterator[pb.OpenConsoleRequest]
Place = tuple[str, str]  # a pod's UID and the name of a socket in it


class Consoles:
    """All open consoles of this handler. A device has one caller, the newest."""

    def __init__(self, folders: PodFolders, open_session: Callable[[int], Awaitable[Session]] = Session.open) -> None:
        self._folders = folders
        self._open_session = open_session
        self._open: dict[Place, Session] = {}
        self._log = logs.bound("virt_handler.service.consoles")

    async def open(
        self,
        requests: Requests,
        pod_of: Callable[[pb.VirtualMachineInstanceRef], str],
        moves_to: Callable[[pb.VirtualMachineInstanceRef, str], str],
    ) -> AsyncIterator[pb.OpenConsoleResponse]:
        """The responses to a caller. `pod_of` returns the UID of the target's pod, `moves_to` the node to which the
        guest of that pod migrates, if it does.

        Raises:
            InvalidField: the first request does not name a guest and a device.
            Refused: the device does not exist, or it is in use and the caller preserves an older one.
            Displaced: a newer caller has opened the device.
            Unavailable: the console has ended here because the guest migrates.
        """
        first = await _first(requests)
        name = SOCKETS.get(first.device)
        if name is None:
            raise InvalidField("OpenConsoleRequest.device", first.device, "CONSOLE_DEVICE_SERIAL or CONSOLE_DEVICE_VNC")
        place = (pod_of(first.target), name)
        session = await self._take(place, preserve=first.preserve_older)
        typing = asyncio.create_task(_forward(requests, session), name=f"console input of pod {place[0]}")
        try:
            yield pb.OpenConsoleResponse(opened=pb.Opened())
            while (data := await session.read(_HEARTBEAT)) != b"":
                if data is None:
                    yield pb.OpenConsoleResponse(heartbeat=pb.Heartbeat())
                else:
                    yield pb.OpenConsoleResponse(data=data)
            if not session.ended and (node := moves_to(first.target, place[0])):
                raise Unavailable(f"the guest migrates to node {node}, connect again", reason="MIGRATED")
        finally:
            if self._open.get(place) is session:
                del self._open[place]
            typing.cancel()
            try:
                await asyncio.wait([typing])
            finally:
                await session.close()
            if not typing.cancelled() and (error := typing.exception()) is not None:
                self._log.warning("ending a console whose caller's stream broke", pod_uid=place[0], reason=str(error))

    async def _take(self, place: Place, *, preserve: bool) -> Session:
        """A session for the newest caller. The older session ends first, because a device has one client."""
        pod_uid, name = place
        if preserve and place in self._open:
            raise Refused(f"{name} is in use", reason="IN_USE")
        self._log.info("opening a console", pod_uid=pod_uid, socket=name)
        try:
            socket_fd = self._folders.open_socket(pod_uid, PRIVATE_VOLUME, name)
        except FileNotFoundError as error:
            raise Refused(f"the guest has no {name}, or does not run yet", reason="NO_CONSOLE") from error
        except HostilePath as error:
            raise Refused(f"{name} is not used: {error}", reason="HOSTILE_PATH") from error
        self._displace(place)
        session = await self._open_session(socket_fd)
        if preserve and place in self._open:  # another caller was faster
            session.displace()
            raise Refused(f"{name} is in use", reason="IN_USE")
        self._displace(place)  # a session that another caller opened in the meantime
        self._open[place] = session
        return session

    def _displace(self, place: Place) -> None:
        older = self._open.pop(place, None)
        if older is not None:
            self._log.info("displacing a console", pod_uid=place[0], socket=place[1])
            older.displace()


async def _first(requests: Requests) -> pb.OpenConsoleRequest:
    try:
        async with asyncio.timeout(_FIRST_REQUEST):
            request = await anext(requests)
    except (TimeoutError, StopAsyncIteration) as error:
        raise InvalidField("OpenConsoleRequest.target", None, _TARGET) from error
    if request.WhichOneof("message") != "target":
        raise InvalidField("OpenConsoleRequest.target", request.WhichOneof("message"), _TARGET)
    return request


async def _forward(requests: Requests, session: Session) -> None:
    """Forward the user's input to the guest. When the input ends, for any reason, the console ends."""
    try:
        async for request in requests:
            if len(request.data) > CHUNK:
                break
            await session.write(request.data)
    except OSError:  # the hypervisor has exited
        pass
    finally:
        session.end()
