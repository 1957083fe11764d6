"""Forwards commands and queries of virt-api to the launcher of a guest, through its MachineLink. Called by servicer.py.

Returns the launcher's errors with sanitized texts and does not retry.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from kubevirt.handler.v1 import handler_pb2 as pb
from kubevirt.launcher.v1 import command_pb2, launcher_pb2
from virt_core import logs
from virt_core.conventions.screenshot import LARGEST_PICTURE
from virt_core.rpc.errors import RpcError, Unavailable
from virt_core.vmi.instance import VirtualMachineInstance

from virt_handler.machines.hostile_text import MESSAGE_LENGTH, TEXT_LENGTH, printable
from virt_handler.machines.link import Disconnected, MachineLink
from virt_handler.machines.pod import ConnectedLauncher

# Seconds. A guest agent may need long to freeze file systems; virt-api waits longer than this.
_COMMAND_DEADLINE, _QUESTION_DEADLINE = 20.0, 15.0


class Commands:
    """Commands for the machines of this node. `link_of` returns a machine's link, None if it has none."""

    def __init__(self, link_of: Callable[[VirtualMachineInstance], MachineLink | None]) -> None:
        self._link_of = link_of
        self._log = logs.bound("virt_handler.service.commands")

    async def command(self, vmi: VirtualMachineInstance, command: command_pb2.Command) -> pb.CommandMachineResponse:
        """Execute `command` and return the state after it.

        Raises:
            Unavailable: the launcher is not connected.
            RpcError: the launcher's error.
        """
        self._log.info("commanding the machine", vmi="/".join(vmi.key), command=command.WhichOneof("command"))
        request = launcher_pb2.CommandMachineRequest(machine_uid=vmi.metadata.uid, command=command)
        async with self._launcher(vmi) as launcher:
            answer = await launcher.peer.call(launcher.stub.CommandMachine, request, timeout=_COMMAND_DEADLINE)
        return pb.CommandMachineResponse(state=answer.state)

    async def guest_details(self, vmi: VirtualMachineInstance) -> pb.GetGuestDetailsResponse:
        """The guest agent's current details. Raises the same errors as `command`."""
        request = launcher_pb2.GetGuestDetailsRequest(machine_uid=vmi.metadata.uid)
        async with self._launcher(vmi) as launcher:
            answer = await launcher.peer.call(launcher.stub.GetGuestDetails, request, timeout=_QUESTION_DEADLINE)
        return pb.GetGuestDetailsResponse(details=answer)

    async def screenshot(self, vmi: VirtualMachineInstance) -> pb.TakeScreenshotResponse:
        """A picture of the guest's first display. Raises the same errors as `command`."""
        request = launcher_pb2.TakeScreenshotRequest(machine_uid=vmi.metadata.uid)
        async with self._launcher(vmi) as launcher:
            answer = await launcher.peer.call(launcher.stub.TakeScreenshot, request, timeout=_QUESTION_DEADLINE)
        if len(answer.png) > LARGEST_PICTURE:
            raise Unavailable(f"the launcher's picture of {len(answer.png)} bytes is too large")
        return pb.TakeScreenshotResponse(png=answer.png)

    @asynccontextmanager
    async def _launcher(self, vmi: VirtualMachineInstance) -> AsyncIterator[ConnectedLauncher]:
        link = self._link_of(vmi)
        try:
            if link is None:
                raise Disconnected(f"{vmi.metadata.name} has no launcher on this node")
            async with link.launcher() as launcher:
                yield launcher
        except Disconnected as error:
            raise Unavailable(str(error), reason="NO_LAUNCHER") from error
        except RpcError as error:
            raise harmless(error) from error


def harmless(error: RpcError) -> RpcError:
    """The launcher's `error` with bounded and printable texts."""
    error.message = printable(error.message, MESSAGE_LENGTH)
    error.reason = printable(error.reason, TEXT_LENGTH)
    error.field = printable(error.field, TEXT_LENGTH)
    error.args = (error.message,)
    return error
