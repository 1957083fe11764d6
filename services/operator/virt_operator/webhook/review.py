"""The KubeVirt object in an AdmissionReview. Pure; called by server.py and rules.py."""

from __future__ import annotations

from typing import Any

import msgspec
from virt_core.objects import admission_review
from virt_core.objects.meta import ObjectMeta


class Reviewed(msgspec.Struct, frozen=True, rename="camel"):
    """The new or the stored KubeVirt object."""

    metadata: ObjectMeta
    spec: dict[str, Any] = {}


AdmissionRequest = admission_review.AdmissionRequest[Reviewed]
_decoder = msgspec.json.Decoder(admission_review.AdmissionReview[Reviewed])


def read(body: bytes) -> AdmissionRequest:
    """The request in an AdmissionReview. Raises BadReview with the problem."""
    return admission_review.read_review(body, _decoder)
