"""Converts the KubeVirt object and the pods' answers to the contract's messages. Pure; called by servicer.py.

The stored status is decoded tolerantly, because another release may have written it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from kubevirt.admin.v1 import admin_pb2
from kubevirt.info.v1 import info_pb2

from virt_operator.peers.answer import COMPONENTS, Answer

Json = dict[str, Any]


def suite_message(kubevirt: Json) -> admin_pb2.Suite:
    """The KubeVirt object, as the API server has it."""
    meta, status = _object(kubevirt, "metadata"), _object(kubevirt, "status")
    suite = admin_pb2.Suite(
        namespace=_text(meta, "namespace"),
        name=_text(meta, "name"),
        uid=_text(meta, "uid"),
        phase=_text(status, "phase"),
        generation=_number(meta, "generation"),
        observed_generation=_number(status, "observedGeneration"),
        operator_version=_text(status, "operatorVersion"),
        target=_deployment(status, "target"),
        observed=_deployment(status, "observed"),
        conditions=[_condition(condition) for condition in _objects(status, "conditions")],
    )
    upgrade = _object(status, "upgrade")
    if upgrade and upgrade.get("operation") != "":
        suite.upgrade.CopyFrom(_operation(upgrade))
    return suite


def peer_message(answer: Answer) -> admin_pb2.Peer:
    """A pod's answer."""
    pod, info = answer.pod, answer.info
    message = None
    if info is not None:
        message = info_pb2.GetInfoResponse(
            component=COMPONENTS[pod.component],
            release=info.release,
            instance_id=info.instance_id,
            feature_level=info.feature_level,
            contracts=sorted(info.contracts),
            features=sorted(info.features),
            trust_bundle_sha256=info.trust_bundle_sha256,
        )
    return admin_pb2.Peer(
        component=pod.component,
        pod=pod.name,
        node=pod.node,
        address=pod.address,
        info=message,
        problem=answer.problem,
        terminating=pod.terminating,
    )


def holder_of(leases: Iterable[Json]) -> str:
    """The holder of the Lease; "" if there is none."""
    return next((_text(_object(lease, "spec"), "holderIdentity") for lease in leases), "")


def _deployment(status: Json, prefix: str) -> admin_pb2.Deployment:
    return admin_pb2.Deployment(
        version=_text(status, f"{prefix}KubeVirtVersion"),
        registry=_text(status, f"{prefix}KubeVirtRegistry"),
        id=_text(status, f"{prefix}DeploymentID"),
    )


def _condition(condition: Json) -> admin_pb2.Condition:
    return admin_pb2.Condition(
        type=_text(condition, "type"),
        status=_text(condition, "status"),
        reason=_text(condition, "reason"),
        message=_text(condition, "message"),
        last_transition_time=_time(condition, "lastTransitionTime"),
    )


def _operation(upgrade: Json) -> admin_pb2.Operation:
    waits = [
        admin_pb2.Wait(object=_text(wait, "object"), reason=_text(wait, "reason"), since=_time(wait, "since"))
        for wait in _objects(upgrade, "waitingFor")
    ]
    return admin_pb2.Operation(
        operation=_text(upgrade, "operation"),
        step=_text(upgrade, "step"),
        since=_time(upgrade, "since"),
        waiting_for=waits,
    )


def _object(value: Json, key: str) -> Json:
    found = value.get(key)
    return found if isinstance(found, dict) else {}


def _objects(value: Json, key: str) -> list[Json]:
    found = value.get(key)
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []


def _text(value: Json, key: str) -> str:
    found = value.get(key)
    return found if isinstance(found, str) else ""


def _number(value: Json, key: str) -> int:
    found = value.get(key)
    return found if isinstance(found, int) else 0


def _time(value: Json, key: str) -> Timestamp | None:
    moment = Timestamp()
    try:
        moment.FromJsonString(_text(value, key))
    except ValueError:
        return None
    return moment
