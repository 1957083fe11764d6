"""A VirtualMachine's printableStatus and conditions, in KubeVirt's order of precedence."""

from __future__ import annotations

from typing import Any

import pytest
from virt_core.kube.client import KubeClient
from virt_core.testing.api_server import FakeApiServer

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
