"""What this launcher knows about its machine whatever dies: files, each written whole or not at all.

machine.binpb   the machine to run, written before anything else is done for it
running.binpb   the state when its guest was about to run, written while the guest's CPUs still stand still
ended.binpb     how it ended
wanted.binpb    whether the guest's CPUs shall stand still, written again by each pause and unpause before it is done
thaw.binpb      when the guest's file systems are to be thawed, there while they may be frozen

The first three are written once.

So a guest whose machine has no running.binpb never ran an instruction and may be started; with it, it is never
started again. Called by keeper.py. Processes die here, not disks: rename is enough, fsync is not needed.
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
    """RUNNING or PAUSED, as was asked for last; None: nobody has asked."""

    thaw_at: Timestamp | None = None
    """When frozen file systems are to be thawed; None: none are frozen."""

    @property
    def pause_wanted(self) -> bool:
        """Whether the CPUs of a guest that was started shall stand still."""
        if self.wanted is not None:
            return self.wanted.phase == state_pb2.MACHINE_PHASE_PAUSED
        return self.machine is not None and self.machine.start_paused


class RecordFolder:
    """The record on disk. Writes are small and local: they are done on the event loop."""

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
        """Keep the machine. Done before anything that it describes is made."""
        _write(self._folder / _MACHINE, machine)
        self.record = replace(self.record, machine=machine)

    def write_running(self, state: state_pb2.MachineState) -> None:
        """Keep that the guest is about to run. Done while its CPUs stand still."""
        _write(self._folder / _RUNNING, state)
        self.record = replace(self.record, running=state)

    def write_wanted(self, state: state_pb2.MachineState) -> None:
        """Keep whether the guest shall stand still. Done before it is made to."""
        _write(self._folder / _WANTED, state)
        self.record = replace(self.record, wanted=state)

    def write_thaw_at(self, when: Timestamp) -> None:
        """Keep when file systems are to be thawed. Done before they are frozen."""
        _write(self._folder / _THAW, when)
        self.record = replace(self.record, thaw_at=when)

    def forget_thaw(self) -> None:
        """File systems are thawed."""
        (self._folder / _THAW).unlink(missing_ok=True)
        self.record = replace(self.record, thaw_at=None)

    def write_ended(self, state: state_pb2.MachineState) -> None:
        """Keep how it ended."""
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
