"""What every decision about an admission request rests on, and how a refusal is worded. Pure; used by the
module of each kind."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec
from virt_core.objects.admission_review import AdmissionRequest, AdmissionReview, Denial, answer, read_review
from virt_core.objects.kubevirt import Configuration
from virt_core.validation.refusal import Refusal

from virt_api.admission.stored import Found

Body = dict[str, Any]
Request = AdmissionRequest[Body]
_SHOWN = 64  # causes in one answer: all that a release does not support, and no book
_decoder = msgspec.json.Decoder(AdmissionReview[Body])


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a decision rests on besides the request."""

    configuration: Configuration
    machine_writers: Collection[str]
    """Accounts of the suite, which may write what is reserved for it."""

    now: datetime
    """UTC."""

    found: Found = field(default_factory=dict)
    """The stored objects that the decision needs."""

    def is_own(self, request: Request) -> bool:
        """Whether a component of the suite asks."""
        return request.user_info.username in self.machine_writers


def read(body: bytes) -> Request:
    """The request in an AdmissionReview. Raises BadReview naming what is wrong."""
    return read_review(body, _decoder)


def verdict(kind: str, request: Request, refusals: tuple[Refusal, ...]) -> Body:
    """The answer that admits the object, or refuses it with a cause for each field."""
    if not refusals:
        return answer(request.uid)
    message = "; ".join(map(str, refusals[:_SHOWN]))
    more = len(refusals) - _SHOWN
    shown = f"{message}; and {more} more" if more > 0 else message
    return answer(request.uid, Denial("Invalid", 422, shown, kind, request.name, refusals[:_SHOWN]))
