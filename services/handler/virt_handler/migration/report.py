"""A source launcher's report on its migration, sanitized. Pure; read by watch.py, used by source.py.

The guest's side controls the launcher: texts are bounded and only shown. Which phase it reports decides about the
migration of its own guest, and about nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from kubevirt.launcher.v1 import migration_pb2 as pb
from virt_core.vmi.migration_state import POST_COPY, PRE_COPY, SUSPENDED

from virt_handler.machines.hostile_text import MESSAGE_LENGTH, printable


class Progress(Enum):
    """How far a migration is, as its source reports it."""

    UNKNOWN = auto()
    """A phase that this release does not know. Never a reason to act."""

    NOT_STARTED = auto()
    """Nothing is copied: it may be started, or never be started."""

    COPYING = auto()
    """The guest is here. The migration can still be aborted."""

    SWITCHED = auto()
    """The guest is about to run at the target. It never runs here again."""

    COMMITTED = auto()
    """The target has started the guest."""

    ABORTED = auto()
    """The guest is here and stays here."""


SWITCHED = (Progress.SWITCHED, Progress.COMMITTED)
"""The guest never runs at the source again."""

_PROGRESS = {
    pb.MIGRATION_PHASE_PREPARED: Progress.NOT_STARTED,
    pb.MIGRATION_PHASE_COPYING: Progress.COPYING,
    pb.MIGRATION_PHASE_SWITCHED: Progress.SWITCHED,
    pb.MIGRATION_PHASE_COMMITTED: Progress.COMMITTED,
    pb.MIGRATION_PHASE_ABORTED: Progress.ABORTED,
}
_MODES = {
    pb.MIGRATION_MODE_PRE_COPY: PRE_COPY,
    pb.MIGRATION_MODE_POST_COPY: POST_COPY,
    pb.MIGRATION_MODE_PAUSED: SUSPENDED,
}


_LARGEST = (1 << 63) - 1  # the CRD's int64


@dataclass(frozen=True, slots=True)
class Copied:
    """How far a copy is: bytes, and bytes per second."""

    total: int = 0
    remaining: int = 0
    processed: int = 0
    memory_rate: int = 0
    dirty_rate: int = 0
    disk_rate: int = 0

    @property
    def rate(self) -> int:
        """Of memory and disks."""
        return min(self.memory_rate + self.disk_rate, _LARGEST)

    @classmethod
    def from_message(cls, state: pb.MigrationState) -> Copied:
        """From the wire."""
        return cls(
            min(state.total_bytes, _LARGEST),
            min(state.remaining_bytes, _LARGEST),
            min(state.processed_bytes, _LARGEST),
            min(state.memory_rate_bytes, _LARGEST),
            min(state.dirty_rate_bytes, _LARGEST),
            min(state.disk_rate_bytes, _LARGEST),
        )


@dataclass(frozen=True, slots=True)
class MigrationReport:
    """The fields that decisions and the status use."""

    progress: Progress
    reason: str = ""
    mode: str = PRE_COPY
    """KubeVirt's word."""

    canceled: bool = False
    """Aborted on request."""

    copied: Copied = Copied()
    """Only shown."""

    @property
    def held_up(self) -> bool:
        """Whether the hand-over has not succeeded at once."""
        return self.progress is Progress.SWITCHED and bool(self.reason)

    @classmethod
    def from_message(cls, state: pb.MigrationState) -> MigrationReport:
        """From the wire."""
        return cls(
            _PROGRESS.get(state.phase, Progress.UNKNOWN),
            printable(state.reason, MESSAGE_LENGTH),
            _MODES.get(state.mode, PRE_COPY),
            state.canceled,
            Copied.from_message(state),
        )


NEVER_HEARD = MigrationReport(Progress.NOT_STARTED)
"""Of a launcher that knows no migration of this UID."""
