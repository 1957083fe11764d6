"""Reviews of VirtualMachines with instance types, and of instance types: what is read for them, and the answers."""

from __future__ import annotations

import json
from base64 import b64decode
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import Application
from virt_api.admission.webhooks import webhooks
from virt_api.routes import refusals_as_status
from virt_core.conventions.webhooks import (
    VALIDATE_CLUSTER_INSTANCETYPE,
    VALIDATE_CLUSTER_PREFERENCE,
    VALIDATE_INSTANCETYPE,
    VALIDATE_PREFERENCE,
    VM_MUTATE,
    VM_VALIDATE,
)
from virt_core.kube.client import KubeClient
from virt_core.kube.resource import (
    CONTROLLER_REVISIONS,
    PERSISTENT_VOLUME_CLAIMS,
    VIRTUAL_MACHINE_CLUSTER_INSTANCETYPES,
    VIRTUAL_MACHINE_CLUSTER_PREFERENCES,
    VIRTUAL_MACHINE_INSTANCETYPES,
)
from virt_core.objects.kubevirt import Configuration
from virt_core.testing.api_server import FakeApiServer
from virt_core.testing.patches import json_patch
from virt_core.testing.place import Place
from virt_core.testing.refused import Refused

from tests.samples.instancetypes import instancetype, preference, revision

CONFIGURATION: Any = SimpleNamespace(current=Configuration(), unknown="")
LABELS = {
    "instancetype.kubevirt.io/default-instancetype": "small",
    "instancetype.kubevirt.io/default-preference": "linux",
}
SIZED = {"domain": {"devices": {}, "cpu": {"cores": 2}}}


def vm(template: Any = None, **spec: Any) -> dict[str, Any]:
    body = {"spec": template or {"domain": {"devices": {}}}}
    return {"metadata": {"name": "web", "namespace": "ns"}, "spec": {"runStrategy": "Always", "template": body, **spec}}


async def review(client: KubeClient, path: str, new: Any, old: Any = None) -> tuple[int, Any]:
    """Status and document of the answer to a review."""
    application = Application(middlewares=[refusals_as_status])
    application.router.add_post(path, webhooks(client, CONFIGURATION, ())[path])
    request = {
        "uid": "u",
        "operation": "UPDATE" if old else "CREATE",
        "namespace": "ns",
        "object": new,
        "oldObject": old,
    }
    async with TestClient(TestServer(application)) as caller:
        answer = await caller.post(path, json={"apiVersion": "admission.k8s.io/v1", "request": request})
        document = await answer.json()
        return answer.status, document.get("response", document)


async def refused(client: KubeClient, new: Any, old: Any = None) -> list[str]:
    """The fields that validation refuses."""
    status, response = await review(client, VM_VALIDATE, new, old)
    assert status == 200
    return [] if response["allowed"] else [cause["field"] for cause in response["status"]["details"]["causes"]]


async def mutated(client: KubeClient, new: Any) -> Any:
    """The object that is stored."""
    _, response = await review(client, VM_MUTATE, new)
    return json_patch(new, json.loads(b64decode(response["patch"])))


def gets(server: FakeApiServer) -> list[str]:
    return [path for method, path in server.requests if method == "GET"]


async def test_a_vm_without_either_needs_no_request(server: FakeApiServer, client: KubeClient) -> None:
    assert await refused(client, vm()) == ["spec.template.spec.domain.memory.guest"]
    await mutated(client, vm())
    assert server.requests == []


@pytest.mark.parametrize(
    ("resource", "kind"),
    [(VIRTUAL_MACHINE_CLUSTER_INSTANCETYPES, ""), (VIRTUAL_MACHINE_INSTANCETYPES, "VirtualMachineInstancetype")],
)
async def test_the_instance_type_that_a_vm_names_is_read(
    server: FakeApiServer, client: KubeClient, resource: Any, kind: str
) -> None:
    named = {"name": "small", "kind": kind}
    assert await refused(client, vm(SIZED, instancetype=named)) == []
    server.put(resource.path("ns"), instancetype())
    assert await refused(client, vm(SIZED, instancetype=named)) == ["spec.template.spec.domain.cpu.cores"]
    assert gets(server) == [resource.path("ns", "small")] * 2


async def test_a_revision_goes_before_the_object(server: FakeApiServer, client: KubeClient) -> None:
    server.put(VIRTUAL_MACHINE_CLUSTER_PREFERENCES.path(), preference(requirements={"cpu": {"guest": 8}}))
    server.put(CONTROLLER_REVISIONS.path("ns"), revision("r", preference(requirements={"cpu": {"guest": 1}})))
    template = {"domain": {"devices": {}, "memory": {"guest": "1Gi"}}}
    assert await refused(client, vm(template, preference={"name": "linux"})) != []
    assert await refused(client, vm(template, preference={"name": "linux", "revisionName": "r"})) == []
    stored = {"preferenceRef": {"name": "linux", "controllerRevisionRef": {"name": "r"}}}
    assert await refused(client, {**vm(template, preference={"name": "linux"}), "status": stored}) == []


async def test_a_revision_that_is_labelled_as_another_objects_is_not_used(
    server: FakeApiServer, client: KubeClient
) -> None:
    kept = revision("r", preference(requirements={"cpu": {"guest": 8}}))
    kept["metadata"]["labels"] = {"instancetype.kubevirt.io/object-name": "windows"}
    server.put(CONTROLLER_REVISIONS.path("ns"), kept)
    template = {"domain": {"devices": {}, "memory": {"guest": "1Gi"}}}
    assert await refused(client, vm(template, preference={"name": "linux", "revisionName": "r"})) == []


