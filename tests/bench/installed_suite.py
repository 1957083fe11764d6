"""An installed suite as virt-operator sees it, with a virt-handler on each of many nodes. Used by drift.py."""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime
from typing import Any

import msgspec
from virt_core.conventions import components, labels
from virt_core.conventions.component_pod import TEMPLATE_HASH
from virt_core.objects.kubevirt import KubeVirtStatus
from virt_core.objects.meta import ObjectMeta
from virt_operator.certificates.issue import KeyPair, new_authority, new_leaf
from virt_operator.certificates.plan import leaf_of
from virt_operator.certificates.rollover import read_authority, trust_data
from virt_operator.certificates.rotation import DEFAULT
from virt_operator.certificates.secret import data_of
from virt_operator.settings import Settings
from virt_operator.strategy.desired import desired_objects, managed_labels
from virt_operator.strategy.install_strategy import strategy_of, to_config_map
from virt_operator.strategy.operator_objects import operator_objects
from virt_operator.strategy.operator_rbac import operator_rbac
from virt_operator.strategy.pods import TRUST_SECRET
from virt_operator.strategy.ref import Body, Ref, ref_of
from virt_operator.strategy.settings import InstallSettings
from virt_operator.strategy.trust import trusting
from virt_operator.suite.observed import Comparison, NodeObject, Observed, OwnedObject, PodObject, SuiteObject

_NOW = datetime(2026, 1, 31, 10, tzinfo=UTC)
_INSTALLED = InstallSettings("kubevirt", "registry.example", "v1.2.0")
OPERATOR = Settings("kubevirt", "virt-operator-0", _INSTALLED.registry, _INSTALLED.tag, _INSTALLED.tag)
SUITE = SuiteObject(
    ObjectMeta(
        "kubevirt",
        "kubevirt",
        uid="uid",
        generation=1,
        finalizers=["kubevirt.io/foregroundDeleteKubeVirt"],
        creation_timestamp="2026-01-31T09:00:00Z",
    ),
    {},
    KubeVirtStatus(
        phase="Deployed",
        observed_kube_virt_version=_INSTALLED.tag,
        observed_release=OPERATOR.release,
        observed_deployment_id=_INSTALLED.deployment_id,
        target_deployment_id=_INSTALLED.deployment_id,
    ),
)


def installed(nodes: int) -> Observed:
    """A suite at rest, with a virt-handler on each node."""
    authority = new_authority(_NOW, DEFAULT.authority.duration)
    known = read_authority(data_of(authority))
    if known is None:
        raise RuntimeError("a new authority cannot be read")
    bundle = b64encode(authority.bundle).decode()
    wanted = {ref_of(body): trusting(body, bundle) for body in desired_objects(_INSTALLED, _INSTALLED.tag)}
    owned = {ref: _live(body, _ready(body, nodes)) for ref, body in wanted.items()}
    strategy = to_config_map(strategy_of(_INSTALLED, _INSTALLED.deployment_id, _INSTALLED.tag), _INSTALLED)
    owned[ref_of(strategy)] = _live(strategy, {})
    secrets = {**_leaves(authority), TRUST_SECRET: trust_data(known)}
    for name, data in secrets.items():
        meta = {"name": name, "namespace": "kubevirt", "labels": managed_labels()}
        owned[Ref("Secret", "kubevirt", name)] = _live({"metadata": meta, "data": data}, {})
    (operator,) = (body for body in operator_objects(_INSTALLED) if body["kind"] == "Deployment")
    template = wanted[Ref("DaemonSet", "kubevirt", components.HANDLER)]["spec"]["template"]
    return Observed(
        now=_NOW,
        suite=SUITE,
        owned=owned,
        pods=tuple(_handler(number, template["metadata"]["annotations"][TEMPLATE_HASH]) for number in range(nodes)),
        nodes={f"node{number}": _node(number) for number in range(nodes)},
        authority=known,
        authority_version="7",
        operator=_live(operator, _ready(operator, nodes)),
        held={namespace: _rules(namespace) for namespace in ("kubevirt", "kube-system")},
        compared={ref: Comparison(body, owned[ref].parts, None) for ref, body in wanted.items()},
    )


def _leaves(authority: KeyPair) -> dict[str, dict[str, str]]:
    found = {}
    for component in (components.API, components.CONTROLLER):
        leaf = leaf_of(f"kubevirt-{component}-certs", "kubevirt")
        if leaf is not None:
            pair = new_leaf(authority, leaf.common_name, leaf.dns_names, _NOW, DEFAULT.leaf.duration)
            found[leaf.secret] = data_of(pair)
    return found


def _rules(namespace: str) -> tuple[Body, ...]:
    return tuple(
        rule
        for body in operator_rbac(_INSTALLED)
        if body["kind"] == "ClusterRole" or body["metadata"].get("namespace") == namespace
        for rule in body.get("rules", ())
    )


def _live(body: Body, status: dict[str, Any]) -> OwnedObject:
    """As the API server returns it."""
    meta = {**body["metadata"], "uid": f"uid-{body['metadata']['name']}", "resourceVersion": "7", "generation": 1}
    return msgspec.json.decode(msgspec.json.encode({**body, "metadata": meta, "status": status}), type=OwnedObject)


def _ready(body: Body, nodes: int) -> dict[str, Any]:
    replicas = body.get("spec", {}).get("replicas", 0)
    return {
        "conditions": [{"type": kind, "status": "True"} for kind in ("Established", "Available")],
        "observedGeneration": 1,
        "replicas": replicas,
        "updatedReplicas": replicas,
        "availableReplicas": replicas,
        "desiredNumberScheduled": nodes,
        "numberReady": nodes,
    }


def _handler(number: int, template_hash: str) -> PodObject:
    meta = ObjectMeta(
        f"virt-handler-{number}",
        "kubevirt",
        uid=f"uid-{number}",
        labels={labels.APP: components.HANDLER},
        annotations={TEMPLATE_HASH: template_hash},
    )
    return PodObject(meta, {"nodeName": f"node{number}"}, {"conditions": [{"type": "Ready", "status": "True"}]})


def _node(number: int) -> NodeObject:
    meta = {"name": f"node{number}", "labels": {labels.SCHEDULABLE: "true"}}
    status = {"conditions": [{"type": "Ready", "status": "True"}]}
    return msgspec.json.decode(msgspec.json.encode({"metadata": meta, "status": status}), type=NodeObject)
