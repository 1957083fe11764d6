"""What a VirtualMachine and its VirtualMachineInstance owe each other."""

from __future__ import annotations

from virt_core.kube.client import KubeClient
from virt_core.kube.resource import CONTROLLER_REVISIONS, VIRTUAL_MACHINE_INSTANCES, VIRTUAL_MACHINES
from virt_core.testing.api_server import FakeApiServer
from virt_core.testing.place import Place

from tests.unit.controller.vm_world import TEMPLATE, VmWorld, admit_as_virt_api_does


async def test_the_instance_is_the_template_with_owner_revision_and_generation(
    server: FakeApiServer, client: KubeClient
) -> None:
    world = VmWorld(server)
    await world.settle(client)
    vm, vmi = world.vm, world.vmi
    (owner,) = vmi["metadata"]["ownerReferences"]
    assert (owner["uid"], owner["controller"], owner["blockOwnerDeletion"]) == (vm["metadata"]["uid"], True, True)
    assert vmi["metadata"]["labels"] == {"app": "guest"}
    assert vmi["metadata"]["annotations"] == {"kubevirt.io/vm-generation": "1"}
    assert vmi["spec"] == TEMPLATE["spec"]
    name = f"revision-start-vm-{vm['metadata']['uid']}-1"
    assert vmi["status"]["virtualMachineRevisionName"] == name
    assert world.revisions == [name]
    assert world.status["created"] is True and "ready" not in world.status


async def test_a_running_guest_is_reported_once_for_each_change(server: FakeApiServer, client: KubeClient) -> None:
    server.admit = admit_as_virt_api_does
    world = VmWorld(server)
    await world.settle(client)
    world.report(
        "Running", conditions=[{"type": "Ready", "status": "True"}, {"type": "AgentConnected", "status": "True"}]
    )
    await world.settle(client)
    assert world.status["printableStatus"] == "Running" and world.status["ready"] is True
    assert world.condition("AgentConnected")["status"] == "True"
    writes = [path for method, path in world.server.requests if method == "PATCH"]
    # the finalizer; created and Starting; Running
    assert len(writes) == 3


async def test_a_changed_template_needs_a_restart_and_names_the_field(
    server: FakeApiServer, client: KubeClient
) -> None:
    world = VmWorld(server)
    await world.settle(client)
    world.report("Running")
    world.edit("128Mi")
    await world.settle(client)
    assert world.condition("RestartRequired")["message"].endswith(": domain.memory.guest")
    assert (world.status["observedGeneration"], world.status["desiredGeneration"]) == (1, 2)
    world.edit("64Mi")
    await world.settle(client)
    assert not world.condition("RestartRequired")
    assert world.vmi["metadata"]["annotations"]["kubevirt.io/vm-generation"] == "3"


async def test_a_restart_takes_the_new_template_and_leaves_no_old_revision(
    server: FakeApiServer, client: KubeClient
) -> None:
    world = VmWorld(server)
    await world.settle(client)
    world.report("Running")
    world.edit("128Mi")
    world.request("restart")
    await world.settle(client)
    world.finish_deletion()
    await world.settle(client)
    assert world.vmi["spec"]["domain"]["memory"]["guest"] == "128Mi"
    assert not world.condition("RestartRequired")
    assert [name.rpartition("-")[2] for name in world.revisions] == ["2"]


async def test_a_deleted_one_goes_after_its_instance(server: FakeApiServer, client: KubeClient) -> None:
    world = VmWorld(server)
    await world.settle(client)
    world.report("Running")
    world.delete()
    await world.settle(client)
    assert world.status["printableStatus"] == "Terminating"
    assert world.vmi["metadata"]["deletionTimestamp"]
    world.finish_deletion()
    await world.settle(client)
    assert world.vmi is None
    assert world.vm is None


async def test_orphaning_leaves_the_instance_running_and_it_can_be_deleted_later(
    server: FakeApiServer, client: KubeClient
) -> None:
    world = VmWorld(server)
    await world.settle(client)
    world.report("Running")
    world.delete(orphan=True)
    await world.settle(client)
    world.orphan()
    await world.settle(client)
    assert world.vm is None
    assert not world.vmi["metadata"].get("deletionTimestamp")
    world.delete_vmi()
    world.finish_deletion()
    await world.settle(client)
    assert world.vmi is None


async def test_an_instance_without_controller_is_adopted(server: FakeApiServer, client: KubeClient) -> None:
    body = {"metadata": {"name": "guest"}, "spec": TEMPLATE["spec"], "status": {"phase": "Running"}}
    uid = server.put(VIRTUAL_MACHINE_INSTANCES.path("ns"), body)["metadata"]["uid"]
    world = VmWorld(server)
    await world.settle(client)
    assert world.vmi["metadata"]["uid"] == uid
    assert world.vmi["metadata"]["ownerReferences"][0]["uid"] == world.vm["metadata"]["uid"]
    assert world.status["printableStatus"] == "Running"


async def test_an_instance_of_another_owner_is_left_alone_and_named(server: FakeApiServer, client: KubeClient) -> None:
    owner = {"apiVersion": "v1", "kind": "Other", "name": "x", "uid": "x", "controller": True}
    body = {"metadata": {"name": "guest", "ownerReferences": [owner]}, "spec": TEMPLATE["spec"]}
    server.put(VIRTUAL_MACHINE_INSTANCES.path("ns"), body)
    world = VmWorld(server)
    await world.settle(client)
    failure = world.condition("Failure")
    assert failure["reason"] == "FailedCreate" and "another controller" in failure["message"]
    assert world.events == ["FailedCreate"]
    assert "created" not in world.status


async def test_others_finalizers_stay(server: FakeApiServer, client: KubeClient) -> None:
    world = VmWorld(server)
    world.hold()
    await world.settle(client)
    ours = "kubevirt.io/virtualMachineControllerFinalize"
    assert world.vm["metadata"]["finalizers"] == ["backup.example/hold", ours]
    world.delete()
    await world.settle(client)
    assert world.vmi is None
    assert world.vm["metadata"]["finalizers"] == ["backup.example/hold"]


async def test_annotations_and_labels_of_its_own_stay_its_own(server: FakeApiServer, client: KubeClient) -> None:
    template = {**TEMPLATE, "metadata": {"labels": {"app": "guest"}, "annotations": {"example.com/a": "template"}}}
    world = VmWorld(server, template=template)
    own = {"labels": {"example.com/own": "x"}, "annotations": {"example.com/own": "x"}}
    server.patch(VIRTUAL_MACHINES.path("ns", "guest"), {"metadata": own})
    await world.settle(client)
    meta = world.vmi["metadata"]
    assert meta["labels"] == {"app": "guest"}
    assert meta["annotations"].keys() == {"example.com/a", "kubevirt.io/vm-generation"}


async def test_one_goes_although_all_that_it_was_started_with_is_gone(
    server: FakeApiServer, client: KubeClient
) -> None:
    world = VmWorld(server, template={"spec": {"domain": {"devices": {}, "firmware": {"uuid": "f"}}}})
    world.size("small", 1)
    world.choose(instancetype="small")
    await world.settle(client)
    world.report("Running")
    world.withdraw("small")
    for name in world.revisions:
        server.store.remove(Place.parse(CONTROLLER_REVISIONS.path("ns", name)))
    world.delete()
    await world.settle(client)
    world.finish_deletion()
    await world.settle(client)
    assert (world.vmi, world.vm) == (None, None)
