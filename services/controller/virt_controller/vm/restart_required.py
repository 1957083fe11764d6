"""Which fields of a running VirtualMachine's template take effect at its next start only. Pure; called by status.py,
plan.py and live_update.py.

KubeVirt compares the whole template with what the guest was started with, and so does this, both with instance type
and preference. It names the fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from virt_core.conventions.labels import LAUNCHER_RELEASE, SYNCED_ANNOTATIONS
from virt_core.objects.differences import differences
from virt_core.vmi.admission import LIVE_FIELDS
from virt_core.vmi.instance import VirtualMachineInstance

from virt_controller.vm.observe import Changes, Observed

Body = Mapping[str, Any]
FOLLOWING = (*SYNCED_ANNOTATIONS, LAUNCHER_RELEASE)
"""Annotations that a guest gets from its VirtualMachine also while it runs (live_update.py)."""


def changes_of(started: Body, current: Body, vmi: VirtualMachineInstance) -> Changes:
    """How the template differs from the one that `vmi` was started with, each with its instance type and preference."""
    before, after = started.get("spec"), current.get("spec")
    if (uuid := _firmware_uuid(after)) and uuid == _firmware_uuid(msgspec.json.decode(vmi.raw_spec)):
        before = _with_firmware_uuid(before, uuid)  # the guest has it, although nobody had named it
    fields = tuple(sorted(path or "spec" for path in differences(before, after)))
    return Changes(fields, metadata=_metadata(started) != _metadata(current))


def restart_fields(observed: Observed) -> tuple[str, ...]:
    """Paths below spec.template.spec that the guest gets at its next start; empty without a guest."""
    vmi, changes = observed.own, observed.changes
    if vmi is None or changes is None or vmi.status.phase.final:
        return ()
    return tuple(path for path in changes.fields if not _is_live(path, observed))


def _is_live(path: str, observed: Observed) -> bool:
    return observed.configuration.updates_live and path.partition(".")[0] in LIVE_FIELDS


def template_is_as_started(observed: Observed) -> bool:
    """Whether the guest has what the whole template says, metadata too; fields that are updated live do not count."""
    changes = observed.changes
    return changes is not None and not changes.metadata and not restart_fields(observed)


def _metadata(template: Body) -> dict[str, Any]:
    """The template's metadata without the annotations that a guest which runs gets as well."""
    metadata = dict(template.get("metadata") or {})
    annotations = metadata.pop("annotations", None) or {}
    kept = {key: value for key, value in annotations.items() if key not in FOLLOWING}
    return {**metadata, "annotations": kept} if kept else metadata


def _firmware_uuid(spec: Any) -> str:
    for key in ("domain", "firmware", "uuid"):
        spec = spec.get(key) if isinstance(spec, dict) else None
    return spec if isinstance(spec, str) else ""


def _with_firmware_uuid(spec: Any, uuid: str) -> dict[str, Any]:
    domain = spec.get("domain") or {}
    return {**spec, "domain": {**domain, "firmware": {**(domain.get("firmware") or {}), "uuid": uuid}}}
