"""What a running guest's VirtualMachine may change: applied live, or named as what a restart applies."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest
from virt_controller.caches import Caches
from virt_controller.vm.reconcile import VmReconciler
from virt_core.kube.client import KubeClient
from virt_core.kube.events import EventRecorder
from virt_core.kube.resource import CONTROLLER_REVISIONS, KUBEVIRTS, VIRTUAL_MACHINE_INSTANCES, VIRTUAL_MACHINES
from virt_core.testing.api_server import FakeApiServer
from virt_core.testing.place import Place

from tests.unit.controller.vm_world import KEY, VmWorld

_VM = Place.parse(VIRTUAL_MACHINES.path(*KEY))
_VMI = Place.parse(VIRTUAL_MACHINE_INSTANCES.path(*KEY))
TOLERATION = {"key": "example.com/busy", "operator": "Exists"}
AFFINITY = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}}}
LIVE: list[tuple[str, Any]] = [
    ("nodeSelector", {"example.com/zone": "a"}),
    ("tolerations", [TOLERATION]),
    ("affinity", AFFINITY),
]
EVICT = "descheduler.alpha.kubernetes.io/evict"


async def running(server: FakeApiServer, client: KubeClient) -> VmWorld:
    world = VmWorld(server)
    await world.settle(client)
    world.report("Running", conditions=[{"type": "Ready", "status": "True"}])
    await world.settle(client)
    return world


def change(server: FakeApiServer, **spec: Any) -> None:
    """A user changes fields of the template's spec; None takes one away."""
    server.store.merge_patch(_VM, {"spec": {"template": {"spec": spec}}})


def annotate(server: FakeApiServer, **annotations: str | None) -> None:
    """A user changes annotations of the template."""
    server.store.merge_patch(_VM, {"spec": {"template": {"metadata": {"annotations": annotations}}}})


def roll_out(server: FakeApiServer, strategy: str) -> None:
    """An administrator."""
    spec = {"configuration": {"vmRolloutStrategy": strategy}}
    server.patch(KUBEVIRTS.path("kubevirt", "kubevirt"), {"spec": spec})


@pytest.mark.parametrize(("field", "value"), LIVE)
async def test_placement_changes_in_the_running_instance_and_is_taken_back(
    server: FakeApiServer, client: KubeClient, field: str, value: Any
) -> None:
    world = await running(server, client)
    uid = world.vmi["metadata"]["uid"]
    change(server, **{field: value})
    await world.settle(client)
    assert world.vmi["spec"][field] == value
    assert not world.condition("RestartRequired")
    assert world.status["observedGeneration"] == world.vm["metadata"]["generation"]
    change(server, **{field: None})
    await world.settle(client)
    assert field not in world.vmi["spec"]
    assert world.vmi["metadata"]["uid"] == uid
    assert not world.condition("RestartRequired")


@pytest.mark.parametrize(("field", "value"), LIVE)
async def test_placement_waits_for_a_restart_where_changes_are_staged(
    server: FakeApiServer, client: KubeClient, field: str, value: Any
) -> None:
    roll_out(server, "Stage")
    world = await running(server, client)
    change(server, **{field: value})
    await world.settle(client)
    assert field not in world.vmi["spec"]
    assert world.condition("RestartRequired")["message"].endswith(f": {field}")
    change(server, **{field: None})
    await world.settle(client)
    assert not world.condition("RestartRequired")


async def test_more_sockets_wait_for_a_restart_where_changes_are_staged(
    server: FakeApiServer, client: KubeClient
) -> None:
    roll_out(server, "Stage")
    world = await running(server, client)
    change(server, domain={"cpu": {"sockets": 2}})
    await world.settle(client)
    assert world.condition("RestartRequired")["message"].endswith(": domain.cpu")
    assert "cpu" not in world.vmi["spec"]["domain"]


async def test_a_change_that_was_staged_is_applied_when_the_cluster_updates_live(
    server: FakeApiServer, client: KubeClient
) -> None:
    roll_out(server, "Stage")
    world = await running(server, client)
    change(server, nodeSelector={"example.com/zone": "a"})
    await world.settle(client)
    roll_out(server, "LiveUpdate")
    await world.settle(client)
    assert world.vmi["spec"]["nodeSelector"] == {"example.com/zone": "a"}
    assert not world.condition("RestartRequired")


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"domain": {"cpu": {"sockets": 2}}}, "domain.cpu"),
        ({"domain": {"memory": {"guest": "128Mi"}}}, "domain.memory.guest"),
        ({"terminationGracePeriodSeconds": 1}, "terminationGracePeriodSeconds"),
        ({"volumes": [{"name": "a", "dataVolume": {"name": "a"}}]}, "volumes"),
    ],
)
async def test_any_other_change_is_named_and_nothing_is_applied_live_meanwhile(
    server: FakeApiServer, client: KubeClient, spec: dict[str, Any], field: str
) -> None:
    world = await running(server, client)
    change(server, **spec, tolerations=[TOLERATION])
    await world.settle(client)
    assert world.condition("RestartRequired")["message"] == (
        f"a non-live-updatable field was changed in the template spec: {field}"
    )
    assert "tolerations" not in world.vmi["spec"]
    world.request("restart")
    await world.settle(client)
    world.finish_deletion()
    await world.settle(client)
    assert world.vmi["spec"]["tolerations"] == [TOLERATION]
    assert not world.condition("RestartRequired")


