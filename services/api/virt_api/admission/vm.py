"""What becomes of a VirtualMachine that is to be stored: its defaults, or why it is not. Pure; called by webhooks.py.

The rules are virt_core's (vm/defaults.py, vm/admission.py); here they are turned into answers to the API server.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from uuid import uuid4

from virt_core.conventions.webhooks import VM_MUTATE, VM_VALIDATE
from virt_core.objects.admission_review import answer
from virt_core.vm.admission import admit
from virt_core.vm.defaults import create_patch, update_patch

from virt_api.admission.review import Body, Circumstances, Request, verdict

_RUNNING_IS_DEPRECATED = "spec.running is deprecated, please use spec.runStrategy instead."  # KubeVirt's words


def mutate(request: Request, circumstances: Circumstances) -> Body:
    """The answer with the defaults; what is not supported is left for `validate` to refuse."""
    new, old = request.object or {}, request.old_object
    if old is not None:
        return answer(request.uid, patch=update_patch(old, new))
    return answer(request.uid, patch=create_patch(new, circumstances.configuration, lambda: str(uuid4())))


def validate(request: Request, circumstances: Circumstances) -> Body:
    """Whether the object may be stored."""
    new = request.object or {}
    refusals = admit(new, request.old_object, circumstances.configuration, is_own_account=circumstances.is_own(request))
    body = verdict("VirtualMachine", request, refusals)
    spec = new.get("spec")
    if not refusals and isinstance(spec, dict) and spec.get("running") is not None:
        body["response"]["warnings"] = [_RUNNING_IS_DEPRECATED]
    return body


DECISIONS: Mapping[str, Callable[[Request, Circumstances], Body]] = {VM_MUTATE: mutate, VM_VALIDATE: validate}
"""By path."""
