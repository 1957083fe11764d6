"""The launcher's persistent record of its machine: files that survive crashes, each written atomically.

machine.binpb   the machine to run, written before any other step
running.binpb   the state when the guest is about to run, written while the guest's CPUs are still stopped
ended.binpb     how it ended
wanted.binpb    whether the guest's CPUs are to be paused, written by each pause and unpause before its execution
thaw.binpb      when the guest's file systems must be thawed; exists as long as they may be frozen

The first three are written once.

A guest without running.binpb has never executed an instruction and may be started; with it, the guest is never started
again. Called by keeper.py. Only processes crash, not disks, so a rename without fsync is sufficient.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from kubevirt.launcher.v1 import machine_pb2, state_pb2

_M = TypeVar("_M", bound=Message)
_MACHINE, _RUNNING, _ENDED = "machine.binpb", "running.binpb", "ended.binpb"
_WANTED, _THAW = "wanted.binpb", "thaw.binpb"


@dataclass(frozen=True, slots=True)
class Record:
    """A machine's history so far. Each of the first three is there only if the ones before it are."""

    machine: machine_pb2.Machine | None = None
    running: state_pb2.MachineState | None = None
    ended: state_pb2.MachineState | None = None
    wanted: state_pb2.MachineState | None = None
    """RUNNING or PAUSED, from the last command; None: no command yet."""

    thaw_at: Timestamp | None = None
    """When frozen file systems are to be thawed; None: none are frozen."""

    @property
    def pause_wanted(self) -> bool:
        """Whether the CPUs of a started guest are to be paused."""
        if self.wanted is not None:
            return self.wanted.phase == state_pb2.MACHINE_PHASE_PAUSED
        return self.machine is not None and self.machine.start_paused


class RecordFolder:
    """The record on disk. Writes are small and local, so they run on the event loop."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.record = Record(
            _read(folder / _MACHINE, machine_pb2.Machine),
            _read(folder / _RUNNING, state_pb2.MachineState),
            _read(folder / _ENDED, state_pb2.MachineState),
            _read(folder / _WANTED, state_pb2.MachineState),
            _read(folder / _THAW, Timestamp),
        )

    def write_machine(self, machine: machine_pb2.Machine) -> None:
        """Record the machine, before anything is created for it."""
        _write(self._folder / _MACHINE, machine)
        self.record = replace(self.record, machine=machine)

    def write_running(self, state: state_pb2.MachineState) -> None:
        """Record that the guest is about to run, while its CPUs are stopped."""
        _write(self._folder / _RUNNING, state)
        self.record = replace(self.record, running=state)

    def write_wanted(self, state: state_pb2.MachineState) -> None:
        """Record whether the guest is to be paused, before it is paused."""
        _write(self._folder / _WANTED, state)
        self.record = replace(self.record, wanted=state)

    def write_thaw_at(self, when: Timestamp) -> None:
        """Record when file systems must be thawed, before they are frozen."""
        _write(self._folder / _THAW, when)
        self.record = replace(self.record, thaw_at=when)

    def forget_thaw(self) -> None:
        """Remove the thaw time: file systems are thawed."""
        (self._folder / _THAW).unlink(missing_ok=True)
        self.record = replace(self.record, thaw_at=None)

    def write_ended(self, state: state_pb2.MachineState) -> None:
        """Record how the machine ended."""
        _write(self._folder / _ENDED, state)
        self.record = replace(self.record, ended=state)


def _read(path: Path, kind: type[_M]) -> _M | None:
    try:
        return kind.FromString(path.read_bytes())
    except FileNotFoundError:
        return None


def _write(path: Path, message: Message) -> None:
    temporary = path.with_suffix(".part")
    temporary.write_bytes(message.SerializeToString(deterministic=True))
    temporary.replace(path)