async def test_the_uuid_that_the_guest_has_needs_no_restart_when_it_is_named(
    server: FakeApiServer, client: KubeClient
) -> None:
    world = VmWorld(server, template={"spec": {"domain": {"devices": {}, "memory": {"guest": "64Mi"}}}})
    await world.settle(client)
    world.report("Running")
    change(server, domain={"firmware": {"uuid": world.vmi["spec"]["domain"]["firmware"]["uuid"]}})
    await world.settle(client)
    assert not world.condition("RestartRequired")
    change(server, domain={"firmware": {"uuid": "another"}})
    await world.settle(client)
    assert world.condition("RestartRequired")["message"].endswith(": domain.firmware")


async def test_what_the_descheduler_reads_follows_the_template_and_nothing_else_does(
    server: FakeApiServer, client: KubeClient
) -> None:
    world = await running(server, client)
    annotate(server, **{EVICT: "true", "example.com/other": "later"})
    await world.settle(client)
    assert world.vmi["metadata"]["annotations"][EVICT] == "true"
    assert "example.com/other" not in world.vmi["metadata"]["annotations"]
    annotate(server, **{EVICT: None})
    await world.settle(client)
    assert EVICT not in world.vmi["metadata"]["annotations"]


async def test_generations_say_how_far_the_guest_has_come(server: FakeApiServer, client: KubeClient) -> None:
    world = await running(server, client)

    def seen() -> tuple[int, int, int, str]:
        status = world.status
        annotation = world.vmi["metadata"]["annotations"]["kubevirt.io/vm-generation"]
        generation = world.vm["metadata"]["generation"]
        return generation, status["desiredGeneration"], status["observedGeneration"], annotation

    first = world.vm["metadata"]["generation"]
    assert seen() == (first, first, first, str(first))
    world.switch("RerunOnFailure")
    await world.settle(client)
    assert seen() == (first + 1, first + 1, first + 1, str(first + 1))
    server.store.merge_patch(_VM, {"spec": {"template": {"metadata": {"labels": {"a": "b"}}}}})
    await world.settle(client)
    assert seen() == (first + 2, first + 2, first + 1, str(first + 1))
    world.request("restart")
    await world.settle(client)
    world.finish_deletion()
    await world.settle(client)
    assert seen() == (first + 2, first + 2, first + 2, str(first + 2))
    world.switch("Halted")
    await world.settle(client)
    world.finish_deletion()
    await world.settle(client)
    assert {"desiredGeneration", "observedGeneration"}.isdisjoint(world.status)


async def test_a_template_that_no_guest_can_have_is_not_applied_live(server: FakeApiServer, client: KubeClient) -> None:
    world = await running(server, client)
    change(server, nodeSelector={"not a label": "x"})  # the webhook was away
    await world.settle(client)
    assert "nodeSelector" not in world.vmi["spec"]
    assert world.condition("Failure")["reason"] == "AffinityChangeError"
    assert "nodeSelector" in world.condition("Failure")["message"]
    change(server, nodeSelector=None)
    await world.settle(client)
    assert not world.condition("Failure")


@dataclass
class Changed:
    """A running VirtualMachine whose memory has changed since its start, stored as it is."""

    server: FakeApiServer
    name: str

    def store(self, uid: str) -> None:
        """With its instance and its revision, which belong to a VirtualMachine of that UID."""
        owner = {
            "apiVersion": "kubevirt.io/v1",
            "kind": "VirtualMachine",
            "name": self.name,
            "uid": uid,
            "controller": True,
        }
        revision, spec = f"revision-start-vm-{uid}-0", {"domain": {"devices": {}, "memory": {"guest": "64Mi"}}}
        data = {"spec": {"runStrategy": "Always", "template": {"spec": spec}}}
        self.server.put(CONTROLLER_REVISIONS.path("ns"), {"metadata": {"name": revision}, "data": data})
        meta = {"name": self.name, "ownerReferences": [owner], "annotations": {"kubevirt.io/vm-generation": "0"}}
        status = {"phase": "Running", "virtualMachineRevisionName": revision}
        self.server.put(VIRTUAL_MACHINE_INSTANCES.path("ns"), {"metadata": meta, "spec": spec, "status": status})


async def test_revisions_are_read_once_for_each_change_of_hundreds(server: FakeApiServer, client: KubeClient) -> None:
    names = [f"vm-{index}" for index in range(300)]
    for name in names:
        meta = {"name": name, "finalizers": ["kubevirt.io/virtualMachineControllerFinalize"]}
        template = {"spec": {"domain": {"devices": {}, "memory": {"guest": "128Mi"}}}}
        server.put(VIRTUAL_MACHINES.path("ns"), {"metadata": meta, "spec": {"running": True, "template": template}})
        found = await client.get(VIRTUAL_MACHINES, "ns", name)
        Changed(server, name).store(found["metadata"]["uid"])
    caches = Caches(client, "kubevirt")
    reconciler = VmReconciler(client, caches, EventRecorder(client, "test", "test"))
    watching = asyncio.create_task(caches.run())
    try:
        await caches.wait()
        for name in names:
            await reconciler.reconcile(("ns", name))
        reads = [path for method, path in server.requests if method == "GET" and "controllerrevisions" in path]
        assert len(reads) == len(names)
        requests = len(server.requests)
        for name in names:
            await reconciler.reconcile(("ns", name))
        assert server.requests[requests:] == []
    finally:
        watching.cancel()
    found = await client.get(VIRTUAL_MACHINES, "ns", names[0])
    assert any(condition["type"] == "RestartRequired" for condition in found["status"]["conditions"])
