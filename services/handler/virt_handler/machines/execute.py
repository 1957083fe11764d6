"""Executes the actions of plan.py. Called by reconcile.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

from kubevirt.launcher.v1 import launcher_pb2
from virt_core import logs
from virt_core.kube.client import KubeClient, Object
from virt_core.kube.events import EventRecorder
from virt_core.kube.resource import VIRTUAL_MACHINE_INSTANCES
from virt_core.vmi.instance import VirtualMachineInstance

from virt_handler.launchers.claim_images import UnusableImage
from virt_handler.machines.actions import (
    AcknowledgeEnd,
    Action,
    PatchStatus,
    PrepareDisks,
    PrepareNetwork,
    RecordEvent,
    StartMachine,
)
from virt_handler.machines.link import MachineLink

# Seconds. StartMachine returns when the guest's CPUs run, which takes long on a busy node; the call is repeatable.
_START_DEADLINE, _ACKNOWLEDGE_DEADLINE = 60.0, 5.0


class UnusableDisk(Exception):
    """The volume of the disk `name` has to be changed before the machine can start; the text says why."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(reason)
        self.name = name


class Executor:
    """Executes actions with the API server and launchers. `wrote` takes the API server's answers to patches, so that
    the next plan does not repeat them."""

    def __init__(self, client: KubeClient, events: EventRecorder, wrote: Callable[[Object], None]) -> None:
        self._client = client
        self._events = events
        self._wrote = wrote

    async def execute(self, action: Action, vmi: VirtualMachineInstance, link: MachineLink) -> None:
        """Execute an action.

        Raises:
            KubeError: the API server refuses or does not answer.
            RpcError: the launcher refuses or does not answer.
            Disconnected: the launcher is not connected.
            NetworkFailed: the pod's network could not be set up.
            UnusableDisk: the volume of a disk has to be changed first.
        """
        log = logs.bound("virt_handler.machines.execute", vmi="/".join(vmi.key))
        match action:
            case PrepareNetwork(plan):
                log.info("preparing the pod's network", bridge=plan.bridge, tap=plan.tap, mtu=plan.mtu)
                async with link.launcher() as launcher:
                    await launcher.pod.prepare_network(plan)
            case PrepareDisks(disks):
                log.info("preparing the machine's disks", disks=[disk.name for disk in disks])
                async with link.launcher() as launcher:
                    for disk in disks:
                        try:
                            await launcher.pod.prepare_disk(disk)
                        except UnusableImage as error:
                            raise UnusableDisk(disk.name, str(error)) from error
            case StartMachine(machine):
                log.info("starting the machine", uid=machine.uid)
                start = launcher_pb2.StartMachineRequest(machine=machine)
                async with link.launcher() as launcher:
                    await launcher.peer.call(launcher.stub.StartMachine, start, timeout=_START_DEADLINE)
            case PatchStatus(operations):
                log.info("writing the status", keys=[op["path"] for op in operations if op["op"] != "test"])
                meta = vmi.metadata
                place = (VIRTUAL_MACHINE_INSTANCES, meta.namespace, meta.name)
                self._wrote(await self._client.json_patch(*place, operations))
            case RecordEvent(reason, message, warning):
                log.info("recording an event", reason=reason, message=message)
                await self._events.record(vmi.reference, reason, message, action="Reconcile", warning=warning)
            case AcknowledgeEnd(machine_uid, end):
                log.info("acknowledging the machine's end", uid=machine_uid, end=end)
                request = launcher_pb2.AcknowledgeEndRequest(machine_uid=machine_uid, end=end)
                async with link.launcher() as launcher:
                    await launcher.peer.call(launcher.stub.AcknowledgeEnd, request, timeout=_ACKNOWLEDGE_DEADLINE)
                link.finish()
            case _:
                assert_never(action)
