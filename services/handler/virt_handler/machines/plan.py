"""Plans the actions for a machine from its observation. Pure; called by reconcile.py, executed by execute.py.

A VMI is started only in the phases Scheduling and Scheduled, and only after its launcher has reported that it has no
machine. A missing report never leads to an action, and no action ends a guest. A VMI that is being deleted is followed
to its end, so that watchers see how the guest ended.
"""

from __future__ import annotations

from datetime import datetime

from kubevirt.launcher.v1 import state_pb2
from virt_core.conventions.conditions import UNSUPPORTED_SPEC
from virt_core.objects.patch import Operation
from virt_core.validation.refusal import UnsupportedSpec
from virt_core.vmi.accepted import RefusedSpec
from virt_core.vmi.instance import VmiPhase
from virt_core.vmi.status import status_patch

from virt_handler.machines import status, status_devices
from virt_handler.machines.actions import (
    AcknowledgeEnd,
    Action,
    PatchStatus,
    PrepareNetwork,
    RecordEvent,
    StartMachine,
)
from virt_handler.machines.guest_state import GuestState
from virt_handler.machines.observe import LauncherRefusal, Observed, counting_pod
from virt_handler.machines.preparation import disk_preparation, planned_network
from virt_handler.machines.translate.machine import machine
from virt_handler.network import remembered
from virt_handler.network.plan import PodNetwork

_STARTABLE = (VmiPhase.SCHEDULING, VmiPhase.SCHEDULED)
_STARTED = (state_pb2.MACHINE_PHASE_RUNNING, state_pb2.MACHINE_PHASE_PAUSED)
_ALIVE = (*_STARTABLE, VmiPhase.RUNNING)


def plan(observed: Observed, now: datetime) -> tuple[Action, ...]:
    """The actions in order. They can be repeated safely, and after them the next plan is different or empty."""
    vmi, guest, network = observed.vmi, observed.guest, observed.network
    if guest is None or counting_pod(vmi, observed.node) is None:
        return ()
    if guest.phase == state_pb2.MACHINE_PHASE_ABSENT:
        return _start(observed, network, now) if network is not None else ()
    if guest.machine_uid != vmi.metadata.uid:
        return ()  # a report about another machine is ignored
    if guest.phase in _STARTED and vmi.status.phase in _ALIVE and network is not None:
        return _running(observed, network, guest, now)
    ended = guest.phase == state_pb2.MACHINE_PHASE_ENDED and guest.end != state_pb2.MACHINE_END_MIGRATED
    return _end(observed, guest, now) if ended else ()  # a guest that has migrated has not ended


def _running(observed: Observed, network: PodNetwork, guest: GuestState, now: datetime) -> tuple[Action, ...]:
    vmi, migrates = observed.vmi, observed.launcher_migrates
    events = () if vmi.status.phase is VmiPhase.RUNNING else status.STARTED_EVENTS
    warning = status.cannot_leave_its_node(vmi, observed.spec, launcher_migrates=migrates)
    after = status.running_status(
        vmi, observed.spec, network, guest, node=observed.node, launcher_migrates=migrates, now=now
    )
    return _patched(status_patch(vmi, after), *events, *warning)


def _end(observed: Observed, guest: GuestState, now: datetime) -> tuple[Action, ...]:
    vmi = observed.vmi
    if vmi.status.phase.final:
        return (AcknowledgeEnd(guest.machine_uid, guest.end),)
    if status.ended_by_kubelet(vmi, guest):
        return ()
    end = status.end_of(vmi, observed.spec, guest, observed.claim_users)
    return _patched(status.ended(vmi, end, now), status.end_event(end))


def _start(observed: Observed, pod: PodNetwork, now: datetime) -> tuple[Action, ...]:
    vmi, spec = observed.vmi, observed.spec
    startable = vmi.metadata.deletion_timestamp is None and vmi.status.phase in _STARTABLE
    if not startable or not observed.configured:
        return ()  # a guest that starts with defaults may never run; the configuration's arrival triggers a new plan
    if observed.refusal is not None:
        return _refused(observed, observed.refusal, now)
    if isinstance(spec, RefusedSpec):
        return _refused(observed, LauncherRefusal(UNSUPPORTED_SPEC, str(spec)), now)
    try:
        wanted = machine(vmi, spec, pod, observed.machine_types)
    except UnsupportedSpec as error:
        return _refused(observed, LauncherRefusal(UNSUPPORTED_SPEC, str(error)), now)
    network = planned_network(spec, pod)
    if network is not None and network.uplink is not None:
        try:
            remembered.write(network.uplink.remembered)
        except remembered.DoesNotFit as error:
            return _refused(observed, LauncherRefusal("PodNetworkNotBridged", str(error)), now)
    prepared = (PrepareNetwork(network),) if network is not None else ()
    return (*prepared, *disk_preparation(wanted), StartMachine(wanted))


def wait_for_volume(observed: Observed, disk: str, reason: str, now: datetime) -> tuple[Action, ...]:
    """What to report while a disk's volume cannot be used; nothing if it is reported."""
    message = f"{status_devices.described_disk(observed.spec, disk)} {reason}"
    return _refused(observed, LauncherRefusal("VolumeNotUsable", message), now)


def _refused(observed: Observed, refusal: LauncherRefusal, now: datetime) -> tuple[Action, ...]:
    operations = status.refused(observed.vmi, refusal.reason, refusal.message, now)
    return _patched(operations, RecordEvent(refusal.reason, refusal.message, warning=True))


def _patched(operations: list[Operation], *events: RecordEvent) -> tuple[Action, ...]:
    """The patch and the events that explain it; empty if the patch is empty."""
    return (PatchStatus(tuple(operations)), *events) if operations else ()
