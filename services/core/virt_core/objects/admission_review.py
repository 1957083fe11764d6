"""AdmissionReview v1: the request fields that the suite's webhooks use, and the response. Pure; called by the servers
of virt-operator (KubeVirt objects) and virt-api (VirtualMachineInstances).

Unknown fields of a later API server are ignored. A missing field is a bad request, which the API server treats as a
failed webhook call.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec

from virt_core.validation.refusal import Refusal

VERSION = "admission.k8s.io/v1"
LARGEST_REVIEW = 5 * 1024 * 1024
"""Bytes: a new object of 3 MiB, which is the API server's own limit for a request, a stored one of 1.5 MiB, which is
etcd's, and the rest."""

Subject = TypeVar("Subject")


class UserInfo(msgspec.Struct, frozen=True, rename="camel"):
    """The user who sent the request to the API server."""

    username: str = ""


class AdmissionRequest(msgspec.Struct, Generic[Subject], frozen=True, rename="camel"):
    """The request to decide about. `object` is absent for DELETE, `old_object` for CREATE."""

    uid: str
    operation: str
    name: str = ""
    namespace: str = ""
    user_info: UserInfo = UserInfo()
    object: Subject | None = None
    old_object: Subject | None = None
    dry_run: bool | None = None


class AdmissionReview(msgspec.Struct, Generic[Subject], frozen=True, rename="camel"):
    """The envelope."""

    api_version: str
    request: AdmissionRequest[Subject]


@dataclass(frozen=True, slots=True)
class Denial:
    """Why the request is refused. `reason` is a StatusReason of meta/v1; it tells clients whether to retry."""

    reason: str
    code: int
    message: str
    kind: str = ""
    name: str = ""
    """The object's kind, for clients' messages."""

    causes: tuple[Refusal, ...] = ()
    """One entry per refused field; empty if the refusal is not about fields."""


class BadReview(ValueError):
    """The body is not an AdmissionReview of version v1."""


def read_review(body: bytes, decoder: msgspec.json.Decoder[AdmissionReview[Subject]]) -> AdmissionRequest[Subject]:
    """The request in an AdmissionReview.

    Raises:
        BadReview: naming what is wrong.
    """
    try:
        review = decoder.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadReview(f"not an AdmissionReview: {error}") from error
    if review.api_version != VERSION:
        raise BadReview(f"apiVersion: {review.api_version!r} is not {VERSION!r}")
    return review.request


def answer(
    uid: str,
    denial: Denial | None = None,
    *,
    patch: Sequence[Mapping[str, Any]] = (),
    warnings: Sequence[str] = (),
) -> dict[str, Any]:
    """The AdmissionReview to send back for the request `uid`; `patch` is a JSON patch."""
    response: dict[str, Any] = {"uid": uid, "allowed": denial is None}
    if denial is not None:
        response["status"] = _status(denial)
    elif patch:
        response |= {"patchType": "JSONPatch", "patch": b64encode(msgspec.json.encode(patch)).decode()}
    if warnings:
        response["warnings"] = list(warnings)
    return {"apiVersion": VERSION, "kind": "AdmissionReview", "response": response}


def _status(denial: Denial) -> dict[str, Any]:
    status: dict[str, Any] = {"code": denial.code, "reason": denial.reason, "message": denial.message}
    if denial.causes:
        causes = [
            {"reason": "FieldValueInvalid", "field": cause.field, "message": cause.message} for cause in denial.causes
        ]
        status["details"] = {"kind": denial.kind, "name": denial.name, "causes": causes}
    return status
