"""Every unfinished migration of the cluster, with what decides about its place. Used by reconcile.py.

Many wait while a node is drained, and each that ends lets all of them look again. So they are counted once for all,
and again when one of them, its guest or its pods have changed.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from virt_core.conventions import migration as convention
from virt_core.kube.reflector import Key
from virt_core.migration.migration import VirtualMachineInstanceMigration
from virt_core.vmi.eviction import live_migratable
from virt_core.vmi.instance import VirtualMachineInstance, VmiPhase

from virt_controller.caches import Caches
from virt_controller.migration.back_off import seconds_to_begin
from virt_controller.migration.limits import Candidate, Candidates
from virt_controller.migration.observe import other_pods
from virt_controller.pod.observed import LauncherPod
from virt_controller.vmi.observe import current_pod

_FRESH = 1.0  # seconds after which it is counted again: back-offs end without a change


class Queue:
    """Reads the caches. `clock` is in seconds."""

    def __init__(self, caches: Caches, clock: Callable[[], float]) -> None:
        self._caches = caches
        self._clock = clock
        self._found: Candidates | None = None
        self._found_at = 0.0
        self._standings: dict[Key, object] = {}
        caches.migrations.subscribe(self._migration_changed)
        caches.vmis.subscribe(self._guest_changed)
        caches.pods.subscribe(self._guest_changed)

    def candidates(self, now: datetime) -> Candidates:
        """Every unfinished migration."""
        if self._found is None or self._clock() - self._found_at > _FRESH:
            jobs = (self._candidate(job, now) for job in self._caches.unfinished_migrations)
            self._found, self._found_at = Candidates(jobs), self._clock()
        return self._found

    def target_of(self, job: VirtualMachineInstanceMigration, vmi: VirtualMachineInstance) -> LauncherPod | None:
        """The pod that was created for the migration."""
        for pod in self._caches.pods.of(vmi):
            if pod.metadata.labels.get(convention.JOB_UID) == job.metadata.uid:
                return pod
        return None

    def others(self, job: VirtualMachineInstanceMigration) -> tuple[VirtualMachineInstanceMigration, ...]:
        """The other migrations of the same guest, the newest last."""
        found = self._caches.migrations_of_vmis.of(job.vmi_key)
        return tuple(other for other in found if other.metadata.uid != job.metadata.uid)

    def _candidate(self, job: VirtualMachineInstanceMigration, now: datetime) -> Candidate:
        vmi = self._caches.vmis.get(job.vmi_key)
        if vmi is None:
            return Candidate(job, "", ready=False)
        state, ready = vmi.status.migration_state, self._may_begin(job, vmi, now)
        if state is not None and state.migration_uid == job.metadata.uid:
            return Candidate(job, state.source_node, ready, target=state.target_node)
        pod = None if job.status.phase.waiting else self.target_of(job, vmi)
        bound = pod.spec.node_name if pod is not None and not pod.ended and not pod.terminating else ""
        return Candidate(job, vmi.status.node_name, ready, bound)

    def _may_begin(self, job: VirtualMachineInstanceMigration, vmi: VirtualMachineInstance, now: datetime) -> bool:
        """Whether the waiting migration waits for nothing but room. Others do not matter: they have begun."""
        if not job.status.phase.waiting:
            return True
        if vmi.status.phase is not VmiPhase.RUNNING or job.metadata.deletion_timestamp is not None:
            return False
        verdict, pods = live_migratable(vmi), self._caches.pods.concerning(vmi)
        if verdict is None or verdict.status != "True" or other_pods(vmi, pods, current_pod(vmi, pods), None):
            return False
        return seconds_to_begin(job, self.others(job), now) <= 0

    def _migration_changed(self, key: Key) -> None:
        """What one that waits reports changes nothing."""
        job = self._caches.migrations.get(key)
        if job is None:
            self._found = None
            self._standings.pop(key, None)
            return
        status = job.status
        standing = job.metadata.uid, status.phase.waiting, status.takes_place, job.metadata.deletion_timestamp
        if self._standings.get(key) != standing:
            self._found = None
            self._standings[key] = standing

    def _guest_changed(self, vmi: Key) -> None:
        if any(not job.status.phase.final for job in self._caches.migrations_of_vmis.of(vmi)):
            self._found = None
