"""Whether a VirtualMachine may be stored. Pure; called by virt-api's validating webhook with objects as JSON has them.

The template is held to every rule of a VirtualMachineInstance. virt-controller creates the VirtualMachineInstance, so a
VirtualMachine that was stored while the webhook was away fails there, in the condition Failure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from virt_core.objects.kubevirt import Configuration
from virt_core.validation.refusal import Refusal, refused
from virt_core.validation.strict import Strict
from virt_core.validation.unsupported import unsupported
from virt_core.vm.virtual_machine import RUN_STRATEGIES
from virt_core.vmi.template import StrictTemplate, template_refusals

Body = Mapping[str, Any]
_USE_INSTEAD = {
    "dataVolumeTemplates": "create the PersistentVolumeClaim yourself and name it in a dataVolume volume",
    "instancetype": "set cpu and memory in spec.template.spec.domain",
    "preference": "set the fields in spec.template.spec.domain",
    "updateVolumesStrategy": "remove it",
}
"""Fields of KubeVirt's that this release does not support, with what to do instead."""


class _Spec(Strict, frozen=True):
    """Every field of a VirtualMachine's spec that this release supports."""

    template: StrictTemplate
    running: bool | None = None
    run_strategy: str | None = None


def admit(new: Body, old: Body | None, configuration: Configuration, *, is_own_account: bool) -> tuple[Refusal, ...]:
    """Why the object is refused; empty: it is admitted. `old` is what it replaces, `is_own_account`: a component of the
    suite asks.

    A VirtualMachine that is being deleted is always admitted, so that its finalizers can be removed. One whose spec
    stays as it is as well: the cluster's configuration may have changed since it was stored. While its template stays
    as it is, only what the change itself brings is refused, so that such a VirtualMachine can be halted.
    """
    if (new.get("metadata") or {}).get("deletionTimestamp"):
        return ()
    if old is not None and old.get("spec") == new.get("spec"):
        return ()
    spec, before = _spec(new), _spec(old or {})
    refusals = dict.fromkeys(_refusals(spec, configuration, is_own_account))
    if refusals and old is not None and before.get("template") == spec.get("template"):
        known = set(_refusals(before, configuration, is_own_account))
        return tuple(refusal for refusal in refusals if refusal not in known)
    return tuple(refusals)


def _spec(vm: Body) -> Body:
    spec = vm.get("spec")
    return spec if isinstance(spec, dict) else {}


def _refusals(spec: Body, configuration: Configuration, is_own_account: bool) -> Iterator[Refusal]:
    for refusal in unsupported({key: value for key, value in spec.items() if value not in (None, [], {})}, _Spec):
        field = refusal.field.removeprefix("spec.")
        if field in _USE_INSTEAD and "not supported" in refusal.message:
            yield Refusal(refusal.field, f"is not supported by this release: {_USE_INSTEAD[field]}")
        else:
            yield refusal
    yield from _strategy_refusals(spec)
    template = spec.get("template")
    if isinstance(template, dict):
        yield from template_refusals(template, configuration, is_own_account=is_own_account)


def _strategy_refusals(spec: Body) -> Iterator[Refusal]:
    running, strategy = spec.get("running"), spec.get("runStrategy")
    if running is None and strategy is None:
        yield Refusal("spec.runStrategy", f"is missing, use {' or '.join(RUN_STRATEGIES)}")
    elif running is not None and strategy is not None:
        yield Refusal("spec.running", "and spec.runStrategy exclude each other: remove spec.running, it is deprecated")
    elif isinstance(strategy, str) and strategy not in RUN_STRATEGIES:
        yield refused("runStrategy", strategy, " or ".join(RUN_STRATEGIES))
