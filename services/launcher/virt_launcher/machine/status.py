"""Computes the state that is reported to the handler, from the machine's record and the last observation. Pure."""

from __future__ import annotations

from kubevirt.launcher.v1 import guest_pb2, state_pb2

from virt_launcher.domain.observation import DomainPhase, Observation, StallReason
from virt_launcher.machine.record import Record

_STALLS = {
    StallReason.IO_ERROR: "QEMU could not read or write a disk and stopped the guest",
    StallReason.OTHER: "QEMU stopped the guest by itself",
}
_STOPPED = frozenset({DomainPhase.STANDING, DomainPhase.MIGRATING})
_NO_SPACE, _FAILED = "there is no space left where it is stored", "it could not be read or written"


_NO_AGENT = state_pb2.CredentialsState(
    progress=state_pb2.CREDENTIALS_PROGRESS_NO_AGENT, message="the guest agent is not connected"
)


def state(
    record: Record,
    seen: Observation | None,
    agent: guest_pb2.GuestAgent | None = None,
    credentials: state_pb2.CredentialsState | None = None,
) -> state_pb2.MachineState:
    """The machine's state, without the time at which it began.

    Args:
        seen: None if the hypervisor has been silent for too long.
        agent: the guest agent's last report; None if there is none.
        credentials: the last attempt to set the machine's credentials; None before the agent's first.
    """
    if record.machine is None:
        return state_pb2.MachineState(phase=state_pb2.MACHINE_PHASE_ABSENT)
    if record.ended is not None:
        return record.ended
    phase, message = _phase(record, seen)
    result = state_pb2.MachineState(machine_uid=record.machine.uid, phase=phase, message=message)
    if record.running is not None:
        result.disks.extend(record.running.disks)
        result.machine_type = record.running.machine_type
    if phase == state_pb2.MACHINE_PHASE_PAUSED and seen is not None:
        result.pause_reason = _pause_reason(seen)
    if agent is not None:
        result.agent.CopyFrom(agent)
    if record.machine.access_credentials:
        result.credentials.CopyFrom(credentials or _NO_AGENT)
    return result


def _phase(record: Record, seen: Observation | None) -> tuple[state_pb2.MachinePhase.ValueType, str]:
    if record.switched or record.running is None:
        return _without_guest(record), ""
    if seen is None:
        return state_pb2.MACHINE_PHASE_UNKNOWN, "libvirtd does not answer"
    if seen.phase is DomainPhase.STALLED:
        return state_pb2.MACHINE_PHASE_PAUSED, _disk_errors(record.running, seen) or _STALLS[seen.stall]
    if seen.phase in _STOPPED and record.pause_wanted:
        return state_pb2.MACHINE_PHASE_PAUSED, ""
    if seen.phase is DomainPhase.STANDING and record.wanted is None and not record.copying:
        return state_pb2.MACHINE_PHASE_STARTING, ""
    return state_pb2.MACHINE_PHASE_RUNNING, ""


def _without_guest(record: Record) -> state_pb2.MachinePhase.ValueType:
    """The phase of a machine whose guest is not here, or not yet."""
    if record.switched:
        return state_pb2.MACHINE_PHASE_MIGRATED
    return state_pb2.MACHINE_PHASE_INCOMING if record.awaited else state_pb2.MACHINE_PHASE_STARTING


def _disk_errors(running: state_pb2.MachineState, seen: Observation) -> str:
    """The disks because of which QEMU stopped the guest; empty if unknown."""
    names = {disk.target: disk.name for disk in running.disks}
    return "; ".join(
        f"disk {names.get(error.target, error.target)}: {_NO_SPACE if error.no_space else _FAILED}"
        for error in seen.disk_errors
    )


def _pause_reason(seen: Observation) -> state_pb2.PauseReason.ValueType:
    if seen.phase is not DomainPhase.STALLED:
        return state_pb2.PAUSE_REASON_BY_USER
    return (
        state_pb2.PAUSE_REASON_IO_ERROR if seen.stall is StallReason.IO_ERROR else state_pb2.PAUSE_REASON_BY_HYPERVISOR
    )
