"""What others leave in the cluster cannot hold a VirtualMachine for ever."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from virt_controller.actions import LookAgain
from virt_controller.failure import Failure
from virt_controller.vm.actions import CreateInstance
from virt_controller.vm.observe import Observed
from virt_controller.vm.plan import plan
from virt_core.kube.client import KubeClient, Object
from virt_core.kube.resource import VIRTUAL_MACHINE_INSTANCES, VIRTUAL_MACHINES
from virt_core.testing.api_server import FakeApiServer
from virt_core.testing.place import Place
from virt_core.testing.refused import Refused
from virt_core.vm.virtual_machine import VirtualMachine

from tests.unit.controller.vm_world import KEY, TEMPLATE, VmWorld

_OURS = "kubevirt.io/virtualMachineControllerFinalize"
_VMI = Place.parse(VIRTUAL_MACHINE_INSTANCES.path(*KEY))


@pytest.mark.parametrize("number", ["9" * 19, "9" * 5000])
async def test_a_generation_beyond_64_bits_reads_as_unknown(
    server: FakeApiServer, client: KubeClient, number: str
) -> None:
    world = VmWorld(server)
    await world.settle(client)
    server.store.merge_patch(_VMI, {"metadata": {"annotations": {"kubevirt.io/vm-generation": number}}})
    world.edit("128Mi")
    await world.settle(client)
    assert world.status["observedGeneration"] == 0
    world.delete()
    await world.settle(client)
    assert world.vm is None


async def test_an_instance_of_a_former_namesake_is_released_when_it_ends(
    server: FakeApiServer, client: KubeClient
) -> None:
    owner = {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachine",
        "name": "guest",
        "uid": "old",
        "controller": True,
    }
    meta = {"name": "guest", "ownerReferences": [owner], "finalizers": [_OURS]}
    server.put(VIRTUAL_MACHINE_INSTANCES.path("ns"), {"metadata": meta, "spec": TEMPLATE["spec"], "status": {}})
    world = VmWorld(server)
    world.report("Running")
    await world.settle(client)
    world.delete_vmi()
    await world.settle(client)
    assert _OURS in world.vmi["metadata"]["finalizers"]
    world.finish_deletion()
    await world.settle(client)
    assert world.vmi["metadata"]["ownerReferences"][0]["uid"] == world.vm["metadata"]["uid"]


async def test_an_orphan_that_is_being_deleted_is_released_for_a_new_namesake(
    server: FakeApiServer, client: KubeClient
) -> None:
    meta = {"name": "guest", "finalizers": [_OURS]}
    server.put(VIRTUAL_MACHINE_INSTANCES.path("ns"), {"metadata": meta, "spec": TEMPLATE["spec"], "status": {}})
    world = VmWorld(server)
    world.delete_vmi()
    await world.settle(client)
    assert world.vmi["metadata"]["ownerReferences"][0]["uid"] == world.vm["metadata"]["uid"]


async def test_adoption_keeps_other_owners(server: FakeApiServer, client: KubeClient) -> None:
    other = {"apiVersion": "v1", "kind": "ConfigMap", "name": "backup", "uid": "b"}
    body = {"metadata": {"name": "guest", "ownerReferences": [other]}, "spec": TEMPLATE["spec"], "status": {}}
    server.put(VIRTUAL_MACHINE_INSTANCES.path("ns"), body)
    world = VmWorld(server)
    await world.settle(client)
    first, second = world.vmi["metadata"]["ownerReferences"]
    assert first == other
    assert (second["uid"], second["controller"]) == (world.vm["metadata"]["uid"], True)


async def test_an_adopted_instance_of_a_former_namesake_is_compared_with_the_new_template(
    server: FakeApiServer, client: KubeClient
) -> None:
    world = VmWorld(server)
    await world.settle(client)
    world.report("Running")
    await world.settle(client)
    world.delete(orphan=True)
    await world.settle(client)
    world.orphan()
    assert world.vm is None
    template = {**TEMPLATE, "spec": {**TEMPLATE["spec"], "domain": {"devices": {}, "memory": {"guest": "128Mi"}}}}
    again = VmWorld(server, template=template)
    await again.settle(client)
    assert again.condition("RestartRequired")["message"].endswith("domain.memory.guest")


async def test_a_condition_of_the_instance_cannot_repeat_one_of_the_virtual_machines_own(
    server: FakeApiServer, client: KubeClient
) -> None:
    world = VmWorld(server)
    await world.settle(client)
    ours = [{"type": "RestartRequired", "status": "True"}, {"type": "Failure", "status": "True"}]
    world.report("Running", conditions=ours)
    world.edit("128Mi")
    await world.settle(client)
    types = [condition["type"] for condition in world.status["conditions"]]
    assert types == ["Ready", "RestartRequired"]


async def test_a_refused_start_leaves_no_revision(server: FakeApiServer, client: KubeClient) -> None:
    world = VmWorld(server)

    def admit(place: Place, _: Object) -> None:
        if place.plural == VIRTUAL_MACHINE_INSTANCES.plural:
            raise Refused(403, "Forbidden", "exceeded quota")

    server.admit = admit
    for _ in ("finalizer", "attempt"):
        await world.overtake(client, lambda: None)
    assert world.condition("Failure")["reason"] == "FailedCreate"
    assert world.revisions == []


async def test_an_instance_is_released_while_another_finalizer_holds_its_orphaning_virtual_machine(
    server: FakeApiServer, client: KubeClient
) -> None:
    world = VmWorld(server)
    world.hold()
    await world.settle(client)
    world.report("Running")
    world.delete(orphan=True)
    await world.settle(client)
    world.orphan()
    world.delete_vmi()
    world.finish_deletion()
    await world.settle(client)
    assert world.vm is not None
    assert world.vmi is None


async def test_attempts_become_rarer_although_each_refusal_has_other_words(
    server: FakeApiServer, client: KubeClient
) -> None:
    world = VmWorld(server)
    await world.settle(client)
    vm = VirtualMachine.of(world.vm)
    since = {
        "type": "Failure",
        "status": "True",
        "reason": "FailedCreate",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    vm = vm.with_status({"conditions": [since]})
    tried = datetime(2026, 1, 1, 1, tzinfo=UTC)
    failure = Failure("FailedCreate", "exceeded quota: used 7", tried)
    observed = Observed(vm, vm.spec, vm.status, None, tried, 0.0, failure=failure)
    later = replace(observed, now=tried + timedelta(seconds=3))
    assert plan(later)[-1] == LookAgain(57.0)
    assert isinstance(plan(replace(observed, now=tried + timedelta(seconds=60)))[0], CreateInstance)


async def test_a_deleted_one_goes_although_its_spec_cannot_be_read(server: FakeApiServer, client: KubeClient) -> None:
    world = VmWorld(server)
    await world.settle(client)
    server.patch(VIRTUAL_MACHINES.path(*KEY), {"spec": {"runStrategy": 5}})
    world.delete()
    await world.settle(client)
    world.finish_deletion()
    await world.settle(client)
    assert world.vm is None
