"""Whether a VirtualMachineInstanceReplicaSet may be stored. Pure; called by virt-api's validating webhook with objects
as JSON has them.

The template is held to every rule of a VirtualMachineInstance. The scale subresource changes replicas without this
webhook.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from virt_core.objects.kubevirt import Configuration
from virt_core.objects.label_selector import LabelSelector, selector_refusals
from virt_core.validation.refusal import Refusal, refused
from virt_core.validation.strict import Strict
from virt_core.validation.unsupported import unsupported
from virt_core.vmi.template import StrictTemplate, template_refusals

Body = Mapping[str, Any]


class _Spec(Strict, frozen=True):
    """Every field of a VirtualMachineInstanceReplicaSet's spec."""

    selector: LabelSelector
    template: StrictTemplate
    replicas: int | None = None
    paused: bool | None = None


def admit(new: Body, old: Body | None, configuration: Configuration, *, is_own_account: bool) -> tuple[Refusal, ...]:
    """Why the object is refused; empty: it is admitted. `old` is what it replaces, `is_own_account`: a component of the
    suite asks.

    One that is being deleted is always admitted, so that its finalizers can be removed. So is one whose spec stays the
    same: the cluster's configuration may have changed since it was stored. While its template stays the same, only what
    the change itself brings is refused, so that it can be scaled down and paused.
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


def _spec(replica_set: Body) -> Body:
    spec = replica_set.get("spec")
    return spec if isinstance(spec, dict) else {}


def _refusals(spec: Body, configuration: Configuration, is_own_account: bool) -> Iterator[Refusal]:
    yield from unsupported({key: value for key, value in spec.items() if value is not None}, _Spec)
    replicas, template = spec.get("replicas"), spec.get("template")
    if isinstance(replicas, int) and replicas < 0:
        yield refused("replicas", replicas, "0 or more")
    if isinstance(template, dict):
        yield from template_refusals(template, configuration, is_own_account=is_own_account)
        yield from _selector_refusals(spec, template)


def _selector_refusals(spec: Body, template: Body) -> Iterator[Refusal]:
    try:
        selector = msgspec.convert(spec.get("selector"), LabelSelector)
    except msgspec.ValidationError:
        return  # its fields are refused
    problems = tuple(selector_refusals(selector, "selector"))
    yield from problems
    metadata = template.get("metadata")
    labels = metadata.get("labels") if isinstance(metadata, dict) else None
    if not problems and not selector.matches(labels if isinstance(labels, dict) else {}):
        yield Refusal("spec.selector", "selector does not match labels: add them to spec.template.metadata.labels")
