"""What to tell the handler: a pure function of the machine's record and of the last look at its domain."""

from __future__ import annotations

from kubevirt.launcher.v1 import launcher_pb2 as pb

from virt_launcher.domain.observation import DomainPhase, Observation
from virt_launcher.machine.record import Record


def state(record: Record, seen: Observation | None) -> pb.MachineState:
    """The machine's state, without the time since when it is so.

    Args:
        seen: None if the hypervisor has been silent for too long.
    """
    if record.machine is None:
        return pb.MachineState(phase=pb.MACHINE_PHASE_ABSENT)
    if record.ended is not None:
        return record.ended
    phase, message = _phase(record, seen)
    disks = record.running.disks if record.running is not None else ()
    return pb.MachineState(machine_uid=record.machine.uid, phase=phase, message=message, disks=disks)


def _phase(record: Record, seen: Observation | None) -> tuple[pb.MachinePhase.ValueType, str]:
    if record.running is None:
        return pb.MACHINE_PHASE_STARTING, ""
    if seen is None:
        return pb.MACHINE_PHASE_UNKNOWN, "libvirtd does not answer"
    if seen.phase is DomainPhase.STALLED:
        return pb.MACHINE_PHASE_PAUSED, "QEMU stopped the guest by itself, probably after an I/O error"
    if seen.phase is DomainPhase.STANDING:
        return pb.MACHINE_PHASE_STARTING, ""
    return pb.MACHINE_PHASE_RUNNING, ""
