"""Random objects of kinds that make or shape VirtualMachineInstances do no harm: each is refused in words, or what
becomes of it is admitted too and has a pod.

A kind adds itself in KINDS. RANDOM_VMIS says how many objects; the suite makes a few hundred.
"""

from __future__ import annotations

import json
import os
from base64 import b64decode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from virt_api.admission import instancetypes, replica_set, vm, vmi
from virt_api.admission.review import Body, Circumstances, Request, read
from virt_controller.pod.observed import Claim
from virt_controller.pod.template import launcher_pod
from virt_controller.pod.volumes import claim_names
from virt_controller.replica_set.instance import instance, names
from virt_controller.vm.actions import CreateInstance
from virt_controller.vm.observe import Observed
from virt_controller.vm.plan import plan
from virt_core.conventions import accounts
from virt_core.conventions.labels import VM_FINALIZER
from virt_core.conventions.webhooks import (
    MUTATE,
    REPLICA_SET_VALIDATE,
    VALIDATE_CLUSTER_INSTANCETYPE,
    VALIDATE_CLUSTER_PREFERENCE,
    VALIDATE_CREATE,
    VALIDATE_INSTANCETYPE,
    VALIDATE_PREFERENCE,
    VM_MUTATE,
    VM_VALIDATE,
)
from virt_core.instancetype.apply import apply
from virt_core.kube.resource import (
    VIRTUAL_MACHINE_CLUSTER_INSTANCETYPES,
    VIRTUAL_MACHINE_CLUSTER_PREFERENCES,
    VIRTUAL_MACHINE_INSTANCETYPES,
    VIRTUAL_MACHINE_PREFERENCES,
)
from virt_core.objects.kubevirt import Configuration
from virt_core.objects.patch import guarded_patch
from virt_core.replica_set.replica_set import KIND as REPLICA_SET
from virt_core.replica_set.replica_set import VirtualMachineInstanceReplicaSet
from virt_core.testing.patches import json_patch
from virt_core.vm.virtual_machine import VirtualMachine
from virt_core.vmi.accepted import accept
from virt_core.vmi.instance import VirtualMachineInstance

from tests.samples.instancetypes import schema_valid, supported_instancetypes, supported_preferences
from tests.samples.launcher_pods import LAUNCHER
from tests.samples.owners import owners

pytestmark = pytest.mark.exhaustive

COUNT = int(os.environ.get("RANDOM_VMIS", "200"))
QUIET = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
OWN = accounts.machine_writers("kubevirt")
CONTROLLER = "system:serviceaccount:kubevirt:kubevirt-controller"
CIRCUMSTANCES = Circumstances(Configuration(), OWN, NOW)
_LONGEST_MESSAGE = 1024  # of one cause: a user reads it
STRATEGIES = st.sampled_from(["Always", "RerunOnFailure", "Manual", "Halted", "Once"])


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind: what its specs may be, who decides about them, and what becomes of one that is stored."""

    specs: st.SearchStrategy[Any]
    decisions: Mapping[str, Callable[[Request, Circumstances], Body]]
    validate: str
    mutate: str = ""
    becomes: Callable[[Body], None] = lambda _: None


def decided(kind: Kind, path: str, new: Any, old: Any = None, user: str = "bob") -> Any:
    """The webhook's response, from bytes to JSON."""
    request = {"uid": "r", "operation": "UPDATE" if old else "CREATE", "name": "g", "userInfo": {"username": user}}
    review = {"apiVersion": "admission.k8s.io/v1", "request": {**request, "object": new, "oldObject": old}}
    answer = kind.decisions[path](read(json.dumps(review).encode()), CIRCUMSTANCES)
    return json.loads(msgspec.json.encode(answer))["response"]


def stored(kind: Kind, new: Any, user: str = "bob") -> tuple[Any, Any]:
    """The object with its defaults, and the decision about it."""
    if kind.mutate:
        mutated = decided(kind, kind.mutate, new, user=user)
        if not mutated["allowed"]:
            return new, mutated
        new = json_patch(new, json.loads(b64decode(mutated.get("patch", "W10="))))
    return new, decided(kind, kind.validate, new, user=user)


INSTANCES = Kind(st.none(), vmi.DECISIONS, VALIDATE_CREATE, MUTATE)


def runs(manifest: Body) -> None:
    """A VirtualMachineInstance that virt-controller creates is admitted and has a pod."""
    body, decision = stored(INSTANCES, manifest, CONTROLLER)
    assert decision["allowed"], decision["status"]["message"]
    body["metadata"]["uid"] = "6a1f0d52"
    instance = msgspec.json.decode(json.dumps(body), type=VirtualMachineInstance)
    spec = accept(instance.raw_spec, Configuration())
    luns = any(disk.disk.lun is not None for disk in spec.disks)
    claim = msgspec.convert({"spec": {"volumeMode": "Block" if luns else "Filesystem"}}, Claim)
    launcher_pod(instance, spec, LAUNCHER, Configuration(), dict.fromkeys(claim_names(spec.spec), claim))
    assert guarded_patch(instance.metadata, {}, {"spec": body["spec"]})


