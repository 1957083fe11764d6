"""The launcher's persistent record of its machine: files that survive crashes, each written atomically.

machine.binpb   the machine to run, written before any other step
running.binpb   the state when the guest is about to run, written while the guest's CPUs are still stopped
ended.binpb     how it ended
wanted.binpb    whether the guest's CPUs are to be paused, written by each pause and unpause before its execution
thaw.binpb      when the guest's file systems must be thawed; exists as long as they may be frozen
incoming.binpb  the migration by which the guest is to arrive, written before machine.binpb
outgoing.binpb  where a migration moves the guest, written before migration.binpb
migration.binpb the state of the migration from here

The first three are written once. A guest with incoming.binpb and without running.binpb was not started here, and is not
started by this launcher on its own. A guest whose migration.binpb says SWITCHED never runs here again.

A guest without running.binpb has never executed an instruction and may be started; with it, the guest is never started
again. Called by keeper.py. Only processes crash, not disks, so a rename without fsync is sufficient.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from kubevirt.launcher.v1 import machine_pb2, state_pb2

if TYPE_CHECKING:  # loaded when there is a migration only
    from kubevirt.launcher.v1 import migration_pb2

_M = TypeVar("_M", bound=Message)
_MACHINE, _RUNNING, _ENDED = "machine.binpb", "running.binpb", "ended.binpb"
_WANTED, _THAW = "wanted.binpb", "thaw.binpb"
_INCOMING, _OUTGOING, _MIGRATION = "incoming.binpb", "outgoing.binpb", "migration.binpb"


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

    incoming: migration_pb2.PrepareTargetRequest | None = None
    """The migration by which the guest arrives, or has arrived."""

    outgoing: migration_pb2.StartMigrationRequest | None = None
    """Where the guest moves, or was to move."""

    migration: migration_pb2.MigrationState | None = None
    """The last migration from here."""

    @property
    def awaited(self) -> bool:
        """Whether the guest has still to arrive."""
        return self.incoming is not None and self.running is None

    @property
    def copying(self) -> bool:
        """Whether a migration decides where the guest runs."""
        return self._migration_is("MIGRATION_PHASE_COPYING")

    @property
    def switched(self) -> bool:
        """Whether a migration has moved the guest: it never runs here again."""
        return self._migration_is("MIGRATION_PHASE_SWITCHED") or self.committed

    @property
    def committed(self) -> bool:
        """Whether the guest was handed over to the target of a migration."""
        return self._migration_is("MIGRATION_PHASE_COMMITTED")

    def _migration_is(self, phase: str) -> bool:
        if self.migration is None:
            return False
        from kubevirt.launcher.v1 import migration_pb2

        return self.migration.phase == migration_pb2.MigrationPhase.Value(phase)

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
        if (folder / _INCOMING).exists() or (folder / _MIGRATION).exists():
            self._read_migration()

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

    def write_incoming(self, request: migration_pb2.PrepareTargetRequest) -> None:
        """Record the migration by which the guest arrives, before its machine."""
        _write(self._folder / _INCOMING, request)
        self.record = replace(self.record, incoming=request)

    def write_outgoing(self, request: migration_pb2.StartMigrationRequest) -> None:
        """Record where the guest moves, before the migration's state."""
        _write(self._folder / _OUTGOING, request)
        self.record = replace(self.record, outgoing=request)

    def write_migration(self, state: migration_pb2.MigrationState) -> None:
        """Record the state of the migration from here."""
        _write(self._folder / _MIGRATION, state)
        self.record = replace(self.record, migration=state)

    def write_ended(self, state: state_pb2.MachineState) -> None:
        """Record how the machine ended."""
        _write(self._folder / _ENDED, state)
        self.record = replace(self.record, ended=state)

    def _read_migration(self) -> None:
        from kubevirt.launcher.v1 import migration_pb2

        self.record = replace(
            self.record,
            incoming=_read(self._folder / _INCOMING, migration_pb2.PrepareTargetRequest),
            outgoing=_read(self._folder / _OUTGOING, migration_pb2.StartMigrationRequest),
            migration=_read(self._folder / _MIGRATION, migration_pb2.MigrationState),
        )


def _read(path: Path, kind: type[_M]) -> _M | None:
    try:
        return kind.FromString(path.read_bytes())
    except FileNotFoundError:
        return None


def _write(path: Path, message: Message) -> None:
    temporary = path.with_suffix(".part")
    temporary.write_bytes(message.SerializeToString(deterministic=True))
    temporary.replace(path)
