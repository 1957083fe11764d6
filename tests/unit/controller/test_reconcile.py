"""The controller's requests to the API server in addition to its watches."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from virt_controller.caches import Caches
from virt_controller.node.reconcile import Nodes
from virt_controller.pod.containers import LauncherSettings
from virt_controller.pod.template import VOLUME_STATUS, pod_name
from virt_controller.vmi.actions import DeletePod
from virt_controller.vmi.creation import RetryDelays
from virt_controller.vmi.execute import Executor
from virt_controller.vmi.plan import Planner
from virt_controller.vmi.reconcile import VmiReconciler
from virt_core.kube.client import KubeClient
from virt_core.kube.events import EventRecorder
from virt_core.kube.resource import (
    EVENTS,
    KUBEVIRTS,
    NAMESPACES,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    RESOURCE_QUOTAS,
    VIRTUAL_MACHINE_INSTANCES,
)
from virt_core.testing.api_server import FakeApiServer
from virt_core.testing.history import Object
from virt_core.testing.place import Place
from virt_core.testing.refused import Refused
from virt_core.vmi.instance import VirtualMachineInstance

from tests.support.patience import PATIENCE
from tests.unit.controller.planning import CLAIMED, SPEC

VMIS = VIRTUAL_MACHINE_INSTANCES.path("ns")
ENDED = {"containerStatuses": [{"name": "compute", "state": {"terminated": {"exitCode": 0}}}]}
NODE = {"metadata": {"name": "node1"}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}


RETRY_SECONDS = 0.2
PLANNER = Planner(LauncherSettings("registry.test/virt-launcher:1", "IfNotPresent"), RetryDelays(first=RETRY_SECONDS))


@asynccontextmanager
async def at_work(client: KubeClient) -> AsyncIterator[Caches]:
    """A controller on a cluster that has a KubeVirt object."""
    caches = Caches(client, "kubevirt")
    nodes = Nodes(client, caches.nodes)
    reconciler = VmiReconciler(client, caches, nodes, PLANNER, EventRecorder(client, "test", "test-0"))
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(work) for work in (caches.run(), nodes.work(), reconciler.work())]
        try:
            async with asyncio.timeout(PATIENCE):
                yield caches
        finally:
            for task in tasks:
                task.cancel()


async def condition_once_reported(client: KubeClient, server: FakeApiServer, kind: str) -> dict[str, Any]:
    """The condition, once it has been written."""
    while True:
        patches = server.count("PATCH")
        found = await client.get(VIRTUAL_MACHINE_INSTANCES, "ns", "guest")
        for condition in found.get("status", {}).get("conditions", []):
            if condition["type"] == kind:
                return dict(condition)
        await server.received("PATCH", patches + 1)


def guest(server: FakeApiServer, spec: Any) -> VirtualMachineInstance:
    """Stored; the server gives it its UID."""
    stored = server.put(VMIS, {"metadata": {"name": "guest"}, "spec": spec})
    return msgspec.json.decode(msgspec.json.encode(stored), type=VirtualMachineInstance)


def launcher(server: FakeApiServer, vmi: VirtualMachineInstance, phase: str, **metadata: Any) -> str:
    """Stored, on node1; its UID."""
    meta = {
        "name": pod_name(vmi),
        "labels": {"kubevirt.io": "virt-launcher", "kubevirt.io/created-by": vmi.metadata.uid},
        "annotations": {"kubevirt.io/domain": "guest"},
        "ownerReferences": [
            {"kind": "VirtualMachineInstance", "name": "guest", "uid": vmi.metadata.uid, "controller": True}
        ],
    }
    body = {"metadata": meta, "spec": {"nodeName": "node1"}, "status": {"phase": phase}}
    uid: str = server.put(PODS.path("ns"), body)["metadata"]["uid"]
    server.store.merge_patch(Place.parse(PODS.path("ns", pod_name(vmi))), {"metadata": metadata})
    return uid


async def handed_over(client: KubeClient, uid: str, phase: str) -> None:
    status = {"phase": phase, "activePods": {uid: "node1"}, "nodeName": "node1"}
    await client.merge_patch(VIRTUAL_MACHINE_INSTANCES, "ns", "guest", {"status": status})


async def test_events_of_a_pod_that_starts_slowly_are_read(server: FakeApiServer, client: KubeClient) -> None:
    server.put(NODES.path(), NODE)
    pod = launcher(server, guest(server, SPEC), "Pending", creationTimestamp="2026-01-01T00:00:00Z")
    await handed_over(client, pod, "Scheduling")
    for name, uid, note in (("a", pod, 'secret "gone" not found'), ("b", "another", "no matter")):
        event = {"reason": "FailedMount", "note": note, "type": "Warning", "regarding": {"uid": uid}}
        server.put(EVENTS.path("ns"), {"metadata": {"name": name}, **event})
    async with at_work(client):
        condition = await condition_once_reported(client, server, "Synchronized")
    assert condition["reason"] == "FailedMount"
    assert condition["message"] == 'secret "gone" not found'


async def test_events_of_a_new_pod_are_not_read(server: FakeApiServer, client: KubeClient) -> None:
    server.put(NODES.path(), NODE)
    launcher(server, guest(server, SPEC), "Pending")
    async with at_work(client):
        assert (await condition_once_reported(client, server, "Ready"))["reason"] == "GuestNotRunning"
    assert not [path for method, path in server.requests if method == "LIST" and "events" in path]


@pytest.mark.parametrize(("reason", "lists"), [("", 1), ("Evicted", 0)])
async def test_events_of_a_pod_that_ended_without_a_reason_are_read_once(
    server: FakeApiServer, client: KubeClient, reason: str, lists: int
) -> None:
    server.put(NODES.path(), NODE)
    vmi = guest(server, SPEC)
    pod = launcher(server, vmi, "Failed")
    server.store.merge_patch(Place.parse(PODS.path("ns", pod_name(vmi))), {"status": {"reason": reason, **ENDED}})
    await handed_over(client, pod, "Running")
    note = "Liveness probe failed: connection refused"
    event = {"reason": "Unhealthy", "note": note, "type": "Warning", "regarding": {"uid": pod}}
    server.put(EVENTS.path("ns"), {"metadata": {"name": "a"}, **event})
    async with at_work(client):
        condition = await condition_once_reported(client, server, "Ready")
        await server.received("POST", 1)
    assert condition["reason"] == (reason or "Unhealthy")
    assert (note in condition["message"]) == bool(lists)
    assert len([path for method, path in server.requests if method == "LIST" and "events" in path]) == lists


async def test_a_missing_claim_is_read_by_name_until_it_exists(server: FakeApiServer, client: KubeClient) -> None:
    vmi = guest(server, CLAIMED)
    async with at_work(client):
        condition = await condition_once_reported(client, server, "Synchronized")
        assert condition["reason"] == "FailedPvcNotFound" and "data" in condition["message"]
        server.put(PERSISTENT_VOLUME_CLAIMS.path("ns"), {"metadata": {"name": "data"}, "status": {"phase": "Bound"}})
        while ("POST", PODS.path("ns")) not in server.requests:
            await server.received("POST", server.count("POST") + 1)
    pod = await client.get(PODS, "ns", pod_name(vmi))
    (source,) = [volume for volume in pod["spec"]["volumes"] if "persistentVolumeClaim" in volume]
    assert source["persistentVolumeClaim"]["claimName"] == "data"
    assert not [path for method, path in server.requests if method == "LIST" and "persistentvolumeclaims" in path]


async def test_a_node_missing_from_the_cache_fails_guests_only_after_the_api_server_confirms_it(
    server: FakeApiServer, client: KubeClient
) -> None:
    await handed_over(client, launcher(server, guest(server, SPEC), "Running"), "Running")
    async with at_work(client):
        await server.received("DELETE", 1)
    found = await client.get(VIRTUAL_MACHINE_INSTANCES, "ns", "guest")
    assert (found["status"]["phase"], found["status"]["reason"]) == ("Failed", "NodeDeleted")
    assert ("GET", NODES.path(None, "node1")) in server.requests


def no_pods(code: int, reason: str) -> Callable[[Place, Object], None]:
    """An API server that refuses pods, and nothing else."""

    def admit(place: Place, _: Object) -> None:
        if place.plural == "pods":
            raise Refused(code, reason, "no room here")

    return admit


@pytest.mark.parametrize(("code", "reason"), [(400, "BadRequest"), (422, "Invalid"), (500, "InternalError")])
async def test_every_refusal_of_the_pod_by_the_api_server_is_reported(
    server: FakeApiServer, client: KubeClient, code: int, reason: str
) -> None:
    guest(server, SPEC)
    server.admit = no_pods(code, reason)
    async with at_work(client):
        condition = await condition_once_reported(client, server, "Synchronized")
    assert condition["reason"] == "FailedCreate" and "no room here" in condition["message"]


async def test_an_api_server_that_is_busy_has_not_refused_the_pod(server: FakeApiServer, client: KubeClient) -> None:
    guest(server, SPEC)
    server.admit = no_pods(429, "TooManyRequests")
    async with at_work(client):
        await server.received("POST", 3)
    assert server.count("PATCH") == 0


async def test_a_refused_pod_is_retried_on_time_however_often_the_vmi_changes(
    server: FakeApiServer, client: KubeClient
) -> None:
    vmi = guest(server, SPEC)
    server.admit = no_pods(403, "Forbidden")
    pods, events = ("POST", PODS.path("ns")), ("POST", EVENTS.path("ns"))
    clock = asyncio.get_running_loop().time
    began = clock()
    async with at_work(client):
        condition = await condition_once_reported(client, server, "Synchronized")
        assert condition["reason"] == "FailedCreate" and "no room here" in condition["message"]
        for number in range(20):
            labels = {"metadata": {"labels": {"changed": str(number)}}}
            await client.merge_patch(VIRTUAL_MACHINE_INSTANCES, "ns", "guest", labels)
        refused = server.requests.count(pods)
        assert refused <= 1 + (clock() - began) / RETRY_SECONDS, "the changes hasten no attempt"
        server.admit = lambda _place, _body: None
        while server.requests.count(pods) == refused:
            await server.received("POST", server.count("POST") + 1)
    assert await client.get(PODS, "ns", pod_name(vmi))
    assert server.requests.count(events) == 1


async def test_a_vmi_in_an_unknown_phase_disturbs_no_other_when_the_configuration_changes(
    server: FakeApiServer, client: KubeClient
) -> None:
    server.put(VMIS, {"metadata": {"name": "strange"}, "spec": SPEC, "status": {"phase": "MigrationPreparing"}})
    async with at_work(client):
        await server.received("WATCH", 4)
        await client.merge_patch(KUBEVIRTS, "kubevirt", "kubevirt", {"spec": {"configuration": {"cpuModel": "x"}}})
        ordinary = guest(server, SPEC)
        await server.received("POST", 1)
    assert [pod["metadata"]["name"] for pod in await client.list(PODS, "ns")] == [pod_name(ordinary)]


async def test_a_pod_of_the_expected_name_that_is_somebody_else_s_is_named_and_left_alone(
    server: FakeApiServer, client: KubeClient
) -> None:
    vmi = guest(server, SPEC)
    labels = {"kubevirt.io": "virt-launcher", "kubevirt.io/created-by": vmi.metadata.uid}
    stranger = server.put(PODS.path("ns"), {"metadata": {"name": pod_name(vmi), "labels": labels}})
    async with at_work(client):
        condition = await condition_once_reported(client, server, "Synchronized")
        assert condition["reason"] == "FailedCreate"
        assert pod_name(vmi) in condition["message"] and stranger["metadata"]["uid"] in condition["message"]
        assert await client.get(PODS, "ns", pod_name(vmi)) == stranger
        await client.delete(PODS, "ns", pod_name(vmi))
        await server.received("POST", server.count("POST") + 2)  # the pod, and its event
    assert (await client.get(PODS, "ns", pod_name(vmi)))["metadata"]["uid"] != stranger["metadata"]["uid"]


async def test_a_running_guest_whose_pod_was_replaced_fails_and_the_stranger_is_left_alone(
    server: FakeApiServer, client: KubeClient
) -> None:
    server.put(NODES.path(), NODE)
    stranger = launcher(server, guest(server, SPEC), "Running")
    await handed_over(client, "uid-of-the-first", "Running")
    async with at_work(client):
        await server.received("POST", 1)
    found = await client.get(VIRTUAL_MACHINE_INSTANCES, "ns", "guest")
    assert (found["status"]["phase"], found["status"]["activePods"]) == ("Failed", {"uid-of-the-first": "node1"})
    (ready,) = [condition for condition in found["status"]["conditions"] if condition["type"] == "Ready"]
    assert stranger in ready["message"]
    assert server.count("DELETE") == 0


def asks_for_limits(place: Place, body: Object) -> None:
    """The API server of a namespace with a quota on limits."""
    if place.plural == "pods" and "memory" not in body["spec"]["containers"][0]["resources"]["limits"]:
        raise Refused(403, "Forbidden", "failed quota: limits: must specify limits.memory for: compute")


async def test_limits_are_set_once_the_namespace_has_required_them_and_from_then_on_at_once(
    server: FakeApiServer, client: KubeClient
) -> None:
    server.put(NAMESPACES.path(), {"metadata": {"name": "ns"}})
    server.put(RESOURCE_QUOTAS.path("ns"), {"metadata": {"name": "q"}, "spec": {"hard": {"limits.memory": "2Gi"}}})
    server.admit = asks_for_limits
    guest(server, SPEC)
    pods = ("POST", PODS.path("ns"))
    async with at_work(client):
        await server.received("POST", 3)
        assert server.requests.count(pods) == 2
        server.put(VMIS, {"metadata": {"name": "another"}, "spec": SPEC})
        await server.received("POST", 5)
    assert server.requests.count(pods) == 3
    assert server.requests.count(("LIST", RESOURCE_QUOTAS.path("ns"))) == 1
    for pod in await client.list(PODS, "ns"):
        assert "memory" in pod["spec"]["containers"][0]["resources"]["limits"]


async def test_a_quota_made_after_the_rules_were_read_is_obeyed_without_an_event(
    server: FakeApiServer, client: KubeClient
) -> None:
    server.put(NAMESPACES.path(), {"metadata": {"name": "ns"}})
    server.admit = no_pods(403, "Forbidden")
    guest(server, SPEC)
    async with at_work(client):
        await condition_once_reported(client, server, "Synchronized")  # the rules are read and kept
        hard = {"limits.memory": "2Gi"}
        server.put(RESOURCE_QUOTAS.path("ns"), {"metadata": {"name": "q"}, "spec": {"hard": hard}})
        server.admit = asks_for_limits
        server.put(VMIS, {"metadata": {"name": "another"}, "spec": SPEC})
        while not (pods := [pod for pod in await client.list(PODS, "ns") if "another" in pod["metadata"]["name"]]):
            await server.received("POST", server.count("POST") + 1)
        assert "memory" in pods[0]["spec"]["containers"][0]["resources"]["limits"]
        events = [event for event in await client.list(EVENTS, "ns") if event["regarding"]["name"] == "another"]
    assert [event for event in events if event["type"] == "Warning"] == []


@pytest.mark.parametrize("readable", [True, False])
async def test_a_refusal_that_no_limits_mend_is_reported_with_or_without_the_namespace_s_rules(
    server: FakeApiServer, client: KubeClient, readable: bool
) -> None:
    if readable:
        server.put(NAMESPACES.path(), {"metadata": {"name": "ns"}})
    guest(server, SPEC)
    server.admit = no_pods(403, "Forbidden")
    async with at_work(client):
        condition = await condition_once_reported(client, server, "Synchronized")
    assert condition["reason"] == "FailedCreate" and "no room here" in condition["message"]


async def test_pods_wait_for_a_kubevirt_object(server: FakeApiServer, client: KubeClient) -> None:
    await client.delete(KUBEVIRTS, "kubevirt", "kubevirt")
    vmi = guest(server, SPEC)
    async with at_work(client):
        assert (await condition_once_reported(client, server, "Synchronized"))["reason"] == "NotConfigured"
        assert await client.list(PODS, "ns") == []
        server.put(KUBEVIRTS.path("kubevirt"), {"metadata": {"name": "kubevirt"}})
        await server.received("POST", 3)
    assert await client.get(PODS, "ns", pod_name(vmi))


async def test_a_status_that_anybody_may_have_written_stops_nothing(server: FakeApiServer, client: KubeClient) -> None:
    """Times that are none, in what the controller counts by."""
    server.put(NODES.path(), NODE)
    vmi = guest(server, SPEC)
    rejected = launcher(
        server, vmi, "Failed", creationTimestamp="2026-01-01T00:00:00Z", annotations={VOLUME_STATUS: "{"}
    )
    server.store.merge_patch(Place.parse(PODS.path("ns", pod_name(vmi))), {"status": {"reason": "Rejected"}})
    transition = {"phase": "Scheduling", "phaseTransitionTimestamp": "yesterday"}
    status = {"phase": "Scheduling", "activePods": {rejected: "node1"}, "phaseTransitionTimestamps": [transition]}
    await client.merge_patch(VIRTUAL_MACHINE_INSTANCES, "ns", "guest", {"status": status})
    async with at_work(client):
        await server.received("DELETE", 1)


async def test_the_events_of_a_vmi_s_life_are_one_request_each(server: FakeApiServer, client: KubeClient) -> None:
    guest(server, SPEC)
    async with at_work(client):
        await server.received("POST", 2)
    (event,) = await client.list(EVENTS, "ns")
    assert (event["reason"], event["type"]) == ("SuccessfulCreate", "Normal")


async def test_a_pod_that_was_just_deleted_is_known_to_go_before_its_watch_reports_it(
    server: FakeApiServer, client: KubeClient
) -> None:
    vmi = guest(server, SPEC)
    uid = launcher(server, vmi, "Running", finalizers=["kept"])
    written: list[Object] = []
    executor = Executor(client, EventRecorder(client, "test", "test-0"), lambda _: None, written.append)
    await executor.execute(vmi, (DeletePod(pod_name(vmi), uid),))
    (pod,) = written
    assert pod["metadata"]["uid"] == uid and pod["metadata"]["deletionTimestamp"]


async def test_a_guest_with_a_pod_is_handed_over_before_all_others_have_pods(
    server: FakeApiServer, client: KubeClient
) -> None:
    def schedule(place: Place, body: Object) -> None:
        if place.plural == "pods":
            body["spec"]["nodeName"] = "node1"

    server.admit = schedule
    server.put(NODES.path(), NODE)
    count, pods = 100, ("POST", PODS.path("ns"))
    for number in range(count):
        server.put(VMIS, {"metadata": {"name": f"guest{number}"}, "spec": SPEC})
    async with at_work(client):
        await server.received("PATCH", count)
    writes = [method for method, path in server.requests if method == "PATCH" or (method, path) == pods]
    assert writes.count("POST") == count
    assert writes.index("PATCH") < count / 2
