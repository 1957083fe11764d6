"""Converts the KubeVirt object and the pods' answers to the contract's messages. Pure; called by servicer.py.

The stored status is decoded tolerantly, because another release may have written it.
"""

from __future__ import annotations

from collections.abc import Iterable

from google.protobuf.timestamp_pb2 import Timestamp
from kubevirt.admin.v1 import admin_pb2
from kubevirt.info.v1 import info_pb2
from virt_core.objects.upgrade_state import Json, object_of, text_of
from virt_core.objects.upgrade_steps import DONE, NOW, TO_COME, steps_of

from virt_operator.peers.answer import COMPONENTS, Answer

_STATES = {
    DONE: admin_pb2.STEP_STATE_DONE,
    NOW: admin_pb2.STEP_STATE_NOW,
    TO_COME: admin_pb2.STEP_STATE_TO_COME,
}


def suite_message(kubevirt: Json) -> admin_pb2.Suite:
    """The KubeVirt object, as the API server has it."""
    meta, status, spec = (object_of(kubevirt, part) for part in ("metadata", "status", "spec"))
    upgrade = object_of(status, "upgrade")
    suite = admin_pb2.Suite(
        namespace=text_of(meta, "namespace"),
        name=text_of(meta, "name"),
        uid=text_of(meta, "uid"),
        phase=text_of(status, "phase"),
        generation=_number(meta, "generation"),
        observed_generation=_number(status, "observedGeneration"),
        operator_version=text_of(status, "operatorVersion"),
        target=_deployment(status, "target"),
        observed=_deployment(status, "observed"),
        conditions=[_condition(condition) for condition in _objects(status, "conditions")],
        observed_release=text_of(status, "observedRelease"),
        level=_number(upgrade, "level"),
        paused=object_of(spec, "upgradeStrategy").get("paused") is True,
    )
    if text_of(upgrade, "operation") or text_of(upgrade, "step"):
        suite.upgrade.CopyFrom(_operation(upgrade))
    if back := object_of(upgrade, "wayBack"):
        suite.way_back.CopyFrom(_way_back(back))
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
    return next((text_of(object_of(lease, "spec"), "holderIdentity") for lease in leases), "")


def _deployment(status: Json, prefix: str) -> admin_pb2.Deployment:
    return admin_pb2.Deployment(
        version=text_of(status, f"{prefix}KubeVirtVersion"),
        registry=text_of(status, f"{prefix}KubeVirtRegistry"),
        id=text_of(status, f"{prefix}DeploymentID"),
    )


def _condition(condition: Json) -> admin_pb2.Condition:
    return admin_pb2.Condition(
        type=text_of(condition, "type"),
        status=text_of(condition, "status"),
        reason=text_of(condition, "reason"),
        message=text_of(condition, "message"),
        last_transition_time=_time(condition, "lastTransitionTime"),
    )


def _operation(upgrade: Json) -> admin_pb2.Operation:
    waits = [
        admin_pb2.Wait(object=text_of(wait, "object"), reason=text_of(wait, "reason"), since=_time(wait, "since"))
        for wait in _objects(upgrade, "waitingFor")
    ]
    operation, step = text_of(upgrade, "operation"), text_of(upgrade, "step")
    wave, stopped = object_of(upgrade, "wave"), object_of(upgrade, "stopped")
    return admin_pb2.Operation(
        operation=operation,
        step=step,
        since=_time(upgrade, "since"),
        waiting_for=waits,
        started_at=_time(upgrade, "startedAt"),
        from_version=text_of(upgrade, "fromVersion"),
        to_version=text_of(upgrade, "toVersion"),
        paused_since=_time(upgrade, "pausedSince"),
        wave=_wave(wave) if wave else None,
        stopped=_stopped(stopped) if stopped else None,
        steps=[admin_pb2.Step(name=name, state=_STATES[state]) for name, state in steps_of(operation, step)],
    )


def _wave(wave: Json) -> admin_pb2.Wave:
    return admin_pb2.Wave(
        number=_number(wave, "number"),
        nodes=_texts(wave, "nodes"),
        since=_time(wave, "since"),
        proven=_time(wave, "proven"),
    )


def _stopped(stopped: Json) -> admin_pb2.Stopped:
    texts = ("operation", "version", "release", "component", "object", "probe", "message")
    return admin_pb2.Stopped(at=_time(stopped, "at"), **{name: text_of(stopped, name) for name in texts})


def _way_back(back: Json) -> admin_pb2.WayBack:
    deployment = admin_pb2.Deployment(
        version=text_of(back, "version"), registry=text_of(back, "registry"), id=text_of(back, "deploymentID")
    )
    return admin_pb2.WayBack(
        deployment=deployment,
        release=text_of(back, "release"),
        level=_number(back, "level"),
        since=_time(back, "since"),
        proven_at=_time(back, "provenAt"),
        refusals=_texts(back, "refusals"),
    )


def _objects(value: Json, key: str) -> list[Json]:
    found = value.get(key)
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []


def _texts(value: Json, key: str) -> list[str]:
    found = value.get(key)
    return [entry for entry in found if isinstance(entry, str)] if isinstance(found, list) else []


def _number(value: Json, key: str) -> int:
    found = value.get(key)
    return found if isinstance(found, int) and 0 <= found < 1 << 31 else 0


def _time(value: Json, key: str) -> Timestamp | None:
    moment = Timestamp()
    try:
        moment.FromJsonString(text_of(value, key))
    except ValueError:
        return None
    return moment
