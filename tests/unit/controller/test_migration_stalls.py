"""A copy that goes on for ever holds none of the cluster's places, and its guest has no second migration meanwhile."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from virt_core.kube.client import KubeClient
from virt_core.kube.resource import VIRTUAL_MACHINE_INSTANCE_MIGRATIONS
from virt_core.objects.meta import rfc3339
from virt_core.testing.api_server import FakeApiServer
from virt_core.testing.place import Place

from tests.unit.controller.migration_world import JOB, MigrationWorld, handed_off

ONE = {"parallelMigrationsPerCluster": 1}
REASON = "the source's launcher on node node1 has reported no progress of the copy for more than 450 s"


def ago(seconds: float) -> str:
    return rfc3339(datetime.now(UTC) - timedelta(seconds=seconds))


async def copying(server: FakeApiServer, client: KubeClient, seconds: float, **settings: Any) -> MigrationWorld:
    """The only migration that may run, since so many seconds; another guest's waits."""
    world = await handed_off(server, client, migrations={**ONE, **settings})
    world.prepare()
    await world.settle(client)
    world.add_vmi("other", "other-source")
    world.add_job("other", vmi="other")
    await world.settle(client)
    assert (world.phase, phase(server, "other")) == ("Running", "Pending")
    world.seconds = seconds
    return world


def phase(server: FakeApiServer, name: str) -> str:
    job = server.store.get(Place.parse(VIRTUAL_MACHINE_INSTANCE_MIGRATIONS.path("ns", name)))
    return str(job["status"].get("phase", ""))


async def test_a_copy_without_progress_releases_its_place_and_says_so(
    server: FakeApiServer, client: KubeClient
) -> None:
    world = await copying(server, client, 440)
    await world.settle(client)
    assert (world.condition("Stalled"), phase(server, "other")) == ({}, "Pending")
    world.seconds = 460
    await world.settle(client)
    stalled = world.condition("Stalled")
    assert (stalled["status"], stalled["reason"]) == ("True", "NoProgress")
    assert stalled["message"].startswith(REASON) and "MigrationStalled" in world.reasons
    assert (world.phase, phase(server, "other")) == ("Running", "Scheduling")
    assert world.state["migrationUid"] == "move-uid" and "completed" not in world.state


async def test_the_guest_of_a_copy_that_stalls_gets_no_second_migration(
    server: FakeApiServer, client: KubeClient
) -> None:
    world = await copying(server, client, 460)
    await world.settle(client)
    pods = set(world.pods)
    world.add_job("again")
    await world.settle(client)
    assert phase(server, "again") == "Failed" and set(world.pods) == pods


@pytest.mark.parametrize("migrations", [{}, {"completionTimeoutPerGiB": 0}])
async def test_a_copy_that_goes_on_keeps_its_place(
    server: FakeApiServer, client: KubeClient, migrations: dict[str, Any]
) -> None:
    world = await copying(server, client, 460, **migrations)
    world.report(progress={"timestamp": ago(5), "remainingBytes": 7})
    await world.settle(client)
    assert (world.condition("Stalled"), phase(server, "other")) == ({}, "Pending")


@pytest.mark.parametrize("behind", [600, -600])
async def test_a_copy_is_judged_by_its_numbers_not_by_the_clock_of_its_node(
    server: FakeApiServer, client: KubeClient, behind: int
) -> None:
    world = await copying(server, client, 300, completionTimeoutPerGiB=0)
    world.report(progress={"timestamp": ago(behind), "remainingBytes": 7})
    await world.settle(client)
    world.seconds = 740
    world.report(progress={"timestamp": ago(behind + 2), "expectedEnd": ago(9), "remainingBytes": 7})
    await world.settle(client)
    assert (world.condition("Stalled"), phase(server, "other")) == ({}, "Pending")
    world.seconds = 760
    await world.settle(client)
    assert world.condition("Stalled")["reason"] == "NoProgress"


async def test_a_new_leader_counts_anew_and_keeps_what_it_finds_until_it_sees_progress(
    server: FakeApiServer, client: KubeClient
) -> None:
    world = await copying(server, client, 440)
    world.new_leader()
    await world.settle(client)
    world.seconds = 880
    await world.settle(client)
    assert world.condition("Stalled") == {}
    world.seconds = 900
    await world.settle(client)
    found = world.condition("Stalled")
    assert found["reason"] == "NoProgress"
    world.new_leader()
    await world.settle(client)
    assert world.condition("Stalled") == found and world.reasons.count("MigrationStalled") == 1
    world.report(progress={"timestamp": ago(5), "remainingBytes": 7})
    world.seconds += 1
    await world.settle(client)
    assert world.condition("Stalled") == {}


async def test_a_copy_over_its_limit_is_over_it_for_a_new_leader_too(server: FakeApiServer, client: KubeClient) -> None:
    world = await copying(server, client, 910)
    await world.settle(client)
    world.new_leader()
    world.report(progress={"timestamp": ago(5), "remainingBytes": 7})
    await world.settle(client)
    world.seconds += 1
    world.report(progress={"timestamp": ago(5), "remainingBytes": 5})
    await world.settle(client)
    assert world.condition("Stalled")["reason"] == "TimeLimit"


