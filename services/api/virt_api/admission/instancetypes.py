"""Decides whether an instance type or a preference is stored. Pure; called by webhooks.py.

The rules are virt_core's (instancetype/admission.py); this module translates their results to responses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from virt_core.conventions.webhooks import (
    VALIDATE_CLUSTER_INSTANCETYPE,
    VALIDATE_CLUSTER_PREFERENCE,
    VALIDATE_INSTANCETYPE,
    VALIDATE_PREFERENCE,
)
from virt_core.instancetype.admission import admit, deprecations
from virt_core.instancetype.matcher import Role

from virt_api.admission.review import Body, Circumstances, Request, verdict


def validate(role: Role, kind: str, request: Request, _: Circumstances) -> Body:
    """Whether the object may be stored."""
    new = request.object or {}
    refusals = admit(role, new, request.old_object)
    body = verdict(kind, request, refusals)
    if not refusals and (warnings := deprecations(role, new)):
        body["response"]["warnings"] = warnings
    return body


DECISIONS: Mapping[str, Callable[[Request, Circumstances], Body]] = {
    VALIDATE_INSTANCETYPE: partial(validate, Role.INSTANCETYPE, "VirtualMachineInstancetype"),
    VALIDATE_CLUSTER_INSTANCETYPE: partial(validate, Role.INSTANCETYPE, "VirtualMachineClusterInstancetype"),
    VALIDATE_PREFERENCE: partial(validate, Role.PREFERENCE, "VirtualMachinePreference"),
    VALIDATE_CLUSTER_PREFERENCE: partial(validate, Role.PREFERENCE, "VirtualMachineClusterPreference"),
}
"""By path."""
