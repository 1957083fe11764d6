"""The frozen observation of a VirtualMachineInstanceReplicaSet. Pure; built by reconcile.py from the caches."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from virt_core.replica_set.replica_set import ReplicaSetSpec, VirtualMachineInstanceReplicaSet
from virt_core.vmi.instance import VirtualMachineInstance
from virt_core.vmi.status import POD_TERMINATING, ready_condition

from virt_controller.failure import Failure


@dataclass(frozen=True, slots=True)
class Observed:
    """The complete input of a plan."""

    replica_set: VirtualMachineInstanceReplicaSet
    spec: ReplicaSetSpec
    owned: tuple[VirtualMachineInstance, ...]
    """Those that it controls, sorted by name, also if its selector does not match them any more."""

    orphans: tuple[VirtualMachineInstance, ...]
    """Those of the namespace that nobody controls and that its selector matches."""

    now: datetime
    names: tuple[str, ...] = ()
    """Names for new ones, which no VirtualMachineInstance of the namespace has. As many as are missing."""

    failure: Failure | None = None
    """The last refusal, while the next attempt is not due."""

    @property
    def selected(self) -> tuple[VirtualMachineInstance, ...]:
        """Those that it controls and its selector matches, and that are not deleted."""
        selector = self.spec.selector
        return tuple(
            vmi
            for vmi in self.owned
            if vmi.metadata.deletion_timestamp is None and selector.matches(vmi.metadata.labels)
        )

    @property
    def active(self) -> tuple[VirtualMachineInstance, ...]:
        """Those that count as replicas: their guests run, or will."""
        return tuple(vmi for vmi in self.selected if not vmi.status.phase.final and not loses_pod(vmi))

    @property
    def finished(self) -> tuple[VirtualMachineInstance, ...]:
        """Those whose guests have ended."""
        return tuple(vmi for vmi in self.selected if vmi.status.phase.final)

    @property
    def evicted(self) -> tuple[VirtualMachineInstance, ...]:
        """Those whose guests are about to end with their pods."""
        return tuple(vmi for vmi in self.selected if not vmi.status.phase.final and loses_pod(vmi))


def loses_pod(vmi: VirtualMachineInstance) -> bool:
    """Whether the launcher pod is terminating although nobody has deleted the VirtualMachineInstance."""
    ready = ready_condition(vmi)
    return ready is not None and ready.status == "False" and ready.reason == POD_TERMINATING


def is_ready(vmi: VirtualMachineInstance) -> bool:
    """Whether its condition Ready is True."""
    ready = ready_condition(vmi)
    return ready is not None and ready.status == "True"
