"""A VirtualMachine's printableStatus and conditions, in KubeVirt's order of precedence."""

from __future__ import annotations

from typing import Any

import pytest
from virt_core.kube.client import KubeClient, Object
from virt_core.kube.resource import VIRTUAL_MACHINE_INSTANCES
from virt_core.testing.api_server import FakeApiServer
from virt_core.testing.place import Place
from virt_core.testing.refused import Refused

from tests.unit.controller.vm_world import VmWorld


def condition(kind: str, status: str, reason: str = "") -> dict[str, Any]:
    return {"type": kind, "status": status, "reason": reason, "message": "why"}


UNSCHEDULABLE = condition("PodScheduled", "False", "Unschedulable")
NO_CLAIM = condition("Synchronized", "False", "FailedPvcNotFound")
PULL = condition("Synchronized", "False", "ErrImagePull")
BACKOFF = condition("Synchronized", "False", "ImagePullBackOff")
OTHER = condition("Synchronized", "False", "FailedCreate")
UNBOUND = {"volumeStatus": [{"name": "root", "target": "", "phase": "Pending"}]}


@pytest.mark.parametrize(
    ("phase", "status", "word"),
    [
        ("Running", {"conditions": [condition("Paused", "True")]}, "Paused"),
        ("Running", {"conditions": [condition("Paused", "False")]}, "Running"),
        ("Running", {"conditions": [PULL, UNSCHEDULABLE]}, "Running"),
        ("Pending", {"conditions": [NO_CLAIM, UNSCHEDULABLE]}, "ErrorPvcNotFound"),
        ("Scheduling", {"conditions": [UNSCHEDULABLE, PULL], **UNBOUND}, "ErrorUnschedulable"),
        ("Pending", UNBOUND, "WaitingForVolumeBinding"),
        ("Scheduling", {**UNBOUND, "conditions": [PULL]}, "WaitingForVolumeBinding"),
        ("Scheduling", {**UNBOUND, "nodeName": "node1"}, "Starting"),
        ("Scheduling", {"conditions": [PULL]}, "ErrImagePull"),
        ("Scheduled", {"conditions": [BACKOFF]}, "ImagePullBackOff"),
        ("Pending", {"conditions": [OTHER]}, "Starting"),
        ("Scheduled", {}, "Starting"),
        ("Migrating", {}, "Unknown"),
    ],
)
async def test_the_printable_status_is_the_first_that_applies(
    server: FakeApiServer, client: KubeClient, phase: str, status: dict[str, Any], word: str
) -> None:
    world = VmWorld(server)
    await world.settle(client)
    world.report(phase, **status)
    await world.settle(client)
    assert world.status["printableStatus"] == word


async def test_a_deletion_comes_before_what_the_guest_does(server: FakeApiServer, client: KubeClient) -> None:
    world = VmWorld(server)
    await world.settle(client)
    world.report("Running", conditions=[condition("Paused", "True")])
    world.delete_vmi()
    await world.settle(client)
    assert world.status["printableStatus"] == "Stopping"
    world.delete()
    await world.settle(client)
    assert world.status["printableStatus"] == "Terminating"


async def test_reasons_of_an_image_that_cannot_be_pulled_alternate(server: FakeApiServer, client: KubeClient) -> None:
    world = VmWorld(server)
    await world.settle(client)
    words = []
    for reason in (PULL, BACKOFF, PULL, BACKOFF):
        world.report("Scheduling", conditions=[reason])
        await world.settle(client)
        words.append(world.status["printableStatus"])
    assert words == ["ErrImagePull", "ImagePullBackOff"] * 2


def types(world: VmWorld) -> dict[str, tuple[str, str]]:
    """Status and message of each condition."""
    return {found["type"]: (found["status"], found.get("message", "")) for found in world.status["conditions"]}


async def test_conditions_of_the_guest_are_copied_changed_and_go_with_it(
    server: FakeApiServer, client: KubeClient
) -> None:
    world = VmWorld(server, "Manual")
    await world.settle(client)
    assert types(world) == {"Ready": ("False", "VMI does not exist")}
    assert "runStrategy" not in world.status
    world.request("start")
    await world.settle(client)
    assert types(world) == {"Ready": ("False", "VMI is missing the Ready condition")}
    ready, agent = condition("Ready", "True"), condition("AgentConnected", "True")
    world.report("Running", conditions=[ready, agent, condition("Paused", "True")])
    await world.settle(client)
    assert types(world) == {"AgentConnected": ("True", "why"), "Paused": ("True", "why"), "Ready": ("True", "why")}
    assert (world.status["created"], world.status["ready"]) == (True, True)
    assert world.status["runStrategy"] == "Manual"
    world.report("Running", conditions=[{**ready, "status": "False"}, {**agent, "message": "another"}])
    await world.settle(client)
    assert types(world) == {"AgentConnected": ("True", "another"), "Ready": ("False", "why")}
    assert (world.status["created"], world.status.get("ready", False)) == (True, False)
    world.request("stop")
    await world.settle(client)
    world.finish_deletion()
    await world.settle(client)
    assert types(world) == {"Ready": ("False", "VMI does not exist")}
    assert not world.status.get("created") and not world.status.get("ready")
    assert world.status["runStrategy"] == "Manual"


async def test_a_refused_start_is_in_a_condition_until_it_succeeds(server: FakeApiServer, client: KubeClient) -> None:
    world = VmWorld(server)
    admits = server.admit

    def admit(place: Place, _: Object) -> None:
        if place.plural == VIRTUAL_MACHINE_INSTANCES.plural:
            raise Refused(403, "Forbidden", "exceeded quota")

    server.admit = admit
    for _ in range(2):
        await world.overtake(client, lambda: None)
    failure = world.condition("Failure")
    assert (failure["status"], failure["reason"]) == ("True", "FailedCreate")
    assert "exceeded quota" in failure["message"]
    assert world.status["printableStatus"] == "Stopped"
    server.admit = admits
    await world.settle(client)
    assert not world.condition("Failure")
    assert world.status["printableStatus"] == "Starting"


async def test_a_guest_without_a_uuid_in_its_template_has_the_same_at_each_start(
    server: FakeApiServer, client: KubeClient
) -> None:
    spec = {"domain": {"devices": {}, "memory": {"guest": "64Mi"}, "machine": {"type": "pc-q35-7.2"}}}
    world = VmWorld(server, template={"spec": spec})  # the webhook was away
    domains = []
    for _ in range(2):
        await world.settle(client)
        domains.append(world.vmi["spec"]["domain"])
        world.report("Running")
        world.delete_vmi()
        await world.settle(client)
        world.finish_deletion()
    assert domains[0] == domains[1]
    assert domains[0]["firmware"]["uuid"] and domains[0]["machine"] == {"type": "pc-q35-7.2"}


@pytest.mark.parametrize(("strategy", "word"), [("Always", "CrashLoopBackOff"), ("Once", "Stopped")])
async def test_a_start_that_failed_early_is_a_crash_loop_where_another_follows(
    server: FakeApiServer, client: KubeClient, strategy: str, word: str
) -> None:
    world = VmWorld(server, strategy)
    await world.settle(client)
    world.report("Failed")
    await world.settle(client)
    assert world.status["printableStatus"] == word
