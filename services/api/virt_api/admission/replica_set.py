"""Decides about AdmissionReviews for VirtualMachineInstanceReplicaSets. Pure; called by webhooks.py.

The rules are virt_core's (replica_set/admission.py); this module translates their results to responses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from virt_core.conventions.webhooks import REPLICA_SET_VALIDATE
from virt_core.replica_set.admission import admit
from virt_core.replica_set.replica_set import KIND

from virt_api.admission.review import Body, Circumstances, Request, verdict


def validate(request: Request, circumstances: Circumstances) -> Body:
    """Whether the object may be stored."""
    is_own = circumstances.is_own(request)
    refusals = admit(request.object or {}, request.old_object, circumstances.configuration, is_own_account=is_own)
    return verdict(KIND, request, refusals)


DECISIONS: Mapping[str, Callable[[Request, Circumstances], Body]] = {REPLICA_SET_VALIDATE: validate}
"""By path."""
