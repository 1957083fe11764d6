"""What becomes of a VirtualMachine that is to be stored: its defaults, or why it is not. Pure; called by webhooks.py.

The rules are virt_core's (vm/defaults.py, vm/admission.py, instancetype/); here they are turned into answers to the API
server. NEEDS says which stored objects a decision rests on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from uuid import uuid4

from virt_core.conventions.webhooks import VM_MUTATE, VM_VALIDATE
from virt_core.instancetype.infer import Inferred, inferred
from virt_core.instancetype.matcher import Role
from virt_core.objects.admission_review import Denial, answer
from virt_core.vm.admission import admit, needs_chosen
from virt_core.vm.defaults import create_patch, update_patch

from virt_api.admission.review import Body, Circumstances, Request, verdict
from virt_api.admission.stored import Found, Reference, chosen_of, claims_of, reference_of, references_of

_KIND = "VirtualMachine"
_RUNNING_IS_DEPRECATED = "spec.running is deprecated, please use spec.runStrategy instead."  # KubeVirt's words


def mutate(request: Request, circumstances: Circumstances) -> Body:
    """The answer with the defaults; what is not supported is left for `validate` to refuse."""
    old, result = request.old_object, _inferred(request, circumstances.found)
    if result.failure:
        return answer(request.uid, Denial("BadRequest", 400, result.failure, _KIND, request.name))
    if old is not None:
        return answer(request.uid, patch=[*result.patch, *update_patch(old, result.vm)])
    preference = chosen_of(result.vm, request.namespace, circumstances.found).preference
    defaults = create_patch(result.vm, circumstances.configuration, lambda: str(uuid4()), preference)
    return answer(request.uid, patch=[*result.patch, *defaults])


def _needs_of_mutation(request: Request, found: Found) -> tuple[Reference, ...]:
    """First the claims of which the matchers are inferred, then the preference, whose machine type is stored."""
    claims = tuple(claims_of(request.object or {}, request.namespace).values())
    if request.old_object is not None or not found.keys() >= set(claims):
        return claims
    preference = reference_of(_inferred(request, found).vm, Role.PREFERENCE, request.namespace)
    return (*claims, *(() if preference is None else (preference,)))


def _inferred(request: Request, found: Found) -> Inferred:
    new = request.object or {}
    claims = claims_of(new, request.namespace)
    return inferred(new, request.old_object, {name: found.get(reference) for name, reference in claims.items()})


def validate(request: Request, circumstances: Circumstances) -> Body:
    """Whether the object may be stored."""
    new = request.object or {}
    chosen, is_own = chosen_of(new, request.namespace, circumstances.found), circumstances.is_own(request)
    refusals = admit(new, request.old_object, circumstances.configuration, is_own_account=is_own, chosen=chosen)
    body = verdict(_KIND, request, refusals)
    spec = new.get("spec")
    if not refusals and isinstance(spec, dict) and spec.get("running") is not None:
        body["response"]["warnings"] = [_RUNNING_IS_DEPRECATED]
    return body


def _needs_of_validation(request: Request, _: Found) -> tuple[Reference, ...]:
    new = request.object or {}
    return references_of(new, request.namespace) if needs_chosen(new, request.old_object) else ()


DECISIONS: Mapping[str, Callable[[Request, Circumstances], Body]] = {VM_MUTATE: mutate, VM_VALIDATE: validate}
"""By path."""

NEEDS: Mapping[str, Callable[[Request, Found], tuple[Reference, ...]]] = {
    VM_MUTATE: _needs_of_mutation,
    VM_VALIDATE: _needs_of_validation,
}
"""By path: the stored objects that the decision needs, as far as it can be known with what was read so far."""
