"""Decides about reviews of VirtualMachineInstanceMigrations and MigrationPolicies. Pure; called by webhooks.py.

The rules are virt_core's (migration/admission.py); this module translates their results to responses. NEEDS says which
stored objects a decision rests on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from virt_core.conventions import accounts, labels
from virt_core.conventions.migration import VMI_NAME
from virt_core.conventions.webhooks import (
    MIGRATION_MUTATE,
    MIGRATION_VALIDATE_CREATE,
    MIGRATION_VALIDATE_UPDATE,
    POLICY_VALIDATE,
)
from virt_core.kube.resource import (
    MIGRATION_POLICIES,
    VIRTUAL_MACHINE_INSTANCE_MIGRATIONS,
    VIRTUAL_MACHINE_INSTANCES,
)
from virt_core.migration.admission import create_patch, policy_refusals, spec_refusals, state_refusal, update_refusals
from virt_core.objects.admission_review import Denial, answer
from virt_core.validation.refusal import DNS_NAME
from virt_core.vmi.instance import VirtualMachineInstance

from virt_api.admission.review import Body, Circumstances, Request, verdict
from virt_api.admission.stored import Found, Needed, Reference, Selection

_KIND = VIRTUAL_MACHINE_INSTANCE_MIGRATIONS.kind


def mutate(request: Request, _: Circumstances) -> Body:
    """The answer with label and finalizer."""
    return answer(request.uid, patch=create_patch(request.object or {}))


def validate_create(request: Request, circumstances: Circumstances) -> Body:
    """Whether a migration may be created: first its fields, then the state of its guest."""
    new = request.object or {}
    by_controller = circumstances.is_own(request) and request.user_info.username.endswith(f":{accounts.CONTROLLER}")
    if refusals := spec_refusals(new, by_controller=by_controller):
        return verdict(_KIND, request, refusals)
    needed = _needs(request, circumstances.found)
    found, others = (circumstances.found.get(entry) for entry in needed)
    vmi = VirtualMachineInstance.of(found) if found is not None else None
    named = {**new, "metadata": {**_mapping(new.get("metadata")), "namespace": request.namespace}}
    refusal = state_refusal(named, vmi, others["items"] if others is not None else ())
    return answer(request.uid, Denial("BadRequest", 400, refusal, _KIND, request.name) if refusal else None)


def _needs(request: Request, _: Found) -> tuple[Needed, ...]:
    """The VirtualMachineInstance, and the migrations with its label. Nothing for a name that cannot be one: its field
    is refused."""
    name = _mapping((request.object or {}).get("spec")).get("vmiName")
    if not isinstance(name, str) or not DNS_NAME.accepts(name):
        return ()
    return (
        Reference(VIRTUAL_MACHINE_INSTANCES, request.namespace, name),
        Selection(VIRTUAL_MACHINE_INSTANCE_MIGRATIONS, request.namespace, VMI_NAME, labels.vmi_id(name)),
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def validate_update(request: Request, _: Circumstances) -> Body:
    """Whether a migration may be changed."""
    return verdict(_KIND, request, update_refusals(request.old_object or {}, request.object or {}))


def validate_policy(request: Request, _: Circumstances) -> Body:
    """Whether a MigrationPolicy may be stored. One whose spec stays the same may always be, so that its finalizers can
    be removed."""
    new, old = request.object or {}, request.old_object
    unchanged = old is not None and old.get("spec") == new.get("spec")
    return verdict(MIGRATION_POLICIES.kind, request, () if unchanged else policy_refusals(new))


DECISIONS: Mapping[str, Callable[[Request, Circumstances], Body]] = {
    MIGRATION_MUTATE: mutate,
    MIGRATION_VALIDATE_CREATE: validate_create,
    MIGRATION_VALIDATE_UPDATE: validate_update,
    POLICY_VALIDATE: validate_policy,
}
"""By path."""

NEEDS: Mapping[str, Callable[[Request, Found], tuple[Needed, ...]]] = {MIGRATION_VALIDATE_CREATE: _needs}
"""By path: the stored objects on which a decision rests."""
