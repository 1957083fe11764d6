"""The frozen observation of all guests and of how their launchers are to be replaced. Pure; built from the caches."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from virt_core.migration.migration import VirtualMachineInstanceMigration
from virt_core.vmi.instance import VirtualMachineInstance, VmiPhase

LIVE_MIGRATE, EVICT = "LiveMigrate", "Evict"


@dataclass(frozen=True, slots=True)
class Strategy:
    """The KubeVirt object's workloadUpdateStrategy."""

    methods: tuple[str, ...] = ()
    """Empty: no launcher is replaced, and what is under way is the last."""

    batch_size: int = 10
    batch_interval: timedelta = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Workload:
    """A guest."""

    vmi: VirtualMachineInstance
    image: str
    """Of the launcher in its pod; empty: not known yet."""

    pod: str
    """Name of its pod; empty: not known."""

    wanted: str
    """Image that a new launcher of the guest gets; empty: there is none, see `refusal`."""

    migrations: tuple[VirtualMachineInstanceMigration, ...] = ()
    """The newest last."""

    refusal: str = ""
    """Why there is none: the launcher that is asked for is not started any more."""

    @property
    def runs(self) -> bool:
        """Whether the guest runs and is to go on."""
        return self.vmi.status.phase is VmiPhase.RUNNING and self.vmi.metadata.deletion_timestamp is None

    @property
    def moves(self) -> bool:
        """Whether a migration is requested or in progress, or the guest is to leave its node anyway."""
        status = self.vmi.status
        requested = any(not migration.status.phase.final for migration in self.migrations)
        return requested or status.migrates or bool(status.evacuation_node_name)


@dataclass(frozen=True, slots=True)
class Observed:
    """The complete input of a plan."""

    strategy: Strategy
    settled: bool
    """Whether the suite is as its KubeVirt object asks: deployed, and not being changed."""

    workloads: tuple[Workload, ...]
    running_migrations: int
    """With those that wait for nothing but their place."""

    parallel_migrations: int
    """As many as run at a time in the cluster."""

    since_batch: timedelta
    """How long ago guests were last evicted, or this leader began."""

    now: datetime

    def outdated(self, workload: Workload) -> bool:
        """Whether its launcher is not of the image that a new one gets. As in KubeVirt names are compared: a tag and a
        digest of the same image differ."""
        return workload.runs and bool(workload.image) and workload.image != workload.wanted
