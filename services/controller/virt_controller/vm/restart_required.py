"""Which fields of a running VirtualMachine's template take effect at its next start only. Pure; called by status.py.

KubeVirt compares the whole template with what the guest was started with, and so does this. It names the fields.
"""

from __future__ import annotations

import msgspec
from virt_core.objects.differences import differences

from virt_controller.vm.observe import Observed


def changed_fields(observed: Observed) -> tuple[str, ...]:
    """Paths below spec.template.spec that differ from what the guest was started with; empty without a guest."""
    vmi, before = observed.own, observed.started_with
    if vmi is None or before is None or vmi.status.phase.final:
        return ()
    started, current = (msgspec.json.decode(spec.template.spec) for spec in (before, observed.spec))
    return tuple(sorted(path or "spec" for path in differences(started, current)))


def template_is_as_started(observed: Observed) -> bool:
    """Whether the whole template, metadata too, is the one that the guest was started with."""
    before = observed.started_with
    if before is None:
        return False
    started, current = before.template, observed.spec.template
    same_metadata = (started.metadata or {}) == (current.metadata or {})
    return same_metadata and msgspec.json.decode(started.spec) == msgspec.json.decode(current.spec)
