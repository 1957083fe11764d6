"""The plan: every judge's findings, the most severe first, and how long the change takes. Pure; called by check.py."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import ceil

from virt_core.conventions import components
from virt_core.objects.migration_configuration import MigrationConfiguration

from virt_operator.preflight import suite
from virt_operator.preflight.admission import judge_admission
from virt_operator.preflight.certificates import judge_certificates
from virt_operator.preflight.finding import Finding, Severity
from virt_operator.preflight.guests import judge_guests
from virt_operator.preflight.nodes import judge_nodes
from virt_operator.preflight.objects import judge_objects, judge_permissions
from virt_operator.preflight.observed import Cluster, Question, Target
from virt_operator.preflight.stored import judge_own, judge_stored

_MOVED = ("WillMigrate", "WillRestart")


@dataclass(frozen=True, slots=True)
class Plan:
    """The result."""

    operation: str
    findings: tuple[Finding, ...]
    seconds: float
    """How long the whole change usually takes."""

    def count(self, severity: Severity) -> int:
        """How many findings have it."""
        return sum(finding.severity is severity for finding in self.findings)


@dataclass(frozen=True, slots=True)
class Answer:
    """The plan, and what it is about."""

    plan: Plan
    question: Question
    target: Target
    installed_release: str


def plan(cluster: Cluster, question: Question, target: Target) -> Plan:
    """Judge everything."""
    what = suite.operation(cluster, question, target)
    found = list(_changes(cluster, question, target)) if what != suite.NONE else []
    nodes = sum(finding.reason == "HandlerReplaced" for finding in found)
    found += judge_certificates(cluster)
    found += suite.judge_level(cluster, target, what)
    found += suite.judge_suite(cluster, question, what, nodes)
    # Sorting is stable: within a severity and kind, findings of one object stay together.
    found.sort(key=lambda finding: (-finding.severity, finding.subject))
    return Plan(what, tuple(found), _duration(found, cluster))


def _changes(cluster: Cluster, question: Question, target: Target) -> Iterator[Finding]:
    image = question.settings.image(components.LAUNCHER) if question.settings is not None else ""
    yield from suite.judge_images(target)
    yield from judge_permissions(cluster, target)
    yield from judge_admission(cluster, target)
    yield from judge_own(cluster, target)
    yield from judge_stored(cluster, target)
    yield from judge_objects(cluster, target)
    yield from judge_nodes(cluster)
    yield from judge_guests(cluster, target, image)


def _duration(found: Iterable[Finding], cluster: Cluster) -> float:
    """The steps one after the other; of the moves of guests as many at a time as the cluster allows. The replacement of
    handlers is in the suite's own steps."""
    total, moves = 0.0, []
    for finding in found:
        seconds = sum(step.seconds for step in finding.steps)
        if finding.reason in _MOVED:
            moves.append(seconds)
        elif finding.reason != "HandlerReplaced":
            total += seconds
    return ceil(total + sum(moves) / _parallel(cluster))


def _parallel(cluster: Cluster) -> int:
    spec = cluster.suite.spec if cluster.suite is not None else {}
    migrations = (spec.get("configuration") or {}).get("migrations") or {}
    found = migrations.get("parallelMigrationsPerCluster")
    if isinstance(found, int) and found > 0:
        return found
    return MigrationConfiguration().resolved().parallel_migrations_per_cluster or 1