async def test_a_copy_that_goes_on_later_takes_its_place_again(server: FakeApiServer, client: KubeClient) -> None:
    world = await copying(server, client, 460)
    await world.settle(client)
    assert world.condition("Stalled")
    world.report(progress={"timestamp": ago(5), "remainingBytes": 7})
    await world.settle(client)
    assert world.condition("Stalled") == {}


async def test_who_has_canceled_a_copy_that_stalls_is_not_asked_to_cancel_it(
    server: FakeApiServer, client: KubeClient
) -> None:
    world = await copying(server, client, 460)
    await world.settle(client)
    assert "delete it to cancel the copy" in world.condition("Stalled")["message"]
    await client.delete(VIRTUAL_MACHINE_INSTANCE_MIGRATIONS, *JOB)
    await world.settle(client)
    message = world.condition("Stalled")["message"]
    assert "delete it" not in message and "its cancel was requested" in message
    assert world.reasons.count("MigrationStalled") == 1


async def test_who_has_canceled_a_copy_that_hangs_learns_which_pod_to_delete(
    server: FakeApiServer, client: KubeClient
) -> None:
    world = await copying(server, client, 460)
    await client.delete(VIRTUAL_MACHINE_INSTANCE_MIGRATIONS, *JOB)
    await world.settle(client)
    target = world.state["targetPod"]
    assert f"delete target pod {target}" in world.condition("Stalled")["message"]
    world.end_pod(target)
    await world.settle(client)
    message = world.condition("Stalled")["message"]
    assert f"target pod {target} has ended" in message and "delete source pod source, which ends the guest" in message
    assert "delete target pod" not in message


@pytest.mark.parametrize("canceled", [False, True])
async def test_nobody_is_asked_to_delete_the_pod_that_alone_can_run_the_guest(
    server: FakeApiServer, client: KubeClient, canceled: bool
) -> None:
    """The source has given the guest up: a cancel ends nothing any more."""
    world = await copying(server, client, 440)
    world.report(sourceSwitched=True)
    if canceled:
        await client.delete(VIRTUAL_MACHINE_INSTANCE_MIGRATIONS, *JOB)
    await world.settle(client)
    world.seconds = 900
    await world.settle(client)
    message = world.condition("Stalled")["message"]
    assert f"do not delete target pod {world.state['targetPod']}" in message
    assert "delete source pod source" in message and "cancel" not in message


async def test_a_copy_far_over_its_limit_releases_its_place_whatever_is_reported(
    server: FakeApiServer, client: KubeClient
) -> None:
    """Twice the limit for 64 MiB and a disk of 1 GB, and ten minutes."""
    world = await copying(server, client, 2 * 2 * 150 + 590)
    world.report(progress={"timestamp": ago(5), "remainingBytes": 7}, sourceDisks={"root": 10**9})
    await world.settle(client)
    assert world.condition("Stalled") == {}
    world.seconds = 2 * 2 * 150 + 610
    await world.settle(client)
    assert world.condition("Stalled")["reason"] == "TimeLimit" and phase(server, "other") == "Scheduling"


async def test_a_stalled_copy_that_ends_is_not_stalled_any_more(server: FakeApiServer, client: KubeClient) -> None:
    world = await copying(server, client, 460)
    await world.settle(client)
    assert world.condition("Stalled")
    world.fail("the link is cut")
    await world.settle(client)
    assert (world.phase, world.condition("Stalled")) == ("Failed", {})


@pytest.mark.parametrize("ahead", [0, 3600])
async def test_an_expected_end_that_has_passed_without_progress_is_not_shown(
    server: FakeApiServer, client: KubeClient, ahead: int
) -> None:
    """By the clock of the leader: that of the node may be an hour ahead."""
    world = await copying(server, client, 100)
    numbers = {"timestamp": ago(-ahead), "remainingBytes": 7}
    expected = {**numbers, "expectedEnd": ago(-ahead - 60)}
    world.report(progress=expected)
    await world.settle(client)
    world.seconds = 160
    await world.settle(client)
    assert world.state["progress"] == world.job["status"]["migrationState"]["progress"] == expected
    world.seconds = 172
    await world.settle(client)
    assert world.state["progress"] == world.job["status"]["migrationState"]["progress"] == numbers
    later = {**expected, "remainingBytes": 5}
    world.report(progress=later)
    await world.settle(client)
    assert world.job["status"]["migrationState"]["progress"] == later


async def test_a_copy_that_has_stalled_shows_no_expected_end(server: FakeApiServer, client: KubeClient) -> None:
    world = await copying(server, client, 2)
    world.report(progress={"timestamp": ago(0), "expectedEnd": ago(-9000), "remainingBytes": 7})
    await world.settle(client)
    world.seconds = 460
    await world.settle(client)
    assert world.condition("Stalled")
    assert "expectedEnd" not in {**world.state["progress"], **world.job["status"]["migrationState"]["progress"]}
