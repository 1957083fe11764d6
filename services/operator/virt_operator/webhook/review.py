"""AdmissionReview v1 as far as the webhook reads it, and its answer. Pure; called by server.py.

What a later API server adds is ignored; what is missing is a bad request, which the API server counts as no answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
from virt_core.api.meta import ObjectMeta

from virt_operator.strategy.ref import Body


class Reviewed(msgspec.Struct, frozen=True, rename="camel"):
    """A KubeVirt object as it is to be stored, or as it is."""

    metadata: ObjectMeta
    spec: dict[str, Any] = {}


class AdmissionRequest(msgspec.Struct, frozen=True, rename="camel"):
    """What is to be decided. `object` is absent for DELETE, `old_object` for CREATE."""

    uid: str
    operation: str
    object: Reviewed | None = None
    old_object: Reviewed | None = None


class AdmissionReview(msgspec.Struct, frozen=True, rename="camel"):
    """The envelope."""

    api_version: str
    request: AdmissionRequest


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the request is refused: `reason` is one of meta/v1's, which says to clients whether repeating may help."""

    reason: str
    code: int
    message: str


class BadReview(ValueError):
    """The body is not an AdmissionReview of version v1."""


_decoder = msgspec.json.Decoder(AdmissionReview)


def read(body: bytes) -> AdmissionRequest:
    """The request in an AdmissionReview.

    Raises:
        BadReview: naming what is wrong.
    """
    try:
        review = _decoder.decode(body)
    except msgspec.DecodeError as error:
        raise BadReview(f"not an AdmissionReview: {error}") from error
    if review.api_version != "admission.k8s.io/v1":
        raise BadReview(f"apiVersion: {review.api_version!r} is not 'admission.k8s.io/v1'")
    return review.request


def answer(request: AdmissionRequest, refusal: Refusal | None) -> Body:
    """The AdmissionReview to send back."""
    response: Body = {"uid": request.uid, "allowed": refusal is None}
    if refusal is not None:
        response["status"] = {"code": refusal.code, "reason": refusal.reason, "message": refusal.message}
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}
