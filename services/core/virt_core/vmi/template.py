"""The template of a VirtualMachineInstance in another object's spec, and the rules for it. Pure.

Used by VirtualMachine and VirtualMachineInstanceReplicaSet. A template is held to every rule of a
VirtualMachineInstance, so that a mistake is refused when it is written and not when a guest is started.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from virt_core.objects.kubevirt import Configuration
from virt_core.validation.refusal import Refusal, Refusals, UnsupportedSpec
from virt_core.validation.strict import Strict
from virt_core.vmi.accepted import accept
from virt_core.vmi.admission import RESERVED_LABELS
from virt_core.vmi.annotations import annotation_refusals

_PATH = "spec.template"


class Template(msgspec.Struct, frozen=True, rename="camel"):
    """spec.template. Its metadata is kept as JSON has it."""

    metadata: dict[str, Any] | None = None
    spec: msgspec.Raw = msgspec.Raw(b"{}")


class StrictTemplate(Strict, frozen=True):
    """The same at admission, which refuses other fields."""

    metadata: dict[str, Any] | None = None
    spec: dict[str, Any] | None = None


def template_refusals(template: Mapping[str, Any], configuration: Configuration, *, is_own_account: bool) -> Refusals:
    """What is wrong with the template at spec.template. `is_own_account`: a component of the suite asks, which may use
    reserved labels."""
    yield from metadata_refusals(template, is_own_account=is_own_account)
    try:
        accept(template.get("spec") or {}, configuration)
    except UnsupportedSpec as error:
        yield from (Refusal(f"{_PATH}.{refusal.field}", refusal.message) for refusal in error.refusals)


def metadata_refusals(template: Mapping[str, Any], *, is_own_account: bool) -> Refusals:
    """The same of the template's metadata only."""
    metadata = template.get("metadata")
    if isinstance(metadata, dict):
        labels, annotations = metadata.get("labels"), metadata.get("annotations")
        if isinstance(labels, dict) and not is_own_account:
            for name in sorted(RESERVED_LABELS & labels.keys()):
                yield Refusal(f"{_PATH}.metadata.labels.{name}", "is reserved: only KubeVirt itself sets it")
        if isinstance(annotations, dict):
            for refusal in annotation_refusals(annotations):
                yield Refusal(f"{_PATH}.{refusal.field}", refusal.message)
