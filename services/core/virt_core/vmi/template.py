"""The template of a VirtualMachineInstance in another object's spec, and the rules for it. Pure.

Used by VirtualMachine and VirtualMachineInstanceReplicaSet. A template is held to every rule of a
VirtualMachineInstance, so that a mistake is refused when it is written and not when a guest is started.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from virt_core.objects.kubevirt import Configuration
from virt_core.validation.refusal import (
    LABEL_VALUE,
    QUALIFIED_NAME,
    Refusal,
    Refusals,
    Text,
    UnsupportedSpec,
    display,
)
from virt_core.validation.strict import Strict
from virt_core.vmi.accepted import accept
from virt_core.vmi.admission import RESERVED_LABELS
from virt_core.vmi.annotations import annotation_refusals
from virt_core.vmi.log_settings import log_refusals

_PATH = "spec.template"
_MOST_BYTES = 255 << 10  # 256 KiB is Kubernetes' limit for annotations, and the suite adds its own
_ANNOTATION = Text(re.compile(r".*", re.DOTALL), _MOST_BYTES, "a string")


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
    """The same of the template's metadata only.

    The CRD's schema has no rules for it, and the API server would check it only when a guest is started.
    """
    metadata = template.get("metadata")
    if not isinstance(metadata, dict):
        return
    labels, annotations = (metadata.get(name) or {} for name in ("labels", "annotations"))
    yield from _strings("labels", labels, LABEL_VALUE)
    yield from _strings("annotations", annotations, _ANNOTATION)
    if not isinstance(labels, dict) or not isinstance(annotations, dict):
        return
    if not is_own_account:
        for name in sorted(RESERVED_LABELS & labels.keys()):
            yield Refusal(f"{_PATH}.metadata.labels.{name}", "is reserved: only KubeVirt itself sets it")
    for refusal in (*annotation_refusals(annotations), *log_refusals(labels, annotations)):
        yield Refusal(f"{_PATH}.{refusal.field}", refusal.message)


def _strings(field: str, value: Any, text: Text) -> Refusals:
    """Refuse what is no mapping of names to strings."""
    path = f"{_PATH}.metadata.{field}"
    if not isinstance(value, dict):
        yield Refusal(path, f"{display(value)} is not allowed, use names with strings")
        return
    for name, below in value.items():
        if not QUALIFIED_NAME.accepts(name):
            yield Refusal(path, f"{display(name)} is not allowed, use {QUALIFIED_NAME.words}")
        elif not isinstance(below, str) or not text.accepts(below):
            yield Refusal(f"{path}.{name}", f"{display(below)} is not allowed, use {text.words}")
    size = sum(len(name.encode()) + len(str(below).encode()) for name, below in value.items())
    if size > _MOST_BYTES:
        yield Refusal(path, f"{size} bytes are too many, use at most {_MOST_BYTES}")
