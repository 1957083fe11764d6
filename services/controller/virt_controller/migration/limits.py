"""Which migrations may begin, and what the others wait for. Pure; called by plan.py.

A migration takes its place by writing the phase Scheduling, before its target pod exists. So every replica that leads
counts the same, and the first of the queue takes a free place, whichever is looked at first. reconcile.py has one
migration take its place at a time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from virt_core.migration.admission import SYSTEM_CRITICAL, SYSTEM_MAINTENANCE, USER_TRIGGERED
from virt_core.migration.migration import VirtualMachineInstanceMigration
from virt_core.objects.migration_configuration import MigrationConfiguration

_PRIORITIES = {SYSTEM_CRITICAL: 100, USER_TRIGGERED: 50, SYSTEM_MAINTENANCE: 20}


@dataclass(frozen=True, slots=True)
class Candidate:
    """An unfinished migration of the cluster."""

    job: VirtualMachineInstanceMigration
    node: str
    """The node that its guest leaves; empty: it has none."""

    ready: bool = True
    """Whether it could begin if there was room. One that could not holds up no other."""

    bound: str = ""
    """The node of its target pod, while the guest is not handed off."""

    target: str = ""
    """The node at which its guest arrives, once it is handed off."""

    @property
    def takes_place(self) -> bool:
        """Whether it counts against the limits."""
        return self.job.status.takes_place

    @property
    def rank(self) -> tuple[int, str, str, str]:
        """Its place in the queue: by priority, then the oldest first."""
        meta = self.job.metadata
        return -priority(self.job), meta.creation_timestamp, meta.namespace, meta.name


def priority(job: VirtualMachineInstanceMigration) -> int:
    """KubeVirt's numbers: evacuations before what users request. Only virt-controller may set the field; annotations
    are everybody's."""
    return _PRIORITIES.get(job.spec.priority, 0)


class Candidates(tuple[Candidate, ...]):
    """Every unfinished migration of the cluster. What each waits for is computed once for all of them."""

    @cached_property
    def _obstacles(self) -> dict[tuple[int, int], dict[str, str]]:
        return {}

    def obstacles(self, cluster: int, node: int) -> Mapping[str, str]:
        """What each waiting migration waits for, by its UID; empty: it may begin."""
        limits = cluster, node
        if limits not in self._obstacles:
            self._obstacles[limits] = _obstacles(self, cluster, node)
        return self._obstacles[limits]


def waits_for(uid: str, candidates: Iterable[Candidate], settings: MigrationConfiguration) -> str:
    """What the waiting migration of this UID waits for; empty: it may begin.

    Args:
        candidates: every unfinished migration of the cluster.
        settings: resolved.
    """
    found = candidates if isinstance(candidates, Candidates) else Candidates(candidates)
    cluster, node = settings.parallel_migrations_per_cluster or 0, settings.parallel_outbound_migrations_per_node or 0
    return found.obstacles(cluster, node).get(uid, "")


def _obstacles(found: Candidates, cluster: int, node: int) -> dict[str, str]:
    leaving = Counter(candidate.node for candidate in found if candidate.takes_place)
    total = leaving.total()
    obstacles: dict[str, str] = {}
    for candidate in sorted((entry for entry in found if entry.job.status.phase.waiting), key=lambda entry: entry.rank):
        obstacle = ""
        if not cluster or not node:
            limit = "parallelOutboundMigrationsPerNode" if cluster else "parallelMigrationsPerCluster"
            obstacle = f"{limit} is 0: no migration begins until it is larger"
        elif total >= cluster:
            obstacle = f"{total} migrations run in the cluster, parallelMigrationsPerCluster is {cluster}"
        elif (count := leaving[candidate.node]) >= node:
            obstacle = f"{count} migrations leave node {candidate.node}, parallelOutboundMigrationsPerNode is {node}"
        obstacles[candidate.job.metadata.uid] = obstacle
        if not obstacle and candidate.ready:
            leaving[candidate.node] += 1
            total += 1
    return obstacles


def waits_to_arrive(uid: str, node: str, candidates: Iterable[Candidate], settings: MigrationConfiguration) -> str:
    """What the migration of this UID, whose target pod has this node, waits for before its hand-off; empty: nothing.

    KubeVirt limits only what leaves a node. Guests of several nodes may have the same target, so the same number holds
    there. Args as waits_for.
    """
    found, limit = list(candidates), settings.parallel_outbound_migrations_per_node or 0
    rank = next((candidate.rank for candidate in found if candidate.job.metadata.uid == uid), None)
    ahead = [candidate for candidate in found if candidate.takes_place and candidate.job.metadata.uid != uid]
    arriving = sum(candidate.target == node for candidate in ahead)
    arriving += sum(candidate.bound == node and rank is not None and candidate.rank < rank for candidate in ahead)
    if arriving < limit:
        return ""
    return f"{arriving} migrations arrive at node {node}, parallelOutboundMigrationsPerNode is {limit}"
