"""What a roll back would not bring back: the ledger of an open way back. Pure; called by reconcile/learn.py.

The judges are those of the plan, asked about the release to go back to. Its hardware is what the way back has recorded,
so that no image is run.
"""

from __future__ import annotations

from collections.abc import Iterator

from virt_core.objects.upgrade_status import LedgerEntry, WayBack

from virt_operator.preflight.finding import Finding, Subject
from virt_operator.preflight.guests import judge_hardware
from virt_operator.preflight.observed import Cluster, Target
from virt_operator.preflight.stored import judge_own, judge_stored
from virt_operator.strategy.install_strategy import InstallStrategy
from virt_operator.suite.hypervisor import Hypervisor

MOST = 20
"""Listed entries; another one says how many more there are."""

_STORED = ("StoredFieldGone", "StoredVersionGone", "NotExamined")
_LONGEST = 512  # characters of a reason


def ledger(cluster: Cluster, back: WayBack, before: InstallStrategy | None) -> list[LedgerEntry]:
    """The entries, in a stable order. `before` is the strategy of the release to go back to."""
    found = list(_entries(cluster, back, before))
    more = [LedgerEntry(f"and {len(found) - MOST} more", "", "see the plan of the roll back")] if found[MOST:] else []
    return found[:MOST] + more


def _entries(cluster: Cluster, back: WayBack, before: InstallStrategy | None) -> Iterator[LedgerEntry]:
    if back.hardware_unknown:
        why = f"start with the newest machine type of {cluster.operator.release}, because {back.hardware_unknown}"
        yield LedgerEntry("VirtualMachineInstances without a machine type", "status.machine.type", why[:_LONGEST])
    if before is None:
        yield LedgerEntry("stored objects", "", f"not examined: the install strategy of {back.version} is gone")
    target = Target(before, _hypervisor(back))
    findings = [*judge_own(cluster, target), *judge_stored(cluster, target)]
    kept = [finding for finding in findings if finding.reason in _STORED]
    for finding in sorted((*kept, *judge_hardware(cluster, target)), key=lambda finding: finding.subject):
        yield _entry(finding)


def _hypervisor(back: WayBack) -> Hypervisor | None:
    """What the release to go back to knows."""
    if not back.known_machine_types:
        return None
    names = frozenset({*back.known_machine_types, *back.machine_types})
    features = frozenset(back.cpu_features) if back.cpu_features is not None else None
    return Hypervisor("", "", names, frozenset(back.cpu_models), features, whose=back.version)


def _entry(finding: Finding) -> LedgerEntry:
    return LedgerEntry(_named(finding.subject), finding.field, finding.message[:_LONGEST])


def _named(subject: Subject) -> str:
    where = f"{subject.namespace}/{subject.name}" if subject.namespace else subject.name
    return f"{subject.kind} {where}"
