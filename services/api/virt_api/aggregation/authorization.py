"""Authorization: SubjectAccessReviews for calls of subresources. Called by routes.py after authentication.

Access to "virtualmachineinstances/console" and other subresources is granted by RBAC in the group
subresources.kubevirt.io. kube-apiserver decides; an answer is remembered for a few seconds. The first question is
whether the user may do the same to every object of the namespace, as nearly everybody may who may do it at all. So
somebody who starts a hundred VirtualMachines is asked about once.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import msgspec
from virt_core.conventions.subresources import GROUP
from virt_core.kube.client import KubeClient
from virt_core.kube.errors import KubeError, Unavailable
from virt_core.kube.resource import SUBJECT_ACCESS_REVIEWS

from virt_api.aggregation.authentication import User
from virt_api.errors import ApiError, Forbidden, ServiceUnavailable
from virt_api.subresources.call import Call

# As long as Kubernetes' own aggregated API servers remember a permission (DelegatingAuthorizationOptions). A revoked
# permission ends at once all the same: kube-apiserver authorizes each request itself before it forwards it.
ALLOWED_SECONDS = 10.0
# Kubernetes remembers a refusal for as long. Who has just been granted a permission waits less here.
DENIED_SECONDS = 5.0
# That a user may not do it to every object refuses nothing: the question about the one object follows.
NAMED_SECONDS = 300.0
_REMEMBERED = 4096  # answers, 300 bytes each


def review_of(user: User, call: Call, *, every: bool = False) -> dict[str, Any]:
    """The SubjectAccessReview that asks whether `user` may make `call`; `every`: for every object of the namespace."""
    spec: dict[str, Any] = {
        "user": user.name,
        "groups": list(user.groups),
        "extra": {key: list(values) for key, values in user.extra},
        "resourceAttributes": {
            "namespace": call.namespace,
            "verb": call.verb,
            "group": GROUP,
            "version": call.version,
            "resource": call.resource,
            "subresource": call.subresource,
            "name": "" if every else call.name,
        },
    }
    if user.uid:
        spec["uid"] = user.uid
    return {"apiVersion": SUBJECT_ACCESS_REVIEWS.api_version, "kind": SUBJECT_ACCESS_REVIEWS.kind, "spec": spec}


@dataclass(frozen=True, slots=True)
class _Answer:
    allowed: bool
    reason: str
    until: float


class Authorizer:
    """Asks kube-apiserver what users may do, and remembers its last answers. An error is not remembered."""

    def __init__(self, client: KubeClient, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._clock = clock
        self._answers: OrderedDict[bytes, _Answer] = OrderedDict()
        self._asking: dict[bytes, asyncio.Task[_Answer]] = {}

    async def authorize(self, user: User, call: Call) -> None:
        """Return if `user` may make `call`.

        Raises:
            Forbidden: naming user, verb and resource.
            ServiceUnavailable: kube-apiserver does not answer.
            ApiError: it refuses the SubjectAccessReview.
        """
        patience = NAMED_SECONDS if call.name else DENIED_SECONDS
        answer = await self._answer(user, review_of(user, call, every=True), patience)
        if not answer.allowed and call.name:
            answer = await self._answer(user, review_of(user, call), DENIED_SECONDS)
        if answer.allowed:
            return
        reason = f": {answer.reason}" if answer.reason else ""
        raise Forbidden(
            f'{call.resource}.{GROUP} "{call.name}" is forbidden: User "{user.name}" cannot {call.verb} resource '
            f'"{call.path}" in API group "{GROUP}" in the namespace "{call.namespace}"{reason}',
            call.details,
        )

    async def _answer(self, user: User, review: dict[str, Any], denied_seconds: float) -> _Answer:
        # A digest, because a user's groups and extra fields may be long.
        question, now = sha256(msgspec.json.encode(review)).digest(), self._clock()
        known = self._answers.get(question)
        if known is not None and now < known.until:
            return known
        asking = self._asking.get(question)
        if asking is None:
            asking = asyncio.create_task(self._asked(question, user, review, denied_seconds), name="authorization")
            self._asking[question] = asking
            asking.add_done_callback(lambda _: self._asking.pop(question))
        return await asyncio.shield(asking)  # others wait for it, too

    async def _asked(self, question: bytes, user: User, review: dict[str, Any], denied_seconds: float) -> _Answer:
        now = self._clock()
        status = await self._ask(user, review)
        allowed = status.get("allowed") is True
        until = now + (ALLOWED_SECONDS if allowed else denied_seconds)
        answer = _Answer(allowed, str(status.get("reason") or ""), until)
        self._answers[question] = answer
        self._answers.move_to_end(question)
        if len(self._answers) > _REMEMBERED:
            self._answers.popitem(last=False)
        return answer

    async def _ask(self, user: User, review: dict[str, Any]) -> dict[str, Any]:
        """The status of the review."""
        try:
            answered = await self._client.create(SUBJECT_ACCESS_REVIEWS, None, review)
        except Unavailable as error:
            raise ServiceUnavailable(f"cannot ask whether {user.name!r} may do this, try again: {error}") from error
        except KubeError as error:
            raise ApiError(f"virt-api may not ask whether {user.name!r} may do this: {error}") from error
        status: dict[str, Any] = answered.get("status", {})
        return status
