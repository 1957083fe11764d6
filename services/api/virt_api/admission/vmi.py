"""Decides about AdmissionReviews for VirtualMachineInstances: defaults, or a refusal. Pure; called by webhooks.py.

The rules are virt_core's (vmi/defaults.py, vmi/admission.py); this module translates their results to responses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec
from virt_core.conventions.webhooks import MUTATE, VALIDATE_CREATE, VALIDATE_UPDATE
from virt_core.objects.admission_review import answer
from virt_core.objects.meta import with_conditions
from virt_core.vmi.admission import admit_create, admit_update
from virt_core.vmi.defaults import defaults_patch
from virt_core.vmi.instance import VmiPhase
from virt_core.vmi.status import NOT_RUNNING_YET, in_phase

from virt_api.admission.review import Body, Circumstances, Request, verdict

_KIND = "VirtualMachineInstance"
_REVISION = "virtualMachineRevisionName"


def mutate(request: Request, circumstances: Circumstances) -> Body:
    """The response to a creation: adds defaults, the phase Pending and the condition Ready, which need no further
    request then. `validate_create` refuses unsupported fields."""
    vmi, now = request.object or {}, circumstances.now
    status, warnings = _stored_status(vmi.get("status"), is_own=circumstances.is_own(request))
    conditions = msgspec.to_builtins(with_conditions((), (NOT_RUNNING_YET,), now))
    value = {**in_phase(status, VmiPhase.PENDING, now), "conditions": conditions}
    pending = {"op": "add", "path": "/status", "value": value}
    return answer(request.uid, patch=[*defaults_patch(vmi, circumstances.configuration), pending], warnings=warnings)


def _stored_status(status: object, *, is_own: bool) -> tuple[Body, list[str]]:
    """What is kept of a new object's status, and the warning about what is not. virt-controller names the revision of
    the VirtualMachine that the object is made for."""
    if is_own and isinstance(status, dict) and isinstance(status.get(_REVISION), str):
        return {_REVISION: status[_REVISION]}, []
    if _says_something(status):
        return {}, ["status: is written by KubeVirt itself, the status in this manifest is dropped"]
    return {}, []


def _says_something(value: object) -> bool:
    """Whether `value` has more than zero values. Go's clients send zero values for all fields that they know."""
    if isinstance(value, dict):
        return any(map(_says_something, value.values()))
    return bool(value)


def validate_create(request: Request, circumstances: Circumstances) -> Body:
    """Whether a new object may be stored."""
    is_own = circumstances.is_own(request)
    return verdict(
        _KIND, request, admit_create(request.object or {}, circumstances.configuration, is_own_account=is_own)
    )


def validate_update(request: Request, circumstances: Circumstances) -> Body:
    """Whether a change may be stored."""
    is_own = circumstances.is_own(request)
    old, new = request.old_object or {}, request.object or {}
    return verdict(_KIND, request, admit_update(old, new, circumstances.configuration, is_own_account=is_own))


DECISIONS: Mapping[str, Callable[[Request, Circumstances], Body]] = {
    MUTATE: mutate,
    VALIDATE_CREATE: validate_create,
    VALIDATE_UPDATE: validate_update,
}
"""By path."""
