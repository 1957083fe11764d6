"""What one pass saw, as frozen values. Made by inventory.py, read by plan, rollout, removal and status."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import msgspec
from virt_core.objects.kubevirt import KubeVirtStatus
from virt_core.objects.meta import ObjectMeta, ObjectReference, condition_of
from virt_core.objects.upgrade_status import LedgerEntry, SilentGuest

from virt_operator.certificates.rollover import Authority
from virt_operator.strategy.ref import Body, Ref
from virt_operator.suite.hypervisor import Hypervisor
from virt_operator.suite.permissions import Held
from virt_operator.suite.prometheus import Prometheus

_ABSENT = msgspec.Raw()
PARTS = ("spec", "rules", "roleRef", "subjects", "webhooks", "aggregationRule")
"""Fields of an object of the suite that belong to it whole. Everything else is the API server's or somebody else's."""


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
    aggregation_rule: msgspec.Raw = _ABSENT
    data: dict[str, str] = {}
    status: dict[str, Any] = {}

    def content(self) -> Body:
        """Labels, annotations and the parts that are the suite's."""
        meta = self.metadata
        parts = {key: msgspec.json.decode(raw) for key, raw in self.parts.items()}
        return {"metadata": {"labels": meta.labels, "annotations": meta.annotations}, **parts}

    @property
    def parts(self) -> dict[str, bytes]:
        """The fields that the suite owns completely, as JSON by name."""
        raws = (self.spec, self.rules, self.role_ref, self.subjects, self.webhooks, self.aggregation_rule)
        return {key: bytes(raw) for key, raw in zip(PARTS, raws, strict=True) if bytes(raw)}

    def condition(self, kind: str) -> dict[str, Any]:
        """A condition of the status; empty if it is not there."""
        for condition in self.status.get("conditions") or ():
            if condition.get("type") == kind:
                found: dict[str, Any] = condition
                return found
        return {}


class PodObject(msgspec.Struct, frozen=True, rename="camel"):
    """A pod of the suite."""

    metadata: ObjectMeta
    spec: dict[str, Any] = {}
    status: dict[str, Any] = {}

    @property
    def node(self) -> str:
        """The name of its node; "" until it has one."""
        name: str = self.spec.get("nodeName", "")
        return name

    @property
    def ready(self) -> bool:
        """Whether the kubelet calls it ready."""
        conditions = self.status.get("conditions") or ()
        return any(condition.get("type") == "Ready" and condition.get("status") == "True" for condition in conditions)

    @property
    def ended(self) -> bool:
        """Whether all its containers have ended. One that was evicted stays as an object, and another is made."""
        return self.status.get("phase") in ("Succeeded", "Failed")

    @property
    def unready_since(self) -> str:
        """When it was made, or was ready last, RFC 3339."""
        conditions = self.status.get("conditions") or ()
        moments = [str(found.get("lastTransitionTime") or "") for found in conditions if found.get("type") == "Ready"]
        # Timestamps of the API server have the same format, so they can be compared as texts.
        return max((self.metadata.creation_timestamp, *moments))


class NodeCondition(msgspec.Struct, frozen=True):
    """A condition of a node."""

    type: str
    status: str
    message: str = ""


class NodeSpec(msgspec.Struct, frozen=True):
    """What administrators say."""

    unschedulable: bool = False


class NodeStatus(msgspec.Struct, frozen=True):
    """What the kubelet says, or Kubernetes of it while it is silent."""

    conditions: list[NodeCondition] = []


class NodeObject(msgspec.Struct, frozen=True):
    """A node, as far as the suite's pods depend on it."""

    metadata: ObjectMeta
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()

    @property
    def trouble(self) -> str | None:
        """Why nothing on it can be waited for; None if its kubelet says that it is ready."""
        ready = condition_of(self.status.conditions, "Ready")
        if ready is not None and ready.status == "True":
            return None
        details = f" ({ready.message})" if ready is not None and ready.message else ""
        return f"node {self.metadata.name} is not ready{details}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a dry run found out about one object: whether anything was changed, added or removed in its parts."""

    desired: Body
    parts: Mapping[str, bytes]
    """Of the live object that the dry run started from."""

    difference: str | None
    """The path of the first difference, or why the API server refuses the desired object in its place."""

    def answers(self, desired: Body, live: OwnedObject) -> bool:
        """Whether it is still about these two."""
        return self.parts == live.parts and self.desired == desired


@dataclass(frozen=True, slots=True)
class Repair:
    """The last replacement of an object. Only digests are kept: an object may be large."""

    desired: bytes
    """Of the object that was written."""

    made: bytes
    """Of what the API server made of it."""

    vain: int
    """How many times in a row the API server's own answer differed, for example because a webhook changes it."""

    at: datetime


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a pod has not passed a probe."""

    probe: str
    """For example "GetInfo"."""

    message: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of a probe that needs more than the pod: it has passed without a fault, or was not carried out."""

    fault: Fault | None = None
    skipped: str = ""
    """Why it was not carried out, though nothing speaks against the pod."""


