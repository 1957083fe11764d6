"""Why one VM does not start, move or stop: which rules apply. Pure; called by examine.py."""

from __future__ import annotations

from collections.abc import Iterator

from virt_core.objects.meta import seconds_since
from virt_core.vmi.instance import VmiPhase

from virt_admin.doctor.case import Case
from virt_admin.doctor.finding import NOTE, PROBLEM, Finding
from virt_admin.doctor.running import running
from virt_admin.doctor.starting import before_running, controller, without_instance
from virt_admin.doctor.stopping import ended, instance_stopping, machine_stopping

_EVENTS = 5
_RECENT = 3600.0  # seconds; Kubernetes keeps events for an hour


def diagnose(case: Case) -> tuple[Finding, ...]:
    """What is found, the most important first; empty if all is as it should be."""
    found = list(dict.fromkeys(_findings(case)))
    if all(finding.kind == NOTE for finding in found):
        return tuple(found)
    return (*controller(case), *sorted(found, key=lambda finding: finding.kind != PROBLEM), *_events(case))


def _findings(case: Case) -> Iterator[Finding]:
    vm, vmi = case.vm, case.vmi
    if vm is not None and vm.metadata.deletion_timestamp is not None:
        yield from machine_stopping(case, vm)
    elif vm is not None and vmi is None:
        yield from without_instance(case, vm)
    if vmi is None:
        return
    if vmi.metadata.deletion_timestamp is not None:
        yield from instance_stopping(case, vmi)
    elif vmi.status.phase.final:
        yield from ended(case, vmi)
    elif vmi.status.phase is VmiPhase.UNKNOWN:
        phase = vmi.raw_status.get("phase", "")
        what = f"its phase {phase!s} is not known to this release, and nothing is done about it"
        yield Finding(PROBLEM, what, case.vmi_object)
    elif vmi.status.phase is VmiPhase.RUNNING:
        yield from running(case, vmi)
    else:
        yield from before_running(case, vmi)


def _events(case: Case) -> Iterator[Finding]:
    recent = [event for event in case.events if seconds_since(event.last_seen, case.suite.now) < _RECENT]
    for event in sorted(recent, key=lambda event: event.last_seen, reverse=True)[:_EVENTS]:
        where = f"Event {event.metadata.namespace}/{event.metadata.name}"
        yield Finding(NOTE, f"event {event.reason}: {event.note}", where, event.last_seen)
