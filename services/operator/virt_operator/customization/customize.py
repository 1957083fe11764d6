"""Applies the patches of a KubeVirt object to a release's objects, or refuses them by name. Pure; called by
change/plan.py and by the webhook.

Fields by which the operator identifies objects and pods cannot be patched: kind, name, the suite's labels and
annotations, a workload's selector. A patched pod template gets its own hash, by which old pods are recognized.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from virt_core.conventions import labels
from virt_core.conventions.component_pod import TEMPLATE_HASH

from virt_operator.customization.merge_keys import MERGE_KEYS
from virt_operator.customization.patches import Patch
from virt_operator.customization.strategic_merge import BadPatch
from virt_operator.strategy import marks
from virt_operator.strategy.ref import Body, Ref, ref_of
from virt_operator.suite.observed import OwnedObject
from virt_operator.suite.spec import RefusedSpec

_WORKLOADS = ("Deployment", "DaemonSet")


class _Volume(msgspec.Struct):
    name: str
    secret: dict[str, Any] | None = None


class _Container(msgspec.Struct):
    name: str


class _PodSpec(msgspec.Struct):
    containers: list[_Container]
    volumes: list[_Volume] = []


class _Meta(msgspec.Struct):
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class _Template(msgspec.Struct):
    metadata: _Meta
    spec: _PodSpec


class _WorkloadSpec(msgspec.Struct):
    template: _Template
    replicas: int = 0


class _Workload(msgspec.Struct):
    metadata: _Meta
    spec: _WorkloadSpec


class _Registration(msgspec.Struct):
    metadata: _Meta
    spec: dict[str, Any]


class _Hook(msgspec.Struct, rename="camel"):
    client_config: dict[str, Any]


class _Webhooks(msgspec.Struct):
    metadata: _Meta
    webhooks: list[_Hook]


# The fields of desired objects that the operator itself reads. Patched objects must still decode.
_SHAPES: Mapping[str, type[msgspec.Struct]] = {
    "APIService": _Registration,
    "DaemonSet": _Workload,
    "Deployment": _Workload,
    "MutatingWebhookConfiguration": _Webhooks,
    "Service": _Registration,
    "ValidatingWebhookConfiguration": _Webhooks,
}


def customized(objects: Iterable[Body], patches: Sequence[Patch]) -> list[Body]:
    """The objects after the patches.

    Raises:
        RefusedSpec: a patch matches no object, does not apply, or changes a protected field.
    """
    found = list(objects)
    known = {ref_of(body) for body in found if body["kind"] in MERGE_KEYS}
    for patch in patches:
        if not any(patch.changes(ref) for ref in known):
            names = ", ".join(f"{ref.kind} {ref.name}" for ref in sorted(known))
            raise RefusedSpec("InvalidField", f"{patch.where}: {patch.objects!r} is not one of {names}")
    return [_customized(body, patches) if body["kind"] in MERGE_KEYS else body for body in found]


def standing(objects: Iterable[Body], patches: Sequence[Patch] | None, owned: Mapping[Ref, OwnedObject]) -> list[Body]:
    """The objects that can be repaired while the spec is refused or a step waits: those that were written with the same
    patches. `patches` is None if they are unknown."""
    kept = []
    for body in objects:
        try:
            wanted = _customized(body, patches or ()) if body["kind"] in MERGE_KEYS else body
        except RefusedSpec:
            wanted = body
        live = owned.get(ref_of(body))
        if live is None or live.metadata.annotations.get(marks.IDENTIFIER) == _identifier(wanted):
            kept.append(wanted)
    return kept


def _customized(body: Body, patches: Sequence[Patch]) -> Body:
    ref = ref_of(body)
    own = [patch for patch in patches if patch.changes(ref)]
    after = body
    for patch in own:
        try:
            after = _checked(body, patch.applied(after))
        except (BadPatch, RecursionError) as error:
            what = f"{patch.where}: cannot be applied to {ref.kind} {ref.name}: {error}"
            raise RefusedSpec("InvalidField", what) from error
    return _marked(body, after, own) if own else body


def _checked(before: Body, after: Body) -> Body:
    """Returns `after` if the protected fields are unchanged."""
    try:
        msgspec.convert(after, _SHAPES[before["kind"]])
    except msgspec.ValidationError as error:
        raise BadPatch(f"the result is not a {before['kind']}: {error}") from error
    for path in _kept(before):
        if _at(before, path) != _at(after, path):
            raise BadPatch(f".{'.'.join(path)} cannot be changed")
    return after


def _kept(before: Body) -> Iterable[tuple[str, ...]]:
    yield from (("apiVersion",), ("kind",), ("status",))
    meta = before["metadata"]
    yield from (("metadata", key) for key in ("name", "namespace", "finalizers", "ownerReferences", "generateName"))
    yield from (("metadata", part, key) for part in ("labels", "annotations") for key in meta.get(part) or {})
    if before["kind"] in _WORKLOADS:
        yield ("spec", "selector")
        yield ("spec", "template", "metadata", "labels", labels.APP)


def _at(body: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        body = body.get(key) if isinstance(body, Mapping) else None
    return body


def _marked(before: Body, after: Body, patches: Sequence[Patch]) -> Body:
    meta = after["metadata"]
    digest = hashlib.sha1(usedforsecurity=False)
    for patch in patches:
        digest.update(msgspec.json.encode((patch.type, patch.content), order="sorted"))
    own = {marks.IDENTIFIER: digest.hexdigest(), marks.ADDED: marks.added(before["metadata"], meta)}
    annotations = {**(meta.get("annotations") or {}), **{key: value for key, value in own.items() if value}}
    marked = {**after, "metadata": {**meta, "annotations": annotations}}
    if before["kind"] in _WORKLOADS and after["spec"]["template"] != before["spec"]["template"]:
        marked["spec"] = {**after["spec"], "template": _hashed(after["spec"]["template"])}
    return marked


def _hashed(template: Body) -> Body:
    meta = template["metadata"]
    others = {key: value for key, value in (meta.get("annotations") or {}).items() if key != TEMPLATE_HASH}
    content = msgspec.json.encode({**template, "metadata": {**meta, "annotations": others}}, order="sorted")
    annotations = {**others, TEMPLATE_HASH: hashlib.sha256(content).hexdigest()[:16]}
    return {**template, "metadata": {**meta, "annotations": annotations}}


def _identifier(body: Body) -> str | None:
    found: str | None = (body["metadata"].get("annotations") or {}).get(marks.IDENTIFIER)
    return found
