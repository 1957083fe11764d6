"""What a VirtualMachine makes of its instance type and its preference: kept once, applied at each start."""

from __future__ import annotations

from typing import Any

import pytest
from virt_core.kube.client import KubeClient
from virt_core.kube.resource import CONTROLLER_REVISIONS, VIRTUAL_MACHINES
from virt_core.testing.api_server import FakeApiServer
from virt_core.testing.place import Place

from tests.unit.controller.vm_world import VmWorld

OPEN: dict[str, Any] = {"spec": {"domain": {"devices": {}, "firmware": {"uuid": "f"}}}}
VM = Place.parse(VIRTUAL_MACHINES.path("ns", "guest"))
NAME = "instancetype.kubevirt.io/object-name"


@pytest.fixture
def world(server: FakeApiServer) -> VmWorld:
    made = VmWorld(server, "Halted", OPEN)
    made.choose(instancetype="small")
    return made


def sockets(vmi: Any) -> int:
    return int(vmi["spec"]["domain"]["cpu"]["sockets"])


async def test_a_halted_one_keeps_its_objects_once_and_records_them_in_its_status(
    client: KubeClient, world: VmWorld
) -> None:
    world.size("small", 2)
    world.prefer("linux", preferredDiskBus="virtio")
    world.choose(preference="linux")
    await world.settle(client)
    ref = world.status["instancetypeRef"]
    assert (ref["name"], ref["kind"]) == ("small", "VirtualMachineClusterInstancetype")
    kept = world.revision(ref["controllerRevisionRef"]["name"])
    meta = kept["data"]["metadata"]
    assert kept["metadata"]["name"] == f"guest-small-v1beta1-{meta['uid']}-{meta['generation']}"
    assert kept["metadata"]["labels"] == {
        "instancetype.kubevirt.io/object-generation": "1",
        "instancetype.kubevirt.io/object-kind": "VirtualMachineClusterInstancetype",
        NAME: "small",
        "instancetype.kubevirt.io/object-uid": meta["uid"],
        "instancetype.kubevirt.io/object-version": "v1beta1",
    }
    assert kept["metadata"]["ownerReferences"][0]["uid"] == world.vm["metadata"]["uid"]
    assert kept["data"]["spec"]["cpu"] == {"guest": 2} and not {"labels", "annotations"} & meta.keys()
    assert world.status["preferenceRef"]["name"] == "linux"
    assert world.vm["spec"]["instancetype"] == {"name": "small"}
    assert len(world.revisions) == 2 and world.vmi is None


async def test_a_guest_starts_with_both_and_with_their_names(client: KubeClient, world: VmWorld) -> None:
    world.size("small", 2)
    world.prefer("linux", preferredInterfaceModel="e1000")
    world.choose(preference="linux")
    world.switch("Always")
    await world.settle(client)
    domain, annotations = world.vmi["spec"]["domain"], world.vmi["metadata"]["annotations"]
    assert (sockets(world.vmi), domain["memory"]) == (2, {"guest": "64Mi"})
    assert domain["devices"]["interfaces"][0]["model"] == "e1000"
    assert annotations["kubevirt.io/cluster-instancetype-name"] == "small"
    assert annotations["kubevirt.io/cluster-preference-name"] == "linux"
    started = world.revision(world.vmi["status"]["virtualMachineRevisionName"])["data"]["spec"]
    for role in ("instancetype", "preference"):
        assert started[role]["revisionName"] == world.status[f"{role}Ref"]["controllerRevisionRef"]["name"]


async def test_an_edit_or_a_deletion_of_the_instance_type_does_not_reach_it(client: KubeClient, world: VmWorld) -> None:
    world.size("small", 2)
    await world.settle(client)
    world.size("small", 4)
    world.switch("Always")
    await world.settle(client)
    assert sockets(world.vmi) == 2
    world.withdraw("small")
    world.request("restart")
    await world.settle(client)
    world.finish_deletion()
    await world.settle(client)
    assert sockets(world.vmi) == 2 and not world.condition("Failure")


@pytest.mark.parametrize("role", ["instancetype", "preference"])
async def test_a_missing_object_is_named_and_the_guest_starts_when_it_appears(
    role: str, client: KubeClient, world: VmWorld
) -> None:
    world.choose(instancetype=None)
    world.choose(**{role: "late"})
    world.switch("Always")
    await world.settle(client)
    failure = world.condition("Failure")
    assert failure["reason"] == f"FailedFind{role.capitalize()}"
    assert failure["message"] == f'virtualmachinecluster{role}s.instancetype.kubevirt.io "late" not found'
    assert (world.status["printableStatus"], world.vmi) == ("Stopped", None)
    assert world.events == [failure["reason"]]
    if role == "instancetype":
        world.size("late", 2)
    else:
        world.prefer("late", preferredDiskBus="virtio")
    await world.settle(client)
    assert world.vmi is not None and not world.condition("Failure")


