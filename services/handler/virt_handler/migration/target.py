"""Plans what the handler does for the pod in which a guest arrives. Pure; called by reconcile.py.

The guest counts as arrived when this pod's launcher says that it runs: that launcher starts it only after the source
has given it up for good. A report of it before this side was prepared is a lie, and fails the migration. Until it has
arrived, nothing that this launcher reports changes the VirtualMachineInstance's phase.
"""

from __future__ import annotations

from datetime import datetime
from ipaddress import AddressValueError, IPv4Address

from kubevirt.launcher.v1 import machine_pb2, migration_pb2, state_pb2
from virt_core.conventions import events
from virt_core.conventions.conditions import PAUSED
from virt_core.objects.meta import condition_of
from virt_core.validation.refusal import UnsupportedSpec
from virt_core.vmi.accepted import AcceptedSpec, RefusedSpec
from virt_core.vmi.status import status_patch

from virt_handler.machines import status as machine_status
from virt_handler.machines.actions import PatchStatus, PrepareNetwork, RecordEvent
from virt_handler.machines.guest_state import GuestState
from virt_handler.machines.preparation import disk_preparation, planned_network
from virt_handler.machines.translate.machine import machine
from virt_handler.migration import status
from virt_handler.migration.actions import AbortTarget, Action, CommitTarget, PrepareTarget
from virt_handler.migration.observe import ObservedSide
from virt_handler.network.plan import PodNetwork
from virt_handler.network.rules import IncomingMigration

_HERE = (state_pb2.MACHINE_PHASE_RUNNING, state_pb2.MACHINE_PHASE_PAUSED, state_pb2.MACHINE_PHASE_ENDED)
_NOT_PREPARED = "the target's launcher reports a guest that cannot have arrived: the target is not prepared"
_SOURCE_ENDED = "the source's pod ended before it had handed over the guest"


def plan(side: ObservedSide, now: datetime) -> tuple[Action, ...]:
    """The actions of this side; empty while there is nothing to do for it."""
    vmi, state, guest = side.machine.vmi, side.state, side.machine.guest
    network = side.machine.network
    if guest is None or network is None or guest.phase == state_pb2.MACHINE_PHASE_UNKNOWN:
        return ()
    over = vmi.status.phase.final
    arrived = has_arrived(vmi.metadata.uid, guest)
    if arrived and state.target_node_address:  # without it no source can have begun
        return _arrived(side, network, guest, now) if not over else ()
    if over or state.completed:
        return (AbortTarget(state.migration_uid),)
    if arrived or guest.phase == state_pb2.MACHINE_PHASE_ENDED:
        ended = guest.message or "the target's launcher ended the arriving guest"
        reason = ended if guest.phase == state_pb2.MACHINE_PHASE_ENDED else _NOT_PREPARED
        return status.failed(vmi, state, reason, now)
    if state.source_pod_uid not in vmi.status.active_pods:
        return _without_source(side, now)
    return _prepare(side, network, now) if _to_be_prepared(side) else ()


def _without_source(side: ObservedSide, now: datetime) -> tuple[Action, ...]:
    """The source is proven to have ended: the controller has removed its pod.

    A guest that has arrived completely is no proof that the source has given it up: if libvirt's answer to the source
    is lost, the source resumes the guest, and what is here becomes outdated. So it runs here only if the source has
    reported that it never runs it again. Otherwise it is discarded first: that is refused if the source has started it
    here.
    """
    uid = side.state.migration_uid
    if side.state.source_switched:
        return (CommitTarget(uid),)
    return (AbortTarget(uid), *status.failed(side.machine.vmi, side.state, _SOURCE_ENDED, now))


def _to_be_prepared(side: ObservedSide) -> bool:
    vmi, state = side.machine.vmi, side.state
    if state.abort_requested or vmi.metadata.deletion_timestamp is not None:
        return False  # the source ends the migration; the end of the pod is the controller's
    return bool(state.source_certificate_authority) and not state.target_node_address and side.machine.configured


def has_arrived(vmi_uid: str, guest: GuestState) -> bool:
    """Whether the guest runs here, or has run here and ended."""
    failed_start = guest.end == state_pb2.MACHINE_END_START_FAILED
    return guest.machine_uid == vmi_uid and guest.phase in _HERE and not failed_start


def _arrived(side: ObservedSide, network: PodNetwork, guest: GuestState, now: datetime) -> tuple[Action, ...]:
    """The hand-over in one patch, which says that the guest is on this node and that the migration is over."""
    observed, vmi = side.machine, side.machine.vmi
    after = machine_status.running_status(
        vmi,
        observed.spec,
        network,
        guest,
        node=observed.node,
        launcher_migrates=observed.launcher_migrates,
        now=now,
    )
    after["migrationState"] = status.arrived(vmi, side.state, now)
    after.pop("evacuationNodeName", None)
    event = RecordEvent(events.MIGRATED, f"The VirtualMachineInstance migrated to node {observed.node}.")
    return (*_network(side, network, None), PatchStatus(tuple(status_patch(vmi, after))), event)


def _prepare(side: ObservedSide, network: PodNetwork, now: datetime) -> tuple[Action, ...]:
    vmi, spec, state = side.machine.vmi, side.machine.spec, side.state
    if isinstance(spec, RefusedSpec):
        return status.failed(vmi, state, f"the target does not support the machine: {spec}", now)
    try:
        wanted = machine(vmi, spec, network, side.machine.machine_types)
        source = IPv4Address(state.source_address)
        own = IPv4Address(next(iter(network.addresses), ""))
    except (UnsupportedSpec, AddressValueError) as error:
        return status.failed(vmi, state, f"the target cannot be prepared: {error}", now)
    wanted.machine_type = (vmi.raw_status.get("machine") or {}).get("type") or wanted.machine_type
    # As its user wants it now, not as it was started.
    paused = condition_of(vmi.status.conditions, PAUSED)
    wanted.start_paused = paused is not None and paused.status == "True"
    request = PrepareTarget(_request(side, wanted, str(own)))
    return (*_network(side, network, IncomingMigration(source)), *disk_preparation(wanted), request)


def _request(side: ObservedSide, wanted: machine_pb2.Machine, address: str) -> migration_pb2.PrepareTargetRequest:
    state = side.state
    return migration_pb2.PrepareTargetRequest(
        migration_uid=state.migration_uid,
        machine=wanted,
        certificate_authority=state.source_certificate_authority,
        peer_address=state.source_address,
        address=address,
        copied_disks=[
            migration_pb2.CopiedDisk(name=name, bytes=size) for name, size in sorted(state.source_disks.items())
        ],
    )


def _network(side: ObservedSide, network: PodNetwork, incoming: IncomingMigration | None) -> tuple[Action, ...]:
    spec = side.machine.spec
    planned = planned_network(spec, network, incoming) if isinstance(spec, AcceptedSpec) else None
    return (PrepareNetwork(planned),) if planned is not None else ()
