"""Which ControllerRevision of a start is kept for the next one. Pure; called by plan.py and status.py.

A VirtualMachine that has not changed is started again with the ControllerRevision of its last start, so a stop deletes
none and a start creates none. `status.startRevision` names it, with a digest of what it keeps. It is written only when
there is a VirtualMachineInstance of that ControllerRevision, which was therefore created; one that another start
replaces is deleted right before the status names the new one. Each leader looks once whether it is there (execute.py).
"""

from __future__ import annotations

from virt_core.vm.virtual_machine import StartRevision

from virt_controller.vm.instancetype import revisions
from virt_controller.vm.observe import Observed, has_ended
from virt_controller.vm.start import digest, revision, revision_name, revision_of


def reused(observed: Observed) -> str:
    """The ControllerRevision of an earlier start that keeps exactly what is started now; "": there is none."""
    known = observed.start_revision
    return known.name if known is not None and known.digest == _digest(observed) else ""


def is_overwritten(observed: Observed) -> bool:
    """Whether the start that is about to happen replaces what the ControllerRevision keeps: it has the same generation,
    and another instance type or preference, because the status had lost its names."""
    known = observed.start_revision
    return known is not None and known.name == revision_name(observed.vm) and not reused(observed)


def next_start_revision(observed: Observed) -> StartRevision | None:
    """What the status is to name. A guest that has ended is no reason to keep another one."""
    vmi, known = observed.own, observed.start_revision
    if vmi is None or observed.vm.metadata.deletion_timestamp is not None:
        return known
    name = revision_of(vmi)
    if not name or (known is not None and known.name == name):
        return known
    if has_ended(vmi) or name != revision_name(observed.vm):
        return None  # the spec has changed since, so nobody knows the digest of what it keeps
    return StartRevision(name, _digest(observed))


def replaced(observed: Observed) -> str:
    """The ControllerRevision that the next status no longer names; "": there is none."""
    known, after = observed.start_revision, next_start_revision(observed)
    return known.name if known is not None and (after is None or after.name != known.name) else ""


def _digest(observed: Observed) -> str:
    return digest(revision(observed.vm, "", revisions(observed)))
