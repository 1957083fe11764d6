"""ProbeService, with which virt-operator proves a handler after a replacement and counts launchers. Served by app.py.

Answers from what this handler sees and from the launchers themselves. Nothing is changed, and nothing is waited for: a
launcher that is not connected yet is reported as such, and virt-operator asks again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

from kubevirt.handler.v1 import handler_pb2, probe_pb2, probe_pb2_grpc
from virt_core.conventions import components
from virt_core.rpc.authorize import allow
from virt_core.rpc.errors import RpcError
from virt_core.rpc.port import Contract
from virt_core.vmi.instance import VirtualMachineInstance

from virt_handler.machines.hostile_text import MESSAGE_LENGTH, printable
from virt_handler.machines.link import Disconnected, MachineLink
from virt_handler.machines.observe import pods_on_node
from virt_handler.own_vmis import VmiCache
from virt_handler.service.launcher_builds import launchers_message

_DEADLINE = 2.0  # seconds for a launcher's answer, which takes milliseconds
_AT_ONCE = 110  # launchers, as many as a node has pods by default: those that hang must not delay the others

LinkIn = Callable[[VirtualMachineInstance, str], MachineLink | None]
"""The link to a VMI's launcher in the pod with that UID."""


class ProbeService(probe_pb2_grpc.ProbeServiceServicer):
    """The servicer."""

    def __init__(self, node: str, vmis: VmiCache, link_in: LinkIn, *, deadline: float = _DEADLINE) -> None:
        self._node = node
        self._vmis = vmis
        self._link_in = link_in
        self._deadline = deadline

    async def ProbeMachines(  # noqa: N802 - the contract's name
        self, request: probe_pb2.ProbeMachinesRequest, context: Any
    ) -> probe_pb2.ProbeMachinesResponse:
        """See probe.proto."""
        wanted, turns = frozenset(request.uids), asyncio.Semaphore(_AT_ONCE)
        pods = [(vmi, pod_uid) for vmi, pod_uid in self._pods() if not wanted or vmi.metadata.uid in wanted]

        async def probe(vmi: VirtualMachineInstance, pod_uid: str) -> probe_pb2.ProbedMachine:
            async with turns:
                return await self._probe(vmi, pod_uid)

        machines = await asyncio.gather(*(probe(vmi, pod_uid) for vmi, pod_uid in pods))
        return probe_pb2.ProbeMachinesResponse(machines=machines)

    async def ListLaunchers(  # noqa: N802 - the contract's name
        self, request: probe_pb2.ListLaunchersRequest, context: Any
    ) -> probe_pb2.ListLaunchersResponse:
        """See probe.proto."""
        links = ((vmi, self._link_in(vmi, pod_uid)) for vmi, pod_uid in self._pods())
        return launchers_message((_ref(vmi), link.launcher_info if link is not None else None) for vmi, link in links)

    def _pods(self) -> list[tuple[VirtualMachineInstance, str]]:
        """Each launcher pod of this node, with the UID of the pod."""
        pods = ((vmi, pod_uid) for vmi in self._vmis for pod_uid in pods_on_node(vmi, self._node))
        return sorted(pods, key=lambda pair: (pair[0].metadata.uid, pair[1]))

    async def _probe(self, vmi: VirtualMachineInstance, pod_uid: str) -> probe_pb2.ProbedMachine:
        clock = asyncio.get_running_loop()
        probed = probe_pb2.ProbedMachine(machine=_ref(vmi), pod_uid=pod_uid)
        link = self._link_in(vmi, pod_uid)
        try:
            if link is None:
                raise Disconnected("this handler has not connected to its launcher")
            async with link.launcher() as launcher:
                began = clock.time()
                await launcher.peer.negotiate(self._deadline, patient=False)
                probed.round_trip.FromTimedelta(timedelta(seconds=clock.time() - began))
        except (Disconnected, RpcError) as error:
            probed.message = printable(str(error), MESSAGE_LENGTH) or "its launcher does not answer"
        else:
            probed.launcher_answered = True
        return probed


def _ref(vmi: VirtualMachineInstance) -> handler_pb2.VirtualMachineInstanceRef:
    meta = vmi.metadata
    return handler_pb2.VirtualMachineInstanceRef(namespace=meta.namespace, name=meta.name, uid=meta.uid)


def contract(service: ProbeService) -> Contract:
    """How the handler's port serves it: to virt-operator only."""
    name = probe_pb2.DESCRIPTOR.services_by_name["ProbeService"].full_name
    add = partial(probe_pb2_grpc.add_ProbeServiceServicer_to_server, service)
    return Contract(name, add, allow(components.OPERATOR))
