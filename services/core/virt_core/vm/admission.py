"""Whether a VirtualMachine may be stored. Pure; called by virt-api's validating webhook with objects as JSON has them.

The template is held to every rule of a VirtualMachineInstance, with the instance type and the preference that the
VirtualMachine names. virt-controller creates the VirtualMachineInstance, so a VirtualMachine that was stored while the
webhook was away fails there, in the condition Failure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from virt_core.conventions.labels import LAUNCHER_RELEASE
from virt_core.instancetype.apply import apply
from virt_core.instancetype.matcher import Chosen, Matcher, Role, matcher_of, matcher_refusals
from virt_core.instancetype.requirements import requirement_refusals
from virt_core.objects.kubevirt import Configuration
from virt_core.objects.paths import Path, at, put
from virt_core.validation.refusal import Refusal, refused
from virt_core.validation.strict import Strict
from virt_core.validation.unsupported import unsupported
from virt_core.vm.virtual_machine import RUN_STRATEGIES
from virt_core.vmi.accepted import accept
from virt_core.vmi.launcher_release import launcher_release_refusals
from virt_core.vmi.template import StrictTemplate, metadata_refusals, template_refusals

Body = Mapping[str, Any]
_USE_INSTEAD = {
    "dataVolumeTemplates": "create the PersistentVolumeClaim yourself and name it in a dataVolume volume",
    "updateVolumesStrategy": "remove it",
}
"""Fields of KubeVirt's that this release does not support, with what to do instead."""

_MEMORY: tuple[Path, ...] = (
    ("domain", "memory", "guest"),
    ("domain", "resources", "requests", "memory"),
    ("domain", "resources", "limits", "memory"),
)


class _Spec(Strict, frozen=True):
    """Every field of a VirtualMachine's spec that this release supports."""

    template: StrictTemplate
    running: bool | None = None
    run_strategy: str | None = None
    instancetype: Matcher | None = None
    preference: Matcher | None = None


_NOTHING = Chosen()


def admit(
    new: Body, old: Body | None, configuration: Configuration, *, is_own_account: bool, chosen: Chosen = _NOTHING
) -> tuple[Refusal, ...]:
    """Why the object is refused; empty: it is admitted. `old` is what it replaces, `is_own_account`: a component of the
    suite asks, `chosen`: the instance type and the preference that it names, as far as they exist.

    A VirtualMachine that is being deleted is always admitted, so that its finalizers can be removed. One whose spec
    stays as it is as well: the cluster's configuration may have changed since it was stored. While its template stays
    as it is, only what the change itself brings is refused, so that such a VirtualMachine can be halted.
    """
    own = tuple(_launcher(new, old))
    if not needs_chosen(new, old):
        return own
    spec, before = _spec(new), _spec(old or {})
    refusals = dict.fromkeys((*own, *_refusals(spec, configuration, is_own_account, chosen)))
    for role in Role:
        refusals |= dict.fromkeys(matcher_refusals(role, new, old))
    if refusals and old is not None and before.get("template") == spec.get("template"):
        same = all(before.get(role.value) == spec.get(role.value) for role in Role)
        known = set(_refusals(before, configuration, is_own_account, chosen if same else _NOTHING))
        return tuple(refusal for refusal in refusals if refusal not in known)
    return tuple(refusals)


def needs_chosen(new: Body, old: Body | None) -> bool:
    """Whether `admit` uses the objects that the VirtualMachine names."""
    deleted = at(new, ("metadata", "deletionTimestamp"))
    return not deleted and (old is None or old.get("spec") != new.get("spec"))


def _launcher(new: Body, old: Body | None) -> Iterator[Refusal]:
    """The annotation of the VirtualMachine itself, if it is changed."""
    metadata = ("metadata", "annotations")
    annotations, before = at(new, metadata) or {}, at(old or {}, metadata) or {}
    is_changed = annotations.get(LAUNCHER_RELEASE) != before.get(LAUNCHER_RELEASE)
    if is_changed and not at(new, ("metadata", "deletionTimestamp")):
        yield from launcher_release_refusals(annotations)


def _spec(vm: Body) -> Body:
    spec = vm.get("spec")
    return spec if isinstance(spec, dict) else {}


def _refusals(spec: Body, configuration: Configuration, is_own_account: bool, chosen: Chosen) -> Iterator[Refusal]:
    for refusal in unsupported({key: value for key, value in spec.items() if value not in (None, [], {})}, _Spec):
        field = refusal.field.removeprefix("spec.")
        if field in _USE_INSTEAD and "not supported" in refusal.message:
            yield Refusal(refusal.field, f"is not supported by this release: {_USE_INSTEAD[field]}")
        else:
            yield refusal
    yield from _strategy_refusals(spec)
    template = spec.get("template")
    if isinstance(template, dict):
        lacks_size = matcher_of({"spec": spec}, Role.INSTANCETYPE) is not None and chosen.instancetype is None
        yield from _template_refusals(template, configuration, is_own_account, chosen, lacks_size=lacks_size)


def _template_refusals(
    template: Body, configuration: Configuration, is_own_account: bool, chosen: Chosen, *, lacks_size: bool
) -> Iterator[Refusal]:
    """`lacks_size`: the instance type does not exist yet. Then memory may be missing, and requirements wait for it."""
    applied = apply(template, chosen.instancetype, chosen.preference)
    if applied.refusals:
        yield from metadata_refusals(template, is_own_account=is_own_account)
        yield from applied.refusals
        return
    body = _with_size(applied.template) if lacks_size else applied.template
    refusals = list(template_refusals(body, configuration, is_own_account=is_own_account))
    yield from refusals
    if not refusals and not lacks_size and chosen.preference is not None:
        accepted = accept(body.get("spec"), configuration)
        yield from requirement_refusals(chosen.instancetype, chosen.preference, accepted)


def _strategy_refusals(spec: Body) -> Iterator[Refusal]:
    running, strategy = spec.get("running"), spec.get("runStrategy")
    if running is None and strategy is None:
        yield Refusal("spec.runStrategy", f"is missing, use {' or '.join(RUN_STRATEGIES)}")
    elif running is not None and strategy is not None:
        yield Refusal("spec.running", "excludes spec.runStrategy: remove spec.running, it is deprecated")
    elif isinstance(strategy, str) and strategy not in RUN_STRATEGIES:
        yield refused("runStrategy", strategy, " or ".join(RUN_STRATEGIES))


def _with_size(template: Body) -> Body:
    """The template with the memory that its instance type will give it as soon as there is one."""
    if any(at(template, ("spec", *path)) is not None for path in _MEMORY):
        return template
    sized: Body = put(template, ("spec", *_MEMORY[0]), "1Gi")
    return sized