@dataclass(frozen=True, slots=True)
class Probed:
    """What the probes of a pod have shown so far."""

    first: datetime
    """When the first attempt began."""

    last: datetime
    """When the last attempt ended."""

    fault: Fault | None
    """Of the last attempt; None if the pod has passed all probes. Then there is no further attempt."""

    skipped: str = ""
    """See Outcome."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What an old handler has answered before it is replaced."""

    at: datetime
    silent: tuple[SilentGuest, ...]
    """Guests whose launchers do not answer it."""


@dataclass(frozen=True, slots=True)
class Review:
    """What was found when it was looked for what a roll back would not bring back."""

    moment: str
    """Which one of the moments at which it is looked for."""

    deployment_id: str
    """To which release."""

    at: datetime
    entries: tuple[LedgerEntry, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """One moment, as the watches report it."""

    now: datetime
    """UTC."""

    able_since: datetime | None = None
    """Since when this operator leads and could write the status each time; None: for long."""

    suite: SuiteObject | None = None
    """The KubeVirt object that counts."""

    others: tuple[SuiteObject, ...] = ()
    """Further KubeVirt objects, whose status says that they do not count."""

    owned: Mapping[Ref, OwnedObject] = field(default_factory=dict)
    pods: tuple[PodObject, ...] = ()
    """Of the components, and of the Job that prints a strategy."""

    nodes: Mapping[str, NodeObject] = field(default_factory=dict)
    """Every node of the cluster by name."""

    authority: Authority | None = None
    """The certificate authority as last seen able to sign. Its Secret is the operator's own, so not among `owned`."""

    authority_version: str = ""
    """The current resourceVersion of its Secret, valid or not; "" if there is none."""

    authority_invalid: bool = False
    """Whether the Secret exists but has no authority that can sign."""

    trusting: Mapping[str, str] = field(default_factory=dict)
    """The last reported bundle of pods by name (GetInfo.trust_bundle_sha256)."""

    operator: OwnedObject | None = None
    """The operator's own Deployment; None if it runs without one."""

    operator_pods: tuple[PodObject, ...] = ()
    held: Held = field(default_factory=dict)
    """The operator's permissions."""

    unknown: tuple[str, ...] = ()
    """Watches without a first list, for example "pods". Until all have one, missing objects may exist."""

    compared: Mapping[Ref, Comparison] = field(default_factory=dict)
    """The last dry run by object."""

    repairs: Mapping[Ref, Repair] = field(default_factory=dict)
    """The last repair by object."""

    probes: Mapping[str, Probed] = field(default_factory=dict)
    """By the pod's UID."""

    works: Mapping[str, Probed] = field(default_factory=dict)
    """Whether pods do the work of their component, by the pod's UID."""

    controller_leader: str = ""
    """The pod that holds virt-controller's Lease; "" if nobody does, or it is unknown."""

    controller_leads_since: datetime | None = None
    """When this operator saw first that it does, or that nobody does; None: it has not looked yet."""

    controller_vacancy: timedelta = timedelta(0)
    """How long nobody held the Lease before, as far as this operator saw it."""

    surveys: Mapping[str, Survey] = field(default_factory=dict)
    """By the UID of the old handler's pod."""
    records: Mapping[str, Mapping[str, Hypervisor | str]] = field(default_factory=dict)
    """What launchers know of hardware, by the UID of the pod that has printed it, and its container; or why not."""

    review: Review | None = None
    """The last one."""

    prometheus: Prometheus = field(default_factory=Prometheus)
    """Whether the cluster has a Prometheus of the Prometheus operator."""

    webhook_trouble: str | None = None
    """Why the API server cannot call the operator's webhook for KubeVirt objects."""

    admission_trouble: str | None = None
    """Why the API server cannot call virt-api's webhooks for VirtualMachineInstances."""

    outages_since: Mapping[str, datetime] = field(default_factory=dict)
    """When each present outage began, by its name (reconcile/availability.py)."""

    workload: str | None = None
    """A workload that exists, as text; known only where removal.asks_for_workloads."""

    marked_nodes: tuple[str, ...] = ()
    """Nodes that carry a handler's label; known only where removal.asks_for_nodes."""

    def node_trouble(self, pod: PodObject) -> str | None:
        """Why a pod's node is unreachable; None if it is reachable, or the pod has no node yet."""
        if not pod.node:
            return None
        node = self.nodes.get(pod.node)
        return node.trouble if node is not None else f"node {pod.node} has been deleted"
