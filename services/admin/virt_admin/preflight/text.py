"""The plan as lines for people, not cleaned yet: what blocks, warnings, what will be done. Pure; called by ask.py.

What is done to many objects alike is said once, with some of their names. `-o json` has them all.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from virt_admin.preflight.report import BLOCKING, INFO, WARNING, Finding, Plan
from virt_admin.screen.text import listed

_HEADINGS = {BLOCKING: "stands in the way", WARNING: "warnings", INFO: "what will be done"}


def text(plan: Plan, severities: Collection[str] = (BLOCKING, WARNING, INFO)) -> Iterator[str]:
    """The lines about findings of these severities, and the summary; those below an object begin with a tab."""
    for severity, heading in _HEADINGS.items():
        if severity not in severities:
            continue
        found = [finding for finding in plan.findings if finding.severity == severity]
        if found:
            yield f"{heading}:"
            yield from _alike(found) if severity == INFO else _each(found)
    yield _summary(plan)


def duration(seconds: float) -> str:
    """About how long, for example "2 min 5 s"; "less than 1 s"."""
    whole = round(seconds)
    if whole < 1:
        return "less than 1 s"
    hours, rest = divmod(whole, 3600)
    parts = [(hours, "h"), (rest // 60, "min"), (rest % 60, "s")]
    return " ".join(f"{number} {unit}" for number, unit in parts if number)


def _each(findings: Iterable[Finding]) -> Iterator[str]:
    """By object."""
    last = ""
    for finding in findings:
        if finding.object != last:
            yield finding.object
        last = finding.object
        yield f"\t{finding.reason}: {finding.message}"


def _alike(findings: Iterable[Finding]) -> Iterator[str]:
    """By kind and what is done."""
    groups: dict[tuple[object, ...], list[Finding]] = {}
    for finding in findings:
        actions = tuple(step.action for step in finding.steps)
        groups.setdefault((finding.kind, finding.reason, finding.message, actions, finding.irreversible), []).append(
            finding
        )
    for found in groups.values():
        first, names = found[0], [finding.object.partition(" ")[2] for finding in found]
        yield f"{first.kind} {listed(names)}"
        yield f"\t{first.reason}: {first.message}{_longest(found)}"
        if len(first.steps) > 1:
            yield from (f"\t- {step.action}{_about(step.seconds)}" for step in first.steps)
        else:
            yield from (f"\t- {step.action}" for step in first.steps)
        if first.irreversible:
            yield f"\tcannot go back: {first.irreversible}"


def _longest(findings: Iterable[Finding]) -> str:
    return _about(max(finding.seconds for finding in findings))


def _about(seconds: float) -> str:
    return f" ({duration(seconds)})" if seconds else ""


def _summary(plan: Plan) -> str:
    target = plan.to_release or f"tag {plan.tag}"
    counts = f"{plan.blocking} in the way, {plan.warnings} warnings"
    if plan.operation == "None":
        return f"nothing to do: {target} is installed; {counts}"
    about = "about " if plan.seconds >= 1 else ""
    probed = "" if plan.probed else ", the target's images were not run"
    what = "change to" if plan.operation == "Unknown" else f"{plan.operation} {plan.from_release} →"
    return f"{what} {target}: {about}{duration(plan.seconds)}; {counts}{probed}"
