"""What a running VirtualMachineInstance gets of its VirtualMachine's changed template without a restart. Pure;
called by plan.py.

The placement changes in the object only: the guest stays where it is until something moves or restarts it.
"""

from __future__ import annotations

from typing import Any

import msgspec
from virt_core.conventions.labels import LAUNCHER_RELEASE, SYNCED_ANNOTATIONS
from virt_core.objects.patch import Operation, guarded_patch
from virt_core.validation.refusal import UnsupportedSpec
from virt_core.vmi.accepted import accept
from virt_core.vmi.admission import LIVE_FIELDS
from virt_core.vmi.instance import VirtualMachineInstance
from virt_core.vmi.launcher_release import tag_of_machine

from virt_controller.failure import Failure
from virt_controller.vm.instancetype import applied
from virt_controller.vm.observe import Observed
from virt_controller.vm.restart_required import FOLLOWING, restart_fields

_REASONS = {"tolerations": "TolerationsChangeError"}  # KubeVirt's
_REASON = "AffinityChangeError"


def live_update(observed: Observed, vmi: VirtualMachineInstance) -> list[Operation] | Failure:
    """The guarded patch of the spec, empty if there is nothing to update; or why it cannot be applied.

    While a restart is required nothing is updated live, as in KubeVirt: the guest gets all of it together.
    """
    if not observed.configuration.updates_live or observed.changes is None or restart_fields(observed):
        return []
    wanted, spec = applied(observed).template["spec"], msgspec.json.decode(vmi.raw_spec)
    fields = [field for field in LIVE_FIELDS if (wanted.get(field) or None) != (spec.get(field) or None)]
    if not fields:
        return []
    before, after = _only(fields, spec), {key: value for key, value in _only(fields, wanted).items() if value}
    try:
        # A spec that is refused would hide the running guest from its handler.
        accept({**{key: spec[key] for key in spec if key not in fields}, **after}, observed.configuration, started=True)
    except UnsupportedSpec as error:
        return Failure(_REASONS.get(fields[0], _REASON), str(error), observed.now)
    return guarded_patch(vmi.metadata, before, after, "spec")


def annotations_patch(
    observed: Observed, vmi: VirtualMachineInstance, more: dict[str, str] | None = None
) -> list[Operation]:
    """The guarded patch that brings annotations for the descheduler from the template, the one that names a launcher,
    and `more`."""
    template = (observed.spec.template.metadata or {}).get("annotations") or {}
    before = vmi.metadata.annotations
    kept = {key: value for key, value in before.items() if key not in FOLLOWING}
    after = {**kept, **_only(SYNCED_ANNOTATIONS, template), **launcher_annotation(observed), **(more or {})}
    if before or not after:
        return guarded_patch(vmi.metadata, before, after, "metadata", "annotations")
    return guarded_patch(vmi.metadata, {}, {"annotations": after}, "metadata")


def launcher_annotation(observed: Observed) -> dict[str, str]:
    """The annotation that names the guest's launcher: the template's, otherwise the VirtualMachine's own."""
    template = (observed.spec.template.metadata or {}).get("annotations") or {}
    tag = tag_of_machine(template, observed.vm.metadata.annotations)
    return {LAUNCHER_RELEASE: tag} if tag is not None else {}


def _only(keys: tuple[str, ...] | list[str], of: dict[str, Any]) -> dict[str, Any]:
    return {key: of[key] for key in keys if key in of}
