"""What one pass saw, as frozen values. Made by inventory.py, read by plan, rollout, removal and status."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec
from virt_core.objects.kubevirt import KubeVirtStatus
from virt_core.objects.meta import ObjectMeta, ObjectReference

from virt_operator.certificates.rollover import Authority
from virt_operator.strategy.ref import Body, Ref
from virt_operator.suite.permissions import Held

_ABSENT = msgspec.Raw()


class SuiteObject(msgspec.Struct, frozen=True, rename="camel"):
    """A KubeVirt object with its spec as stored, so that a field which nobody knows is seen too."""

    metadata: ObjectMeta
    spec: dict[str, Any] = {}
    status: KubeVirtStatus = KubeVirtStatus()

    @property
    def reference(self) -> ObjectReference:
        """For events."""
        meta = self.metadata
        return ObjectReference("kubevirt.io/v1", "KubeVirt", meta.name, meta.namespace, meta.uid)


class OwnedObject(msgspec.Struct, frozen=True, rename="camel"):
    """Any object that the operator installs. What may be large stays undecoded until it is compared."""

    metadata: ObjectMeta
    spec: msgspec.Raw = _ABSENT
    rules: msgspec.Raw = _ABSENT
    role_ref: msgspec.Raw = _ABSENT
    subjects: msgspec.Raw = _ABSENT
    webhooks: msgspec.Raw = _ABSENT
    data: dict[str, str] = {}
    status: dict[str, Any] = {}

    def content(self) -> Body:
        """The parts that a desired object can have."""
        meta = self.metadata
        found: Body = {"metadata": {"labels": meta.labels, "annotations": meta.annotations}}
        for key, raw in (
            ("spec", self.spec),
            ("rules", self.rules),
            ("roleRef", self.role_ref),
            ("subjects", self.subjects),
            ("webhooks", self.webhooks),
        ):
            if bytes(raw):
                found[key] = msgspec.json.decode(raw)
        return found

    def condition(self, kind: str) -> dict[str, Any]:
        """A condition of the status; empty if it is not there."""
        for one in self.status.get("conditions") or ():
            if one.get("type") == kind:
                found: dict[str, Any] = one
                return found
        return {}


class PodObject(msgspec.Struct, frozen=True, rename="camel"):
    """A pod of the suite."""

    metadata: ObjectMeta
    spec: dict[str, Any] = {}
    status: dict[str, Any] = {}

    @property
    def ready(self) -> bool:
        """Whether the kubelet calls it ready."""
        conditions = self.status.get("conditions") or ()
        return any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions)


@dataclass(frozen=True, slots=True)
class Observed:
    """One moment, as the watches tell it."""

    now: datetime
    """UTC."""

    suite: SuiteObject | None
    """The KubeVirt object that counts."""

    others: tuple[SuiteObject, ...]
    """Further ones, which are told that they do not."""

    owned: Mapping[Ref, OwnedObject]
    pods: tuple[PodObject, ...]
    """Of the components, and of the Job that prints a strategy."""

    authority: Authority | None = None
    """The certificate authority as last seen able to sign. Its Secret is the operator's own, so not among `owned`."""

    authority_version: str = ""
    """The resourceVersion of its Secret as it is now, good or bad; "" while there is none."""

    authority_spoilt: bool = False
    """It is there and holds no authority that can sign."""

    trusting: Mapping[str, str] = field(default_factory=dict)
    """What pods, by name, last said of the bundle that they trust (GetInfo.trust_bundle_sha256)."""

    operator: OwnedObject | None = None
    """The operator's own Deployment; None if it runs without one."""

    operator_pods: tuple[PodObject, ...] = ()
    held: Held = field(default_factory=dict)
    """The operator's permissions."""

    unknown: tuple[str, ...] = ()
    """What the API server has not told yet, for example "pods". Until it has, nothing is known to be absent."""

    workload: str | None = None
    """A workload that exists, as text; known only where removal.asks_for_workloads."""

    marked_nodes: tuple[str, ...] = ()
    """Nodes that carry a handler's label; known only where removal.asks_for_nodes."""
