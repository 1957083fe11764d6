"""The frozen observation of a VirtualMachineInstance that may have to leave its node. Pure; built by reconcile.py from
the caches."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from virt_core.migration.migration import VirtualMachineInstanceMigration
from virt_core.vmi.instance import VirtualMachineInstance

from virt_controller.failure import Failure
from virt_controller.node.observe import Node
from virt_controller.pod.observed import LauncherPod


@dataclass(frozen=True, slots=True)
class Observed:
    """The complete input of a plan."""

    vmi: VirtualMachineInstance
    node: Node | None
    """The guest's node; None: there is no such node."""

    pods: tuple[LauncherPod, ...]
    """All launcher pods of the VirtualMachineInstance."""

    migrations: tuple[VirtualMachineInstanceMigration, ...]
    """Its migrations, the newest last."""

    drain_taint: str
    """Key of the taint that drains a node without evictions."""

    now: datetime
    failure: Failure | None = None
    """Why the last migration could not be created, while the next attempt is not due."""

    @property
    def marked(self) -> bool:
        """Whether an eviction has marked the guest to leave the node on which it is."""
        status = self.vmi.status
        return bool(status.evacuation_node_name) and status.evacuation_node_name == status.node_name

    @property
    def cordoned(self) -> bool:
        """Whether the node takes no pods."""
        return self.node is not None and self.node.spec.unschedulable

    @property
    def drained(self) -> bool:
        """Whether the node's taint says that all guests are to leave."""
        return self.node is not None and self.node.drained_by(self.drain_taint)

    @property
    def empties(self) -> bool:
        """Whether the node is drained, or cordoned as `kubectl drain` begins: a refused eviction marks no guest."""
        return self.node is not None and self.node.empties(self.drain_taint)

    @property
    def unfinished(self) -> bool:
        """Whether a migration of the guest is requested or in progress, or a pod of one is still there."""
        requested = any(not migration.status.phase.final for migration in self.migrations)
        return requested or self.vmi.status.migrates or sum(not pod.ended for pod in self.pods) > 1
