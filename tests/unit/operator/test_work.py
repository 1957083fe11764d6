"""virt-controller and virt-handler are proven with guests of the suite's own, on a fake API server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from virt_core.conventions.devices import KVM, TUN
from virt_core.conventions.labels import CREATED_BY, UPGRADE_PROBE
from virt_core.kube.client import KubeClient
from virt_core.kube.errors import Unavailable
from virt_core.kube.reflector import Reflector
from virt_core.kube.resource import PODS, VIRTUAL_MACHINE_INSTANCES, VIRTUAL_MACHINES
from virt_core.objects.kubevirt import Configuration
from virt_core.objects.meta import ObjectReference
from virt_core.testing.api_server import FakeApiServer
from virt_core.testing.place import Place
from virt_core.testing.refused import Refused
from virt_core.vmi.admission import admit_create
from virt_operator.proof import guest
from virt_operator.proof.guest import Guest, body_of, delete_left
from virt_operator.proof.work import controller_outcome, handler_outcome, on_node
from virt_operator.removal.workloads import any_workload
from virt_operator.suite.observed import Outcome

OWNER = ObjectReference("kubevirt.io/v1", "KubeVirt", "kubevirt", "kubevirt", "uid-1")
PLACE = Place.parse(VIRTUAL_MACHINE_INSTANCES.path("kubevirt"))
FINALIZER = "kubevirt.io/foregroundDeleteVirtualMachine"
LIMIT = 5.0
SHORT = 0.2
SCHEDULING: Mapping[str, Any] = MappingProxyType({"phase": "Scheduling"})


@pytest.fixture
async def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: FakeApiServer) -> AsyncIterator[KubeClient]:
    monkeypatch.setenv("KUBECONFIG", str(server.write_kubeconfig(tmp_path / "kubeconfig")))
    async with KubeClient.connect("test") as connected:
        yield connected


@pytest.fixture
async def server() -> AsyncIterator[FakeApiServer]:
    async with FakeApiServer.running() as running:
        yield running


def guests(server: FakeApiServer) -> list[Any]:
    return server.store.select(PLACE, lambda _: True)


@asynccontextmanager
async def controller(
    server: FakeApiServer, client: KubeClient, status: Mapping[str, Any] = SCHEDULING, *, ends: bool = True
) -> AsyncIterator[None]:
    """Makes a pod for each guest, gives it a status and a finalizer, and removes that when the guest is deleted."""

    def reconcile(key: tuple[str, str]) -> None:
        path, guest = VIRTUAL_MACHINE_INSTANCES.path(*key), watch.get(key)
        if guest is None:
            return
        if guest.metadata.deletion_timestamp is not None:
            if ends and guest.metadata.finalizers:
                server.patch(path, {"metadata": {"finalizers": None}})
        elif FINALIZER not in guest.metadata.finalizers:
            meta = {"name": f"pod-of-{key[1]}", "labels": {CREATED_BY: guest.metadata.uid}}
            server.put(PODS.path(key[0]), {"metadata": meta})
            server.patch(path, {"metadata": {"finalizers": [FINALIZER]}, "status": dict(status)})

    watch: Reflector[Guest] = Reflector(client, VIRTUAL_MACHINE_INSTANCES, Guest, reconcile)
    task = asyncio.create_task(watch.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_controller_that_reconciles_passes_and_nothing_is_left(
    server: FakeApiServer, client: KubeClient
) -> None:
    async with controller(server, client):
        assert await controller_outcome(client, OWNER, LIMIT) == Outcome()
    assert guests(server) == []


async def test_a_controller_that_does_nothing_is_named_and_nothing_is_left(
    server: FakeApiServer, client: KubeClient
) -> None:
    def admit(_place: Place, body: Any) -> None:
        body["status"] = {"phase": "Pending", "conditions": [{"type": "Ready", "status": "False"}]}  # by virt-api

    server.admit = admit
    fault = (await controller_outcome(client, OWNER, SHORT)).fault
    assert fault is not None and fault.probe == "reconciles" and "has no launcher pod after 0 s" in fault.message
    assert guests(server) == []


async def test_a_controller_whose_pod_is_refused_has_reconciled(server: FakeApiServer, client: KubeClient) -> None:
    def admit(place: Place, body: Any) -> None:
        if place == PLACE:
            body["status"] = because("Synchronized", "exceeded quota")

    server.admit = admit
    assert await controller_outcome(client, OWNER, LIMIT) == Outcome()


async def test_a_handler_that_runs_the_guest_and_ends_it_passes(server: FakeApiServer, client: KubeClient) -> None:
    async with controller(server, client, {"phase": "Running", "nodeName": "node1"}):
        assert await handler_outcome(client, OWNER, "node1", LIMIT) == Outcome()
    assert guests(server) == []


def because(kind: str, message: str) -> dict[str, Any]:
    return {"conditions": [{"type": kind, "status": "False", "message": message}]}


@pytest.mark.parametrize(
    ("status", "fault"),
    [
        ({"phase": "Scheduled", "nodeName": "node1"}, "does not run 0 s after it was scheduled"),
        ({"phase": "Failed", "nodeName": "node1"}, "is Failed"),
        ({"phase": "Scheduling", **because("PodScheduled", f"Insufficient {TUN}")}, "finds no device of the node"),
        ({"phase": "Scheduling", **because("PodScheduled", f"Insufficient {KVM}")}, None),
        ({"phase": "Scheduling", **because("PodScheduled", "Insufficient memory")}, None),
        ({"phase": "Scheduling", "nodeName": "node1", **because("Synchronized", "image x cannot be pulled")}, None),
        ({}, None),
    ],
)
async def test_a_guest_that_does_not_run_counts_only_if_it_waits_for_the_handler(
    server: FakeApiServer, client: KubeClient, status: dict[str, Any], fault: str | None
) -> None:
    async with controller(server, client, status):
        outcome = await handler_outcome(client, OWNER, "node1", SHORT, scheduled_within=SHORT)
    if fault is None:
        assert outcome.fault is None and "has not started within 0 s" in outcome.skipped
    else:
        assert outcome.fault is not None and outcome.fault.probe == "guest" and fault in outcome.fault.message
    assert [guest for guest in guests(server) if "deletionTimestamp" not in guest["metadata"]] == []


async def test_a_handler_that_does_not_end_the_guest_fails(server: FakeApiServer, client: KubeClient) -> None:
    async with controller(server, client, {"phase": "Running", "nodeName": "node1"}, ends=False):
        fault = (await handler_outcome(client, OWNER, "node1", 1.0)).fault
    assert fault is not None and "is still there 1 s after its deletion" in fault.message


async def test_a_guest_that_is_refused_is_no_fault_and_the_reason_is_kept(
    server: FakeApiServer, client: KubeClient
) -> None:
    def admit(_place: Place, _body: Any) -> None:
        raise Refused(403, "Forbidden", "a policy of somebody else")

    server.admit = admit
    outcome = await controller_outcome(client, OWNER, LIMIT)
    assert outcome.fault is None and "a policy of somebody else" in outcome.skipped


async def test_a_failure_of_the_api_server_that_passes_is_no_refusal(server: FakeApiServer, client: KubeClient) -> None:
    failures = iter([Refused(500, "InternalError", "etcdserver: request timed out")])

    def fault(method: str, place: Place) -> None:
        if method == "POST" and place.plural == PLACE.plural and (failure := next(failures, None)) is not None:
            raise failure

    server.fault = fault
    async with controller(server, client):
        assert await controller_outcome(client, OWNER, LIMIT) == Outcome()


async def test_a_webhook_that_is_down_is_a_refusal_and_an_api_server_that_is_down_is_not(
    server: FakeApiServer, client: KubeClient
) -> None:
    down = {"POST"}

    def fault(method: str, place: Place) -> None:
        if method in down and place.plural == PLACE.plural:
            raise Refused(500, "InternalError", "failed calling webhook")

    server.fault = fault
    assert "failed calling webhook" in (await controller_outcome(client, OWNER, LIMIT)).skipped
    down.add("DELETE")
    with pytest.raises(Unavailable):
        await controller_outcome(client, OWNER, LIMIT)


async def test_an_api_server_that_does_not_list_is_no_defect(
    server: FakeApiServer, client: KubeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guest, "_SYNCED_WITHIN", SHORT)
    await server.down()
    with pytest.raises(Unavailable, match="has not listed"):
        await controller_outcome(client, OWNER, LIMIT)


async def test_what_another_process_has_left_is_deleted_and_nothing_else(
    server: FakeApiServer, client: KubeClient
) -> None:
    await client.create(VIRTUAL_MACHINE_INSTANCES, "kubevirt", body_of(OWNER, {}))
    other = {"metadata": {"name": "vm1", "namespace": "kubevirt"}, "spec": {}}
    await client.create(VIRTUAL_MACHINE_INSTANCES, "kubevirt", other)
    await delete_left(client, "kubevirt")
    assert [guest["metadata"]["name"] for guest in guests(server)] == ["vm1"]


def strangers() -> list[dict[str, Any]]:
    """Users' guests with the label: elsewhere, with another name, of another owner, and owned by the suite only by
    name."""
    own = body_of(OWNER, {})
    meta = own["metadata"]
    owner = {"apiVersion": "apps/v1", "kind": "KubeVirt", "name": "kubevirt", "uid": "uid-1"}
    other = {"name": f"{meta['name']}x"}
    changes = (
        {"namespace": "default"},
        {"name": "vm1"},
        {"ownerReferences": []},
        {"ownerReferences": [owner], **other},
    )
    return [
        {**own, "metadata": {**meta, "name": f"{meta['name']}{number}", **change}}
        for number, change in enumerate(changes)
    ]


async def test_a_users_guest_with_the_label_is_not_deleted_and_keeps_the_suite_from_being_removed(
    server: FakeApiServer, client: KubeClient
) -> None:
    for number in range(3):
        await client.create(VIRTUAL_MACHINE_INSTANCES, "kubevirt", body_of(OWNER, {}))
        assert await any_workload(client, "kubevirt") is None, f"{number} guests of the suite's own"
    for body in strangers():
        meta = body["metadata"]
        await client.create(VIRTUAL_MACHINE_INSTANCES, meta["namespace"], body)
        await delete_left(client, "kubevirt")
        assert await any_workload(client, "kubevirt") == f"VirtualMachineInstance {meta['namespace']}/{meta['name']}"
        await client.delete(VIRTUAL_MACHINE_INSTANCES, meta["namespace"], meta["name"])
    assert await any_workload(client, "kubevirt") is None


async def test_a_virtual_machine_with_the_label_keeps_the_suite_from_being_removed(
    server: FakeApiServer, client: KubeClient
) -> None:
    meta = {"name": "vm1", "namespace": "kubevirt", "labels": {UPGRADE_PROBE: ""}}
    await client.create(VIRTUAL_MACHINES, "kubevirt", {"metadata": meta})
    assert await any_workload(client, "kubevirt") == "VirtualMachine kubevirt/vm1"


def test_the_guest_is_one_that_virt_api_admits_and_it_is_labelled_and_owned() -> None:
    affinity, tolerations = on_node("node1"), [{"operator": "Exists"}]
    for spec in ({"schedulerName": "kubevirt-upgrade-probe"}, {"affinity": affinity, "tolerations": tolerations}):
        body = body_of(OWNER, spec)
        assert admit_create(body, Configuration(), is_own_account=False) == ()
    meta = body["metadata"]
    assert UPGRADE_PROBE in meta["labels"] and meta["ownerReferences"][0]["uid"] == "uid-1"
