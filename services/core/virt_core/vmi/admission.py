"""Decides whether a VirtualMachineInstance may be stored. Pure; called by virt-api's validating webhook with objects as
JSON.

The controller checks the same, and reports in a condition, for objects that were stored while the webhook was down.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from virt_core.conventions import labels, migration
from virt_core.objects.differences import differences
from virt_core.objects.kubevirt import Configuration
from virt_core.validation.refusal import Refusal, UnsupportedSpec
from virt_core.vmi.accepted import accept
from virt_core.vmi.annotations import annotation_refusals
from virt_core.vmi.defaults import defaulted
from virt_core.vmi.launcher_release import launcher_release_refusals
from virt_core.vmi.log_settings import log_refusals

RESERVED_LABELS = frozenset(
    {
        labels.CREATED_BY,
        migration.JOB_UID,
        labels.NODE_NAME,
        migration.TARGET_NODE_NAME,
        labels.SCHEDULABLE,
        labels.INSTALL_STRATEGY,
    }
)
"""Reserved for the suite, as in KubeVirt: handlers select VirtualMachineInstances by them."""

LIVE_FIELDS = ("affinity", "nodeSelector", "tolerations")
"""Fields of the spec that virt-controller changes while the guest runs, from its VirtualMachine."""

_OWN_FIELDS = frozenset({*LIVE_FIELDS, "terminationGracePeriodSeconds"})  # the last is virt-api's: a forced stop
_SHOWN_CHANGES = 16

Body = Mapping[str, Any]


def admit_create(vmi: Body, configuration: Configuration, *, is_own_account: bool = False) -> tuple[Refusal, ...]:
    """Why the new object is refused; empty: admitted. `is_own_account`: the user is a component of the suite."""
    labels = () if is_own_account else tuple(_changed_labels({}, vmi))
    annotations = _annotations(vmi)
    meta = (*labels, *annotation_refusals(annotations), *log_refusals(_labels(vmi), annotations))
    try:
        accept(vmi.get("spec"), configuration)
    except UnsupportedSpec as error:
        return (*meta, *error.refusals)
    return meta


def admit_update(old: Body, new: Body, configuration: Configuration, *, is_own_account: bool) -> tuple[Refusal, ...]:
    """Why the change is refused: the spec is immutable, and only the suite changes its labels, the status and a few
    fields of the spec.

    Specs with equal effect are equal: a manifest without the stored defaults can be applied again.
    """
    if is_own_account:
        return tuple(_changed_by_suite(old, new))
    changed = (*_changed_labels(old, new), *_changed_launcher(old, new))
    return (*changed, *_changed_spec(old, new, configuration), *_changed_status(old, new))


def _changed_labels(old: Body, new: Body) -> Iterator[Refusal]:
    before, after = _labels(old), _labels(new)
    for name in sorted(RESERVED_LABELS):
        if before.get(name) != after.get(name):
            yield Refusal(f"metadata.labels.{name}", "is reserved: only KubeVirt itself sets, changes or removes it")


def _changed_launcher(old: Body, new: Body) -> Iterator[Refusal]:
    before, after = _annotations(old), _annotations(new)
    if before.get(labels.LAUNCHER_RELEASE) != after.get(labels.LAUNCHER_RELEASE):
        yield from launcher_release_refusals(after)


def _labels(vmi: Body) -> Mapping[str, Any]:
    labels = (vmi.get("metadata") or {}).get("labels")
    return labels if isinstance(labels, dict) else {}


def _annotations(vmi: Body) -> Mapping[str, Any]:
    annotations = (vmi.get("metadata") or {}).get("annotations")
    return annotations if isinstance(annotations, dict) else {}


def _changed_spec(old: Body, new: Body, configuration: Configuration) -> Iterator[Refusal]:
    if old.get("spec") == new.get("spec"):
        return
    before, after = defaulted(old, configuration).get("spec"), defaulted(new, configuration).get("spec")
    paths = list(differences(before, after, "spec"))
    for path in paths[:_SHOWN_CHANGES]:
        yield Refusal(path, "cannot be changed, create a new VirtualMachineInstance")


def _changed_by_suite(old: Body, new: Body) -> Iterator[Refusal]:
    """Changes of the spec that are nobody's: a defect of a component does not reach a guest."""
    before, after = old.get("spec"), new.get("spec")
    if before == after:
        return
    if not isinstance(before, dict) or not isinstance(after, dict):
        yield Refusal("spec", "cannot be changed, create a new VirtualMachineInstance")
        return
    for key in sorted(before.keys() | after.keys()):
        if key not in _OWN_FIELDS and before.get(key) != after.get(key):
            yield Refusal(f"spec.{key}", f"is not changed while a guest runs, but {', '.join(sorted(_OWN_FIELDS))}")


def _changed_status(old: Body, new: Body) -> Iterator[Refusal]:
    if (old.get("status") or {}) != (new.get("status") or {}):
        yield Refusal("status", "is written by KubeVirt itself, leave it as it is")
