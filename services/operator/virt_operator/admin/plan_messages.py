"""Converts a plan to the contract's messages. Pure; called by servicer.py.

Findings are sent in several messages, because one may have 4 MiB at most.
"""

from __future__ import annotations

from collections.abc import Iterator

from google.protobuf.duration_pb2 import Duration
from kubevirt.admin.v1 import admin_pb2

from virt_operator.preflight.finding import Finding, Severity
from virt_operator.preflight.plan import Answer

_AT_ONCE = 500  # findings in a message: a finding has a few hundred bytes, 2 KiB at most
_SEVERITIES = {
    Severity.INFO: admin_pb2.SEVERITY_INFO,
    Severity.WARNING: admin_pb2.SEVERITY_WARNING,
    Severity.BLOCKING: admin_pb2.SEVERITY_BLOCKING,
}
_LONGEST = 2000  # characters of a text


def progress_message(activity: str) -> admin_pb2.PlanResponse:
    """What the plan does now."""
    return admin_pb2.PlanResponse(progress=admin_pb2.PlanProgress(activity=activity))


def result_messages(answer: Answer) -> Iterator[admin_pb2.PlanResponse]:
    """All findings, and the summary."""
    found = answer.plan.findings
    for start in range(0, len(found), _AT_ONCE):
        some = [_finding(finding) for finding in found[start : start + _AT_ONCE]]
        yield admin_pb2.PlanResponse(findings=admin_pb2.Findings(findings=some))
    strategy = answer.target.strategy
    summary = admin_pb2.PlanSummary(
        operation=answer.plan.operation,
        from_release=answer.installed_release,
        to_release=strategy.release if strategy is not None else "",
        tag=answer.question.tag,
        registry=answer.question.registry,
        estimate=_duration(answer.plan.seconds),
        blocking=answer.plan.count(Severity.BLOCKING),
        warnings=answer.plan.count(Severity.WARNING),
        probed=answer.target.probed,
    )
    yield admin_pb2.PlanResponse(summary=summary)


def _finding(finding: Finding) -> admin_pb2.Finding:
    subject = finding.subject
    steps = [admin_pb2.PlannedStep(action=step.action, estimate=_duration(step.seconds)) for step in finding.steps]
    return admin_pb2.Finding(
        severity=_SEVERITIES[finding.severity],
        subject=admin_pb2.Subject(kind=subject.kind, namespace=subject.namespace, name=subject.name),
        reason=finding.reason,
        message=finding.message[:_LONGEST],
        steps=steps,
        irreversible=finding.irreversible,
    )


def _duration(seconds: float) -> Duration:
    made = Duration()
    made.FromMilliseconds(round(seconds * 1000))
    return made
