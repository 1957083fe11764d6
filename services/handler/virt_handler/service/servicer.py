"""HandlerService, the contract that virt-api calls. Served by app.py. Finds guests in the reflector's cache and
delegates to consoles.py and commands.py.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import Any

from kubevirt.handler.v1 import handler_pb2 as pb
from kubevirt.handler.v1 import handler_pb2_grpc
from virt_core.conventions import components
from virt_core.rpc.authorize import allow
from virt_core.rpc.errors import NotFound
from virt_core.rpc.port import Contract
from virt_core.vmi.instance import VirtualMachineInstance

from virt_handler.machines.observe import counting_pod, pods_on_node
from virt_handler.machines.sides import moves_to
from virt_handler.own_vmis import VmiCache
from virt_handler.service.commands import Commands
from virt_handler.service.consoles import Consoles


class HandlerService(handler_pb2_grpc.HandlerServiceServicer):
    """The servicer."""

    def __init__(self, node: str, vmis: VmiCache, consoles: Consoles, commands: Commands) -> None:
        self._node = node
        self._vmis = vmis
        self._consoles = consoles
        self._commands = commands

    def OpenConsole(  # type: ignore[override, misc, unused-ignore]  # noqa: N802 - the contract's name
        self, request_iterator: AsyncIterator[pb.OpenConsoleRequest], context: Any
    ) -> AsyncIterator[pb.OpenConsoleResponse]:
        """See handler.proto."""
        return self._consoles.open(request_iterator, self._pod, self._moves_to)

    async def CommandMachine(  # noqa: N802
        self, request: pb.CommandMachineRequest, context: Any
    ) -> pb.CommandMachineResponse:
        """See handler.proto."""
        return await self._commands.command(self._vmi(request.target), request.command)

    async def GetGuestDetails(  # noqa: N802
        self, request: pb.GetGuestDetailsRequest, context: Any
    ) -> pb.GetGuestDetailsResponse:
        """See handler.proto."""
        return await self._commands.guest_details(self._vmi(request.target))

    async def TakeScreenshot(  # noqa: N802
        self, request: pb.TakeScreenshotRequest, context: Any
    ) -> pb.TakeScreenshotResponse:
        """See handler.proto."""
        return await self._commands.screenshot(self._vmi(request.target))

    def _vmi(self, target: pb.VirtualMachineInstanceRef) -> VirtualMachineInstance:
        vmi = self._vmis.get((target.namespace, target.name))
        if vmi is None or vmi.metadata.uid != target.uid:
            raise NotFound(f"{target.namespace}/{target.name} with uid {target.uid} is not on node {self._node}")
        return vmi

    def _pod(self, target: pb.VirtualMachineInstanceRef) -> str:
        """The UID of its pod on this node."""
        vmi = self._vmi(target)
        pod_uid = counting_pod(vmi, self._node) or next(iter(pods_on_node(vmi, self._node)), None)
        if pod_uid is None:
            raise NotFound(f"{target.namespace}/{target.name} has no pod on node {self._node}")
        return pod_uid

    def _moves_to(self, target: pb.VirtualMachineInstanceRef, pod_uid: str) -> str:
        """The node to which the guest of that pod migrates; empty if it does not."""
        vmi = self._vmis.get((target.namespace, target.name))
        return moves_to(vmi, pod_uid) if vmi is not None and vmi.metadata.uid == target.uid else ""


def contract(service: HandlerService) -> Contract:
    """How the handler's port serves it: to virt-api only."""
    name = pb.DESCRIPTOR.services_by_name["HandlerService"].full_name
    add = partial(handler_pb2_grpc.add_HandlerServiceServicer_to_server, service)
    return Contract(name, add, allow(components.API))
