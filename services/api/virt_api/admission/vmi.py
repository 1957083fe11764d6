"""Decides about AdmissionReviews for VirtualMachineInstances: defaults, or a refusal. Pure; called by webhooks.py.

The rules are virt_core's (vmi/defaults.py, vmi/admission.py); this module translates their results to responses.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from virt_core.conventions.webhooks import MUTATE, VALIDATE_CREATE, VALIDATE_UPDATE
from virt_core.objects.admission_review import AdmissionRequest, AdmissionReview, Denial, answer, read_review
from virt_core.objects.kubevirt import Configuration
from virt_core.validation.refusal import Refusal
from virt_core.vmi.admission import admit_create, admit_update
from virt_core.vmi.defaults import defaults_patch
from virt_core.vmi.instance import VmiPhase
from virt_core.vmi.status import in_phase

Body = dict[str, Any]
Request = AdmissionRequest[Body]
_SHOWN = 64  # causes per response: enough for every unsupported field of this release, and still readable
_decoder = msgspec.json.Decoder(AdmissionReview[Body])


@dataclass(frozen=True, slots=True)
class Circumstances:
    """Inputs of a decision in addition to the request."""

    configuration: Configuration
    machine_writers: Collection[str]
    """The users who may write an object's status."""

    now: datetime
    """UTC."""


def read(body: bytes) -> Request:
    """The request in an AdmissionReview. Raises BadReview with the problem."""
    return read_review(body, _decoder)


def mutate(request: Request, circumstances: Circumstances) -> Body:
    """The response to a creation: adds defaults and the phase Pending. `validate_create` refuses unsupported fields."""
    vmi = request.object or {}
    pending = {"op": "add", "path": "/status", "value": in_phase({}, VmiPhase.PENDING, circumstances.now)}
    warnings = (
        ["status: is written by KubeVirt itself, the status in this manifest is dropped"]
        if _says_something(vmi.get("status"))
        else []
    )
    return answer(request.uid, patch=[*defaults_patch(vmi, circumstances.configuration), pending], warnings=warnings)


def _says_something(value: object) -> bool:
    """Whether `value` has more than zero values. Go's clients send zero values for all fields that they know."""
    if isinstance(value, dict):
        return any(map(_says_something, value.values()))
    return bool(value)


def validate_create(request: Request, circumstances: Circumstances) -> Body:
    """The response to a creation: whether the object may be stored."""
    is_own = request.user_info.username in circumstances.machine_writers
    return _verdict(request, admit_create(request.object or {}, circumstances.configuration, is_own_account=is_own))


def validate_update(request: Request, circumstances: Circumstances) -> Body:
    """The response to an update: whether the change may be stored."""
    is_own = request.user_info.username in circumstances.machine_writers
    old, new = request.old_object or {}, request.object or {}
    return _verdict(request, admit_update(old, new, circumstances.configuration, is_own_account=is_own))


DECISIONS: Mapping[str, Callable[[Request, Circumstances], Body]] = {
    MUTATE: mutate,
    VALIDATE_CREATE: validate_create,
    VALIDATE_UPDATE: validate_update,
}
"""The decisions by the webhook's path."""


def _verdict(request: Request, refusals: tuple[Refusal, ...]) -> Body:
    if not refusals:
        return answer(request.uid)
    message = "; ".join(map(str, refusals[:_SHOWN]))
    more = len(refusals) - _SHOWN
    text = f"{message}; and {more} more" if more > 0 else message
    denial = Denial("Invalid", 422, text, "VirtualMachineInstance", request.name, refusals[:_SHOWN])
    return answer(request.uid, denial)
