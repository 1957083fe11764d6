"""virt-operator's plan as values to show. Pure; called by ask.py."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from kubevirt.admin.v1 import admin_pb2

from virt_admin.outcome import ATTENTION, BROKEN, CLEAN

BLOCKING, WARNING, INFO = "blocking", "warning", "info"
_SEVERITIES = {
    admin_pb2.SEVERITY_BLOCKING: BLOCKING,
    admin_pb2.SEVERITY_WARNING: WARNING,
    admin_pb2.SEVERITY_INFO: INFO,
}


class Step(msgspec.Struct, frozen=True, rename="camel"):
    """Something that the change does."""

    action: str
    seconds: float
    """How long it usually takes."""


class Finding(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """A statement about an object."""

    severity: str
    """ "blocking": the change cannot be made, or not completed, before this is mended; "warning": it can, but this
    should be known; "info": what will be done."""

    kind: str
    namespace: str
    name: str
    reason: str
    message: str
    steps: list[Step]
    irreversible: str
    """What a way back does not undo; "" if it undoes everything."""

    @property
    def object(self) -> str:
        """Kind and name."""
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"

    @property
    def seconds(self) -> float:
        """Of all its steps."""
        return sum(step.seconds for step in self.steps)


class Plan(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """The whole plan. The JSON of `-o json`: its names only grow."""

    operation: str
    """ "Install", "Update", "Rollback", "None", or "Unknown" if the target's release is not known."""

    from_release: str
    to_release: str
    """ "" if it is not known."""

    tag: str
    registry: str
    seconds: float
    """How long the whole change usually takes."""

    blocking: int
    warnings: int
    probed: bool
    """Whether the target's images were run."""

    exit_code: int
    findings: list[Finding]
    """The most severe first, then by object."""


def plan_of(summary: admin_pb2.PlanSummary, findings: Iterable[admin_pb2.Finding]) -> Plan:
    """The plan. A severity that this release does not know counts as blocking."""
    found = [_finding(finding) for finding in findings]
    blocking = sum(finding.severity == BLOCKING for finding in found)
    warnings = sum(finding.severity == WARNING for finding in found)
    return Plan(
        operation=summary.operation,
        from_release=summary.from_release,
        to_release=summary.to_release,
        tag=summary.tag,
        registry=summary.registry,
        seconds=summary.estimate.ToMilliseconds() / 1000,
        blocking=blocking,
        warnings=warnings,
        probed=summary.probed,
        exit_code=BROKEN if blocking else ATTENTION if warnings else CLEAN,
        findings=found,
    )


def _finding(finding: admin_pb2.Finding) -> Finding:
    return Finding(
        severity=_SEVERITIES.get(finding.severity, BLOCKING),
        kind=finding.subject.kind,
        namespace=finding.subject.namespace,
        name=finding.subject.name,
        reason=finding.reason,
        message=finding.message,
        steps=[Step(step.action, step.estimate.ToMilliseconds() / 1000) for step in finding.steps],
        irreversible=finding.irreversible,
    )
