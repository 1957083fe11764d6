"""What becomes of a VirtualMachineInstance that is to be stored: its defaults, or why it is not. Pure; called by
webhooks.py.

The rules are virt_core's (vmi_defaults.py, vmi_admission.py); here they are turned into answers to the API server.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import msgspec
from virt_core.api.admission_review import AdmissionRequest, AdmissionReview, Denial, answer, read_review
from virt_core.api.kubevirt import Configuration
from virt_core.api.refusal import Refusal
from virt_core.api.vmi_admission import admit_create, admit_update
from virt_core.api.vmi_defaults import defaults_patch
from virt_core.api.vmi_webhooks import MUTATE, VALIDATE_CREATE, VALIDATE_UPDATE

Body = dict[str, Any]
Request = AdmissionRequest[Body]
_SHOWN = 64  # causes in one answer: all that a release does not support, and no book
_decoder = msgspec.json.Decoder(AdmissionReview[Body])


def read(body: bytes) -> Request:
    """The request in an AdmissionReview. Raises BadReview naming what is wrong."""
    return read_review(body, _decoder)


def mutate(request: Request, configuration: Configuration, _: Collection[str]) -> Body:
    """The answer to a creation, with the defaults; what is not supported is left for `validate_create` to refuse."""
    vmi = request.object or {}
    warnings = ["status: is written by KubeVirt itself, what is given is dropped"] if vmi.get("status") else []
    return answer(request.uid, patch=defaults_patch(vmi, configuration), warnings=warnings)


def validate_create(request: Request, configuration: Configuration, own: Collection[str]) -> Body:
    """Whether a new object may be stored."""
    is_own = request.user_info.username in own
    return _verdict(request, admit_create(request.object or {}, configuration, is_own_account=is_own))


def validate_update(request: Request, configuration: Configuration, own: Collection[str]) -> Body:
    """Whether a change may be stored."""
    is_own = request.user_info.username in own
    old, new = request.old_object or {}, request.object or {}
    return _verdict(request, admit_update(old, new, configuration, is_own_account=is_own))


DECISIONS: Mapping[str, Callable[[Request, Configuration, Collection[str]], Body]] = {
    MUTATE: mutate,
    VALIDATE_CREATE: validate_create,
    VALIDATE_UPDATE: validate_update,
}
"""By path. `own` are the users whose status of an object counts."""


def _verdict(request: Request, refusals: tuple[Refusal, ...]) -> Body:
    if not refusals:
        return answer(request.uid)
    message = "; ".join(map(str, refusals[:_SHOWN]))
    more = len(refusals) - _SHOWN
    said = f"{message}; and {more} more" if more > 0 else message
    denial = Denial("Invalid", 422, said, "VirtualMachineInstance", request.name, refusals[:_SHOWN])
    return answer(request.uid, denial)
