"""ControllerRevisions in which older releases of KubeVirt keep instance types and preferences are replaced."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import pytest
from virt_core.kube.client import KubeClient
from virt_core.kube.resource import CONTROLLER_REVISIONS, VIRTUAL_MACHINES
from virt_core.testing.api_server import FakeApiServer
from virt_core.testing.place import Place

from tests.unit.controller.vm_world import VmWorld

OPEN: dict[str, Any] = {"spec": {"domain": {"devices": {}, "firmware": {"uuid": "f"}}}}
VM = Place.parse(VIRTUAL_MACHINES.path("ns", "guest"))
GROUP = "instancetype.kubevirt.io"
SPECS = {
    "instancetype": {"cpu": {"guest": 3}, "memory": {"guest": "64Mi"}},
    "preference": {"cpu": {"preferredCPUTopology": "preferThreads"}},
}
NAMES = {"instancetype": "small", "preference": "linux"}


def kind(role: str) -> str:
    return f"VirtualMachineCluster{role.capitalize()}"


def data(role: str, version: str) -> dict[str, Any]:
    """What the ControllerRevision holds. v1alpha1 began with the spec alone, as a text."""
    if version == "spec":
        text = b64encode(json.dumps(SPECS[role]).encode()).decode()
        return {"apiVersion": f"{GROUP}/v1alpha1", "spec": text}
    metadata = {"name": NAMES[role], "uid": "old-uid", "generation": 7}
    return {"apiVersion": f"{GROUP}/{version}", "kind": kind(role), "metadata": metadata, "spec": SPECS[role]}


async def with_older(server: FakeApiServer, client: KubeClient, strategy: str, **versions: str) -> VmWorld:
    """A VirtualMachine whose objects are in ControllerRevisions of these versions. An edit of the objects since then is
    not its own."""
    world = VmWorld(server, strategy, OPEN)
    world.size("small", 1)
    world.prefer("linux", preferredDiskBus="virtio")
    status = {}
    for role, version in versions.items():
        meta = {"name": f"guest-{NAMES[role]}-old-uid-7"}
        server.put(CONTROLLER_REVISIONS.path("ns"), {"metadata": meta, "data": data(role, version)})
        ref = {"name": NAMES[role], "kind": kind(role), "controllerRevisionRef": {"name": meta["name"]}}
        status[f"{role}Ref"] = ref
    world.choose(**{role: NAMES[role] for role in versions})
    server.store.merge_patch(VM, {"status": status})
    await world.settle(client)
    return world


@pytest.mark.parametrize("version", ["v1beta1", "v1alpha2", "v1alpha1", "spec"])
@pytest.mark.parametrize("role", ["instancetype", "preference"])
async def test_one_of_an_older_release_is_replaced_by_one_with_todays_labels(
    server: FakeApiServer, client: KubeClient, role: str, version: str
) -> None:
    world = await with_older(server, client, "Halted", **{role: version})
    (name,) = world.revisions
    assert name.startswith(f"guest-{NAMES[role]}-v1beta1-")
    assert world.status[f"{role}Ref"]["controllerRevisionRef"]["name"] == name
    found = world.revision(name)
    assert found["metadata"]["labels"][f"{GROUP}/object-version"] == "v1beta1"
    assert found["metadata"]["labels"][f"{GROUP}/object-name"] == NAMES[role]
    assert found["metadata"]["ownerReferences"][0]["uid"] == world.vm["metadata"]["uid"]
    assert (found["data"]["apiVersion"], found["data"]["kind"]) == (f"{GROUP}/v1beta1", kind(role))
    assert found["data"]["spec"] == SPECS[role]
    assert not world.condition("Failure")


async def test_a_guest_starts_with_what_the_older_ones_hold(server: FakeApiServer, client: KubeClient) -> None:
    world = await with_older(server, client, "Always", instancetype="spec", preference="v1alpha2")
    assert world.vmi["spec"]["domain"]["cpu"] == {"sockets": 1, "cores": 1, "threads": 3}
    assert len(world.revisions) == 3  # with that of the start


async def test_an_older_one_stays_until_the_guest_that_was_started_with_it_is_gone(
    server: FakeApiServer, client: KubeClient
) -> None:
    world = await with_older(server, client, "Always", instancetype="v1beta1")
    world.report("Running")
    await world.settle(client)
    started = world.vmi["status"]["virtualMachineRevisionName"]
    current = world.status["instancetypeRef"]["controllerRevisionRef"]["name"]
    older = "guest-small-old-uid-7"
    held = {**data("instancetype", "v1alpha2"), "spec": SPECS["instancetype"]}
    server.put(CONTROLLER_REVISIONS.path("ns"), {"metadata": {"name": older}, "data": held})
    server.patch(
        CONTROLLER_REVISIONS.path("ns", started), {"data": {"spec": {"instancetype": {"revisionName": older}}}}
    )
    server.store.merge_patch(VM, {"status": {"instancetypeRef": {"controllerRevisionRef": {"name": older}}}})
    world.edit("128Mi")
    server.store.merge_patch(VM, {"spec": {"template": {"spec": {"domain": {"memory": None}}}}})
    await world.settle(client)
    assert older in world.revisions and not world.condition("RestartRequired")
    world.switch("Halted")
    await world.settle(client)
    world.finish_deletion()
    await world.settle(client)
    assert world.revisions == [current]
    assert world.status["instancetypeRef"]["controllerRevisionRef"]["name"] == current


async def test_a_revision_of_another_kind_of_owner_is_not_used_replaced_or_deleted(
    server: FakeApiServer, client: KubeClient
) -> None:
    world = VmWorld(server, "Halted", OPEN)
    foreign = {"metadata": {"name": "web-5d8f"}, "data": {"spec": {"template": {"$patch": "replace"}}}}
    server.put(CONTROLLER_REVISIONS.path("ns"), foreign)
    ref = {"name": "small", "controllerRevisionRef": {"name": "web-5d8f"}}
    world.choose(instancetype="small")
    server.store.merge_patch(VM, {"status": {"instancetypeRef": ref}})
    await world.settle(client)
    assert world.vmi is None and world.revisions == ["web-5d8f"]
    assert "web-5d8f" in world.condition("Failure")["message"]