async def test_nothing_is_read_of_a_vm_whose_spec_stays_or_that_is_deleted(
    server: FakeApiServer, client: KubeClient
) -> None:
    named = vm(SIZED, instancetype={"name": "small"})
    assert await refused(client, named, named) == []
    deleted = {**named, "metadata": {**named["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}}
    assert await refused(client, deleted, vm()) == []
    assert server.requests == []


async def test_nothing_is_admitted_while_the_api_server_does_not_answer(
    server: FakeApiServer, client: KubeClient
) -> None:
    def fails(method: str, _: Place) -> None:
        raise Refused(500, "InternalError", "etcd is away")

    server.fault = fails
    status, document = await review(client, VM_VALIDATE, vm(instancetype={"name": "small"}))
    assert (status, document["reason"]) == (503, "ServiceUnavailable")
    assert 'virtualmachineclusterinstancetypes.instancetype.kubevirt.io "small"' in document["message"]


@pytest.mark.parametrize("name", ["..", ".", "a/b", "A b"])
async def test_what_is_no_name_never_becomes_a_path(server: FakeApiServer, client: KubeClient, name: str) -> None:
    assert await refused(client, vm(instancetype={"name": name})) == ["spec.instancetype.name"]
    volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": name}}]
    inferring = vm({"domain": {}, "volumes": volumes}, instancetype={"inferFromVolume": "v"})
    _, response = await review(client, VM_MUTATE, inferring)
    assert not response["allowed"]
    assert server.requests == []


async def test_the_preferences_machine_type_is_stored(server: FakeApiServer, client: KubeClient) -> None:
    server.put(VIRTUAL_MACHINE_CLUSTER_PREFERENCES.path(), preference(machine={"preferredMachineType": "pc-q35-7.2"}))
    stored = await mutated(client, vm(preference={"name": "linux"}))
    assert stored["spec"]["template"]["spec"]["domain"]["machine"] == {"type": "pc-q35-7.2"}
    assert stored["spec"]["preference"] == {"name": "linux"}


async def test_matchers_are_inferred_of_a_claim_and_the_preference_found_so_counts(
    server: FakeApiServer, client: KubeClient
) -> None:
    server.put(PERSISTENT_VOLUME_CLAIMS.path("ns"), {"metadata": {"name": "disk", "labels": LABELS}})
    server.put(VIRTUAL_MACHINE_CLUSTER_PREFERENCES.path(), preference(machine={"preferredMachineType": "pc-q35-7.2"}))
    template = {"domain": {"devices": {}}, "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "disk"}}]}
    inferring = vm(template, instancetype={"inferFromVolume": "v"}, preference={"inferFromVolume": "v"})
    stored = await mutated(client, inferring)
    assert (stored["spec"]["instancetype"], stored["spec"]["preference"]) == ({"name": "small"}, {"name": "linux"})
    assert stored["spec"]["template"]["spec"]["domain"]["machine"] == {"type": "pc-q35-7.2"}
    assert len(gets(server)) == 2


async def test_a_volume_that_says_nothing_is_a_bad_request(server: FakeApiServer, client: KubeClient) -> None:
    _, response = await review(client, VM_MUTATE, vm(instancetype={"inferFromVolume": "v"}))
    assert (response["allowed"], response["status"]["code"]) == (False, 400)
    assert response["status"]["message"] == "unable to find volume v to infer defaults"


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        (VALIDATE_INSTANCETYPE, instancetype(gpus=[{"name": "g"}]), "spec.gpus"),
        (VALIDATE_CLUSTER_INSTANCETYPE, instancetype(0), "spec.cpu.guest"),
        (VALIDATE_PREFERENCE, preference(machine={"preferredMachineType": "pc"}), "spec.machine.preferredMachineType"),
        (VALIDATE_CLUSTER_PREFERENCE, preference(volumes={}), "spec.volumes"),
    ],
)
async def test_each_kind_is_reviewed(client: KubeClient, path: str, body: Any, field: str) -> None:
    _, response = await review(client, path, body)
    assert [cause["field"] for cause in response["status"]["details"]["causes"]] == [field]
    good = instancetype() if "instancetype" in path else preference()
    assert (await review(client, path, good))[1] == {"uid": "u", "allowed": True}


async def test_an_older_topology_is_stored_with_a_warning(client: KubeClient) -> None:
    body = preference(cpu={"preferredCPUTopology": "preferCores"})
    _, response = await review(client, VALIDATE_PREFERENCE, body)
    assert response["allowed"] and "please use cores" in response["warnings"][0]


async def test_creations_that_are_admitted_are_counted(client: KubeClient) -> None:
    counted: list[str] = []
    application = Application(middlewares=[refusals_as_status])
    application.router.add_post(VM_VALIDATE, webhooks(client, CONFIGURATION, (), counted.append)[VM_VALIDATE])
    good = {"domain": {"devices": {}, "memory": {"guest": "64Mi"}}}
    requests = [
        {"operation": "CREATE", "object": vm(good)},
        {"operation": "CREATE", "object": vm(good), "dryRun": True},
        {"operation": "UPDATE", "object": vm(good), "oldObject": vm(good)},
        {"operation": "CREATE", "object": vm({"nonsense": {}})},
    ]
    async with TestClient(TestServer(application)) as caller:
        for request in requests:
            body = {"apiVersion": "admission.k8s.io/v1", "request": {"uid": "u", "namespace": "ns", **request}}
            assert (await caller.post(VM_VALIDATE, json=body)).status == 200
    assert counted == ["ns"]