async def test_a_running_guest_can_be_stopped_although_its_new_instance_type_is_missing(
    client: KubeClient, world: VmWorld
) -> None:
    world.size("small", 2)
    world.switch("Always")
    await world.settle(client)
    world.report("Running")
    world.choose(instancetype="missing")
    await world.settle(client)
    assert world.condition("Failure")["reason"] == "FailedFindInstancetype"
    world.switch("Halted")
    await world.settle(client)
    assert world.vmi["metadata"]["deletionTimestamp"]


async def test_another_instance_type_needs_a_restart_and_replaces_the_reference(
    client: KubeClient, world: VmWorld
) -> None:
    world.size("small", 2)
    world.size("large", 4)
    world.switch("Always")
    await world.settle(client)
    world.report("Running")
    await world.settle(client)
    assert not world.condition("RestartRequired")
    world.choose(instancetype="large")
    await world.settle(client)
    assert "domain.cpu.sockets" in world.condition("RestartRequired")["message"]
    ref = world.status["instancetypeRef"]
    assert world.revision(ref["controllerRevisionRef"]["name"])["metadata"]["labels"][NAME] == "large"
    world.choose(instancetype="small")
    await world.settle(client)
    assert not world.condition("RestartRequired")


async def test_a_revision_in_the_spec_wins(client: KubeClient, world: VmWorld, server: FakeApiServer) -> None:
    data = {"kind": "VirtualMachineClusterInstancetype", "spec": {"cpu": {"guest": 3}, "memory": {"guest": "64Mi"}}}
    server.put(CONTROLLER_REVISIONS.path("ns"), {"metadata": {"name": "mine"}, "data": data})
    world.size("small", 2)
    server.store.merge_patch(VM, {"spec": {"runStrategy": "Always", "instancetype": {"revisionName": "mine"}}})
    await world.settle(client)
    assert sockets(world.vmi) == 3 and "instancetypeRef" not in world.status


async def test_a_foreign_revision_of_the_same_name_is_an_error_that_names_it(
    client: KubeClient, world: VmWorld, server: FakeApiServer
) -> None:
    world.size("small", 2)
    await world.settle(client)
    name = world.status["instancetypeRef"]["controllerRevisionRef"]["name"]
    server.store.merge_patch(VM, {"status": {"instancetypeRef": None}})
    foreign = {"cpu": {"guest": 8}, "memory": {"guest": "1Gi"}}
    server.patch(CONTROLLER_REVISIONS.path("ns", name), {"data": {"spec": foreign}})
    world.switch("Always")
    await world.settle(client)
    failure = world.condition("Failure")
    assert failure["reason"] == "FailedCreate"
    assert failure["message"] == f"found existing ControllerRevision with unexpected data: {name}"
    assert world.vmi is None


async def test_a_template_that_conflicts_is_not_started_and_the_field_is_named(
    client: KubeClient, world: VmWorld, server: FakeApiServer
) -> None:
    world.size("small", 2)
    server.store.merge_patch(VM, {"spec": {"template": {"spec": {"domain": {"memory": {"guest": "1Gi"}}}}}})
    world.switch("Always")
    await world.settle(client)
    assert "spec.template.spec.domain.memory.guest" in world.condition("Failure")["message"]
    assert world.vmi is None and world.revisions == []


@pytest.mark.parametrize("policy", ["expand", "expandAll"])
async def test_a_policy_that_expands_rewrites_the_template_of_a_new_one(
    policy: str, client: KubeClient, world: VmWorld
) -> None:
    world.configure(policy)
    world.size("small", 2)
    world.switch("Always")
    await world.settle(client)
    spec = world.vm["spec"]
    assert "instancetype" not in spec
    assert spec["template"]["spec"]["domain"]["cpu"]["sockets"] == sockets(world.vmi) == 2
    assert [name for name in world.revisions if not name.startswith("revision-start")] == []


@pytest.mark.parametrize(("policy", "expands"), [("expand", False), ("expandAll", True)])
async def test_only_expand_all_expands_what_is_kept_already(
    policy: str, expands: bool, client: KubeClient, world: VmWorld
) -> None:
    world.size("small", 2)
    await world.settle(client)
    world.size("small", 4)
    world.configure(policy)
    await world.settle(client)
    assert ("instancetype" not in world.vm["spec"]) is expands
    assert ("instancetypeRef" not in world.status) is expands
    assert (world.revisions == []) is expands
    world.switch("Always")
    await world.settle(client)
    assert sockets(world.vmi) == 2


async def test_nothing_is_read_for_a_machine_about_which_nothing_is_to_be_done(
    client: KubeClient, world: VmWorld
) -> None:
    world.size("small", 2)
    await world.settle(client)
    before = len(world.server.requests)
    await world.settle(client)
    later = {path for _, path in world.server.requests[before:]}
    assert not [path for path in later if "controllerrevisions" in path or path.endswith("/guest")]
