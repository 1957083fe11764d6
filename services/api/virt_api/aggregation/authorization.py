"""Authorization: a SubjectAccessReview for each call of a subresource. Called by routes.py after authentication.

Access to "virtualmachineinstances/console" and other subresources is granted by RBAC in the group
subresources.kubevirt.io. kube-apiserver decides; nothing is cached here.
"""

from __future__ import annotations

from typing import Any

from virt_core.conventions.subresources import GROUP
from virt_core.kube.client import KubeClient
from virt_core.kube.errors import KubeError, Unavailable
from virt_core.kube.resource import SUBJECT_ACCESS_REVIEWS

from virt_api.aggregation.authentication import User
from virt_api.errors import ApiError, Forbidden, ServiceUnavailable
from virt_api.subresources.call import Call


def review_of(user: User, call: Call) -> dict[str, Any]:
    """The SubjectAccessReview that asks whether `user` may make `call`."""
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
            "name": call.name,
        },
    }
    if user.uid:
        spec["uid"] = user.uid
    return {"apiVersion": SUBJECT_ACCESS_REVIEWS.api_version, "kind": SUBJECT_ACCESS_REVIEWS.kind, "spec": spec}


async def authorize(client: KubeClient, user: User, call: Call) -> None:
    """Return if `user` may make `call`.

    Raises:
        Forbidden: naming user, verb and resource.
        ServiceUnavailable: kube-apiserver does not answer.
        ApiError: it refuses the SubjectAccessReview.
    """
    try:
        review = await client.create(SUBJECT_ACCESS_REVIEWS, None, review_of(user, call))
    except Unavailable as error:
        raise ServiceUnavailable(f"cannot ask whether {user.name!r} may do this, try again: {error}") from error
    except KubeError as error:
        raise ApiError(f"virt-api may not ask whether {user.name!r} may do this: {error}") from error
    status = review.get("status", {})
    if status.get("allowed") is True:
        return
    reason = f": {status['reason']}" if status.get("reason") else ""
    raise Forbidden(
        f'{call.resource}.{GROUP} "{call.name}" is forbidden: User "{user.name}" cannot {call.verb} resource '
        f'"{call.path}" in API group "{GROUP}" in the namespace "{call.namespace}"{reason}',
        call.details,
    )
