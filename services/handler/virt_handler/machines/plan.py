"""What to do about one machine, from what was observed. Pure; called by reconcile.py, done by execute.py.

A VMI is started only while it is Scheduling or Scheduled, and only when its launcher itself said that it has no
machine. Nothing is ever concluded from silence, and nothing here ends a guest.
"""

from __future__ import annotations

from datetime import datetime

from kubevirt.launcher.v1 import launcher_pb2
from virt_core.objects.patch import Operation
from virt_core.validation.refusal import UnsupportedSpec
from virt_core.vmi.instance import VmiPhase, parse_spec

from virt_handler.machines import status
from virt_handler.machines.actions import AcknowledgeEnd, Action, PatchStatus, PrepareNetwork, Refuse, StartMachine
from virt_handler.machines.observe import Observed, pod_on_node
from virt_handler.machines.translate.machine import machine
from virt_handler.network import remembered
from virt_handler.network.plan import network_plan

_STARTABLE = (VmiPhase.SCHEDULING, VmiPhase.SCHEDULED)
_STARTED = (launcher_pb2.MACHINE_PHASE_RUNNING, launcher_pb2.MACHINE_PHASE_PAUSED)
_ALIVE = (*_STARTABLE, VmiPhase.RUNNING)


def plan(observed: Observed, now: datetime) -> tuple[Action, ...]:
    """The actions, in order. Repeating them is safe; after them, the same observation changes or gives none."""
    vmi, guest = observed.vmi, observed.guest
    if guest is None or observed.network is None or pod_on_node(vmi, observed.node) is None:
        return ()
    if guest.phase == launcher_pb2.MACHINE_PHASE_ABSENT:
        return _start(observed, now)
    if guest.machine_uid != vmi.metadata.uid:
        return ()  # a launcher that speaks of another machine is not believed
    if guest.phase in _STARTED and vmi.status.phase in _ALIVE:
        return _patched(status.running(vmi, observed.node, observed.network, guest, now))
    if guest.phase == launcher_pb2.MACHINE_PHASE_ENDED and not status.ended_by_kubelet(vmi, guest):
        return _patched(status.ended(vmi, guest, now)) or (AcknowledgeEnd(guest.machine_uid),)
    return ()


def refusal(observed: Observed, reason: str, message: str, now: datetime) -> tuple[Action, ...]:
    """How a refusal is told; nothing if it has been told."""
    operations = status.refused(observed.vmi, reason, message, now)
    return (Refuse(reason, message, tuple(operations)),) if operations else ()


def _start(observed: Observed, now: datetime) -> tuple[Action, ...]:
    if observed.refused or observed.network is None or observed.vmi.status.phase not in _STARTABLE:
        return ()
    try:
        wanted = machine(observed.vmi, observed.configuration, observed.network)
    except UnsupportedSpec as error:
        return refusal(observed, "UnsupportedSpec", str(error), now)
    spec = parse_spec(observed.vmi.spec)
    queues = any(interface.multiqueue for interface in wanted.interfaces)
    network = network_plan(observed.network, spec, queues=queues)
    if network is not None and network.uplink is not None:
        try:
            remembered.write(network.uplink.remembered)
        except remembered.DoesNotFit as error:
            return refusal(observed, "PodNetworkNotBridged", str(error), now)
    prepare = (PrepareNetwork(network),) if network is not None else ()
    return (*prepare, StartMachine(wanted))


def _patched(operations: list[Operation]) -> tuple[Action, ...]:
    return (PatchStatus(tuple(operations)),) if operations else ()