def starts(body: Body) -> None:
    """What a stored VirtualMachine is started as runs."""
    if body["spec"].get("instancetype") or body["spec"].get("preference"):
        return event("with an instance type or a preference")
    meta = {**body["metadata"], "uid": "u", "resourceVersion": "1", "generation": 1, "finalizers": [VM_FINALIZER]}
    machine = VirtualMachine.of({**body, "metadata": meta})
    requests = {"stateChangeRequests": [{"action": "Start"}]}
    for status in ({}, requests):
        machine = machine.with_status(status)
        observed = Observed(machine, machine.spec, machine.status, None, NOW, 0.5)
        for action in plan(observed):
            if isinstance(action, CreateInstance):
                event("started")
                runs(json.loads(json.dumps(action.manifest)))
    return None


def replicates(body: Body) -> None:
    """What a stored replica set creates runs."""
    text = json.dumps({**body, "metadata": {**body["metadata"], "uid": "u"}})
    found = msgspec.json.decode(text, type=VirtualMachineInstanceReplicaSet)
    event("replicated")
    runs(json.loads(json.dumps(instance(found, found.spec, next(names(found, found.spec)), 1))))


def sizes(body: Body) -> None:
    """A guest with a stored instance type and nothing of its own runs."""
    _runs_with(body, None)


def shapes(body: Body) -> None:
    """A guest with a stored preference and an instance type runs, if the preference can be met."""
    _runs_with({"metadata": {"name": "small"}, "spec": {"cpu": {"guest": 2}, "memory": {"guest": "1Gi"}}}, body)


def _runs_with(instancetype: Body, preference: Body | None) -> None:
    applied = apply({"spec": {"domain": {"devices": {}}}}, instancetype, preference)
    if applied.refusals:
        assert [refusal.field for refusal in applied.refusals] == ["instancetype.spec.cpu.guest"]
        return event("cannot be spread")
    event("shapes a guest" if preference else "sizes a guest")
    metadata = {"name": "g", "namespace": "n", **applied.template.get("metadata", {})}
    runs({"kind": "VirtualMachineInstance", "metadata": metadata, "spec": applied.template["spec"]})
    return None


VM_SPECS = owners("v1.VirtualMachineSpec", runStrategy=STRATEGIES) | owners(
    "v1.VirtualMachineSpec", running=st.booleans()
)
REPLICA_SET_SPECS = owners(
    "v1.VirtualMachineInstanceReplicaSetSpec",
    selector=st.just({"matchLabels": {"app": "web"}}),
    replicas=st.integers(0, 3),
)
INSTANCETYPE_SPECS = schema_valid("v1beta1.VirtualMachineInstancetypeSpec") | supported_instancetypes
PREFERENCE_SPECS = schema_valid("v1beta1.VirtualMachinePreferenceSpec") | supported_preferences
KINDS = {
    "VirtualMachine": Kind(VM_SPECS, vm.DECISIONS, VM_VALIDATE, VM_MUTATE, starts),
    REPLICA_SET: Kind(REPLICA_SET_SPECS, replica_set.DECISIONS, REPLICA_SET_VALIDATE, becomes=replicates),
    **{
        resource.kind: Kind(INSTANCETYPE_SPECS, instancetypes.DECISIONS, validate, becomes=sizes)
        for resource, validate in (
            (VIRTUAL_MACHINE_INSTANCETYPES, VALIDATE_INSTANCETYPE),
            (VIRTUAL_MACHINE_CLUSTER_INSTANCETYPES, VALIDATE_CLUSTER_INSTANCETYPE),
        )
    },
    **{
        resource.kind: Kind(PREFERENCE_SPECS, instancetypes.DECISIONS, validate, becomes=shapes)
        for resource, validate in (
            (VIRTUAL_MACHINE_PREFERENCES, VALIDATE_PREFERENCE),
            (VIRTUAL_MACHINE_CLUSTER_PREFERENCES, VALIDATE_CLUSTER_PREFERENCE),
        )
    },
}


@pytest.mark.parametrize("name", KINDS)
@settings(max_examples=COUNT, deadline=None, suppress_health_check=QUIET)
@given(data=st.data())
def test_each_is_refused_in_words_or_becomes_what_can_run(name: str, data: st.DataObject) -> None:
    kind = KINDS[name]
    body: Body = {"kind": name, "metadata": {"name": "g", "namespace": "n"}, "spec": data.draw(kind.specs)}
    body, decision = stored(kind, body)
    again = {**body, "spec": data.draw(st.none() | kind.specs)}
    for old, new in ((body, again), (again, body)):
        if kind.mutate:
            decided(kind, kind.mutate, new, old)
        decided(kind, kind.validate, new, old)
    if decision["allowed"]:
        event("admitted")
        kind.becomes(body)
        return
    for cause in decision["status"].get("details", {}).get("causes", []):
        assert cause["field"].startswith("spec"), cause
        assert len(cause["message"]) <= _LONGEST_MESSAGE
