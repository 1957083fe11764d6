"""Until the copy starts nobody waits for a handler for ever: the guest stays, and the target pod goes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from virt_core.kube.client import KubeClient
from virt_core.kube.resource import PODS, VIRTUAL_MACHINE_INSTANCE_MIGRATIONS
from virt_core.objects.meta import rfc3339
from virt_core.testing.api_server import FakeApiServer

from tests.unit.controller.migration_world import JOB, MigrationWorld, handed_off

READY = {"targetNodeAddress": "10.0.0.2", "targetCertificateAuthority": "PEM"}


async def preparing(server: FakeApiServer, client: KubeClient, **state: Any) -> MigrationWorld:
    world = await handed_off(server, client)
    if state:
        world.report(**state)
        await world.settle(client)
    return world


def long_ago(server: FakeApiServer, world: MigrationWorld) -> None:
    """As if the migration had been handed off an hour ago."""
    moments = world.job["status"]["phaseTransitionTimestamps"]
    earlier = [{**moment, "phaseTransitionTimestamp": "2026-01-01T00:00:00Z"} for moment in moments]
    path = VIRTUAL_MACHINE_INSTANCE_MIGRATIONS.path(*JOB)
    server.patch(path, {"status": {"phaseTransitionTimestamps": earlier}})


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ({}, "virt-handler on node node1 has not reported the source's identity within 300 s"),
        ({"sourceCertificateAuthority": "PEM"}, "virt-handler on node node2 has not prepared the target within 300 s"),
        (
            {"sourceCertificateAuthority": "PEM", **READY},
            "virt-handler on node node1 has not started the copy within 300 s",
        ),
    ],
)
async def test_a_handler_that_does_not_answer_ends_the_migration_and_is_named(
    server: FakeApiServer, client: KubeClient, state: dict[str, Any], reason: str
) -> None:
    world = await preparing(server, client, **state)
    assert world.phase == ("TargetReady" if "targetNodeAddress" in state else "PreparingTarget")
    long_ago(server, world)
    await world.settle(client)
    assert world.phase == "Failed"
    assert world.condition("Failure")["message"] == world.state["failureReason"] == reason
    assert world.state["completed"] and world.state["startTimestamp"] and world.state["endTimestamp"]
    assert {"FailedMigration", "Migrated"} <= set(world.reasons)
    world.remove_deleted_pods()
    await world.settle(client)
    assert list(world.pods) == ["source"] and world.vmi["status"]["activePods"] == {"source": "node1"}
    assert world.vmi["status"]["phase"] == "Running"


async def test_a_copy_that_starts_at_the_deadline_goes_on(server: FakeApiServer, client: KubeClient) -> None:
    world = await preparing(server, client, sourceCertificateAuthority="PEM", **READY)
    long_ago(server, world)
    await world.overtake(client, lambda: world.report(startTimestamp="2026-01-01T00:00:00Z", mode="PreCopy"))
    await world.settle(client)
    assert world.phase == "Running" and "completed" not in world.state


async def test_one_that_is_canceled_before_the_copy_ends_while_both_handlers_are_away(
    server: FakeApiServer, client: KubeClient
) -> None:
    world = await preparing(server, client, sourceCertificateAuthority="PEM", **READY)
    await client.delete(VIRTUAL_MACHINE_INSTANCE_MIGRATIONS, *JOB)
    await world.settle(client)
    assert world.job is None
    assert (world.state["failed"], world.state["abortStatus"]) == (True, "Succeeded")
    assert world.vmi["status"]["phase"] == "Running"


@pytest.mark.parametrize(("hours", "phase"), [(0.9, "Scheduling"), (1.1, "Failed")])
async def test_no_annotation_holds_a_place_for_longer_than_an_hour(
    server: FakeApiServer, client: KubeClient, hours: float, phase: str
) -> None:
    """Whoever may request a migration writes its annotations; the places are the cluster's."""
    kinds = ("Unschedulable", "Pending")
    world = MigrationWorld(server, **{f"kubevirt.io/migration{kind}PodTimeoutSeconds": "999999999" for kind in kinds})
    await world.settle(client)
    unschedulable = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/2 nodes"}
    created = rfc3339(datetime.now(UTC) - timedelta(hours=hours))
    body = {"metadata": {"creationTimestamp": created}, "status": {"conditions": [unschedulable]}}
    server.patch(PODS.path("ns", world.target["metadata"]["name"]), body)
    await world.settle(client)
    assert world.phase == phase
