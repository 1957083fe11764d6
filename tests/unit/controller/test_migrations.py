"""A migration goes from its request to its result, whatever happens to its pods, and each step is there to be read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from virt_core.kube.client import KubeClient
from virt_core.kube.resource import PODS, VIRTUAL_MACHINE_INSTANCE_MIGRATIONS, VIRTUAL_MACHINE_INSTANCES
from virt_core.objects.meta import rfc3339
from virt_core.testing.api_server import FakeApiServer
from virt_core.testing.place import Place
from virt_core.testing.refused import Refused

from tests.unit.controller.migration_world import JOB, VMI, MigrationWorld, handed_off

VERBS = ("GET", "POST", "PATCH", "DELETE")
AGO = "2026-01-01T00:00:00Z"
LABEL = "kubevirt.io/migrationTargetNodeName"


def phases(world: MigrationWorld) -> list[str]:
    return [moment["phase"] for moment in world.job["status"]["phaseTransitionTimestamps"]]


async def test_a_guest_moves_and_everything_says_so(server: FakeApiServer, client: KubeClient) -> None:
    world = await handed_off(server, client)
    assert world.phase == "PreparingTarget"
    target = world.target["metadata"]
    assert (world.state["migrationUid"], world.state["sourceNode"], world.state["targetNode"]) == (
        "move-uid",
        "node1",
        "node2",
    )
    assert (world.state["sourcePodUID"], world.state["targetPodUID"]) == ("source", target["uid"])
    assert world.vmi["status"]["activePods"] == {"source": "node1", target["uid"]: "node2"}
    assert world.vmi["metadata"]["labels"][LABEL] == "node2"
    world.prepare()
    await world.settle(client)
    assert world.phase == "Running"
    world.arrive()
    await world.settle(client)
    assert world.phase == "Succeeded"
    gate = {"type": "kubevirt.io/virtual-machine-unpaused", "status": "True"}
    (condition,) = world.target["status"]["conditions"]
    assert gate.items() <= condition.items()
    arrived = world.target["metadata"]["annotations"]["kubevirt.io/migration-target-ready-timestamp"]
    assert arrived == "2026-01-01 00:00:01 +0000 UTC"
    world.end_pod("source")
    await world.settle(client)
    assert world.vmi["status"]["activePods"] == {target["uid"]: "node2"}
    assert world.vmi["metadata"]["labels"] == {"kubevirt.io/nodeName": "node2"}
    assert world.vmi["status"]["launcherContainerImageVersion"] == "registry.test/virt-launcher:2"
    assert world.vmi["status"]["phase"] == "Running"
    assert world.job["metadata"].get("finalizers", []) == []
    certificates = {key for key in world.state if key.endswith("CertificateAuthority")}
    record = {key: value for key, value in world.state.items() if key not in certificates}
    assert len(certificates) == 2 and world.job["status"]["migrationState"] == record
    expected = ["Pending", "Scheduling", "Scheduled", "PreparingTarget", "TargetReady", "Running", "Succeeded"]
    assert phases(world) == expected


@pytest.mark.parametrize("moment", ["soon", None])
async def test_a_guest_whose_arrival_has_no_time_is_reached_all_the_same(
    server: FakeApiServer, client: KubeClient, moment: str | None
) -> None:
    world = await handed_off(server, client)
    world.prepare()
    world.arrive()
    world.report(targetNodeDomainReadyTimestamp=moment)
    await world.settle(client)
    (condition,) = world.target["status"]["conditions"]
    assert condition["status"] == "True" and not [
        key for key in world.target["metadata"]["annotations"] if "ready" in key
    ]


async def test_a_migration_costs_eleven_requests(server: FakeApiServer, client: KubeClient) -> None:
    """Those of both controllers, while the handlers take as long as usual."""
    world = MigrationWorld(server)
    await world.settle(client)
    for report in ({}, {"sourceCertificateAuthority": "PEM"}, {"targetNodeAddress": "10.0.0.2"}):
        world.run_target(started=rfc3339(datetime.now(UTC) + timedelta(seconds=2)))  # this may be a slow machine
        world.report(**report)
        await world.settle(client)
        assert world.phase == "Scheduling" and world.state["targetNode"] == "node2"
    world.report(startTimestamp=AGO)
    await world.settle(client)
    assert world.phase == "Running"
    world.arrive()
    world.end_pod("source")
    await world.settle(client)
    expected = ["Pending", "Scheduling", "Scheduled", "PreparingTarget", "TargetReady", "Running", "Succeeded"]
    assert world.phase == "Succeeded" and phases(world) == expected
    asked = [(method, path.rpartition("/v1")[2]) for method, path in server.requests if method in VERBS]
    assert len(asked) == 11, "\n".join(map(str, asked))
    assert [reason for reason in world.reasons if reason.startswith("Successful")] == [
        "SuccessfulCreate",
        "SuccessfulHandOver",
        "SuccessfulMigration",
    ]


@pytest.mark.parametrize("started", [-30, 30, None], ids=["long ago", "by a clock ahead", "unknown"])
async def test_a_phase_that_lasts_is_shown(server: FakeApiServer, client: KubeClient, started: int | None) -> None:
    world = MigrationWorld(server)
    await world.settle(client)
    world.run_target("" if started is None else rfc3339(datetime.now(UTC) + timedelta(seconds=started)))
    await world.settle(client)
    assert world.phase == "PreparingTarget"
    world.report(sourceCertificateAuthority="PEM", targetNodeAddress="10.0.0.2")
    await world.settle(client)
    assert world.phase == "TargetReady"


async def test_it_shows_how_far_the_copy_is(server: FakeApiServer, client: KubeClient) -> None:
    world = await handed_off(server, client)
    world.prepare()
    await world.settle(client)
    before = server.count("PATCH")
    world.report(progress={"remainingBytes": 7})
    await world.settle(client)
    way = {"sourceNode": "node1", "targetNode": "node2"}
    assert world.job["status"]["migrationState"] == {**way, "progress": {"remainingBytes": 7}}
    assert server.count("PATCH") == before + 1


EXPECTED = {"timestamp": AGO, "expectedEnd": AGO, "totalBytes": 9, "remainingBytes": 7}


@pytest.mark.parametrize(
    ("failed", "shown"), [(False, {"totalBytes": 9}), (True, {"totalBytes": 9, "remainingBytes": 7})]
)
async def test_a_migration_that_is_over_shows_no_expectation(
    server: FakeApiServer, client: KubeClient, failed: bool, shown: dict[str, int]
) -> None:
    world = await handed_off(server, client)
    world.prepare()
    world.report(progress=EXPECTED)
    await world.settle(client)
    assert world.job["status"]["migrationState"]["progress"] == EXPECTED
    if failed:
        world.fail("the link is cut")
    else:
        world.arrive()
    await world.settle(client)
    assert world.job["status"]["migrationState"]["progress"] == {"timestamp": AGO, **shown}
    world.end_pod(world.target["metadata"]["name"] if failed else "source")
    await world.settle(client)
    assert world.state["progress"] == {"timestamp": AGO, **shown}
    assert world.state["sourceCertificateAuthority"], "a launcher that has not begun is to forget it"


@pytest.mark.parametrize("started", [False, True])
async def test_a_failed_migration_leaves_the_guest_as_it_was(
    server: FakeApiServer, client: KubeClient, started: bool
) -> None:
    world = await handed_off(server, client)
    if started:
        world.prepare()
    world.fail("port 16514 of 10.0.0.2 cannot be reached")
    await world.settle(client)
    assert world.phase == "Failed"
    assert "port 16514" in world.condition("Failure")["message"]
    world.end_pod(world.target["metadata"]["name"])
    await world.settle(client)
    assert world.vmi["status"]["activePods"] == {"source": "node1"}
    assert world.vmi["metadata"]["labels"] == {"kubevirt.io/nodeName": "node1"}
    assert world.vmi["status"]["phase"] == "Running"


async def test_a_target_whose_handler_is_away_is_deleted_after_a_failure(
    server: FakeApiServer, client: KubeClient
) -> None:
    world = await handed_off(server, client)
    world.fail("the link is cut")
    await world.settle(client)
    world.remove_deleted_pods()
    await world.settle(client)
    assert list(world.pods) == ["source"]
    assert world.vmi["status"]["activePods"] == {"source": "node1"}


async def test_one_that_is_canceled_before_the_hand_off_ends_at_once(server: FakeApiServer, client: KubeClient) -> None:
    world = MigrationWorld(server)
    await world.settle(client)
    assert world.phase == "Scheduling" and len(world.pods) == 2
    await client.delete(VIRTUAL_MACHINE_INSTANCE_MIGRATIONS, *JOB)
    await world.settle(client)
    assert world.job is None
    assert list(world.pods) == ["source"]
    assert world.state is None


async def test_one_that_is_canceled_while_it_is_copied_asks_the_handlers_to_abort(
    server: FakeApiServer, client: KubeClient
) -> None:
    world = await handed_off(server, client)
    world.prepare()
    await client.delete(VIRTUAL_MACHINE_INSTANCE_MIGRATIONS, *JOB)
    await world.settle(client)
    assert world.state["abortRequested"] is True
    assert world.condition("migrationAbortRequested")["status"] == "True"
    world.fail("Live migration aborted")
    await world.settle(client)
    assert world.job is None
    assert world.vmi["status"]["phase"] == "Running"


async def test_a_target_pod_that_ends_before_the_hand_off_fails_it(server: FakeApiServer, client: KubeClient) -> None:
    world = MigrationWorld(server)
    await world.settle(client)
    world.end_pod(world.target["metadata"]["name"], "Failed")
    await world.settle(client)
    assert world.phase == "Failed" and "is down" in world.condition("Failure")["message"]
    assert world.vmi["status"]["activePods"] == {"source": "node1"}


async def test_a_target_pod_that_ends_before_the_copy_fails_it(server: FakeApiServer, client: KubeClient) -> None:
    world = await handed_off(server, client)
    world.end_pod(world.target["metadata"]["name"], "Failed")
    await world.settle(client)
    assert world.phase == "Failed"
    assert world.state["failed"] is True and world.vmi["status"]["activePods"] == {"source": "node1"}
    assert world.vmi["status"]["phase"] == "Running"


async def test_a_target_pod_that_ends_during_the_copy_leaves_the_verdict_to_the_source(
    server: FakeApiServer, client: KubeClient
) -> None:
    world = await handed_off(server, client)
    world.prepare()
    world.end_pod(world.target["metadata"]["name"], "Failed")
    await world.settle(client)
    assert world.phase == "Running" and "completed" not in world.state
    assert world.vmi["status"]["activePods"] == {"source": "node1"}
    assert world.vmi["status"]["phase"] == "Running"


async def test_a_source_that_ends_during_the_copy_is_the_targets_to_judge(
    server: FakeApiServer, client: KubeClient
) -> None:
    world = await handed_off(server, client)
    world.prepare()
    world.end_pod("source", "Failed")
    await world.settle(client)
    uid = world.target["metadata"]["uid"]
    assert world.vmi["status"]["phase"] == "Running" and world.vmi["status"]["activePods"] == {uid: "node2"}
    world.arrive()
    await world.settle(client)
    assert world.phase == "Succeeded" and world.vmi["status"]["phase"] == "Running"
    assert world.vmi["metadata"]["labels"]["kubevirt.io/nodeName"] == "node2"


async def test_a_guest_that_had_not_arrived_when_its_source_ended_has_failed(
    server: FakeApiServer, client: KubeClient
) -> None:
    world = await handed_off(server, client)
    world.prepare()
    world.end_pod("source", "Failed")
    await world.settle(client)
    world.fail("the guest had not arrived")
    await world.settle(client)
    assert world.phase == "Failed" and world.vmi["status"]["phase"] == "Failed"


async def test_a_second_one_fails_while_the_first_is_under_way(server: FakeApiServer, client: KubeClient) -> None:
    world = MigrationWorld(server)
    world.add_job("earlier", phase="Scheduling")
    earlier = world.server.store.get(Place.parse(VIRTUAL_MACHINE_INSTANCE_MIGRATIONS.path("ns", "earlier")))
    assert earlier is not None
    server.patch(
        VIRTUAL_MACHINE_INSTANCE_MIGRATIONS.path("ns", "earlier"),
        {"metadata": {"creationTimestamp": "2020-01-01T00:00:00Z"}},
    )
    await world.settle(client)
    assert world.phase == "Failed" and "another migration job is in progress" in world.condition("Failure")["message"]


async def test_a_quota_that_has_no_room_for_a_second_pod_is_named(server: FakeApiServer, client: KubeClient) -> None:
    world = MigrationWorld(server)

    def refuse(method: str, place: Place) -> None:
        if method == "POST" and place.plural == PODS.plural:
            raise Refused(403, "Forbidden", "exceeded quota: mem, requested: 100Mi, used: 100Mi, limited: 150Mi")

    server.fault = refuse
    await world.settle(client)
    condition = world.condition("migrationRejectedByResourceQuota")
    assert condition["status"] == "True" and "exceeded quota: mem" in condition["message"]
    assert world.phase == "Scheduling" and world.reasons.count("FailedCreate") == 1


async def test_a_pod_that_is_not_admitted_does_not_hold_its_place_for_ever(
    server: FakeApiServer, client: KubeClient
) -> None:
    world = MigrationWorld(server)

    def refuse(method: str, place: Place) -> None:
        if method == "POST" and place.plural == PODS.plural:
            raise Refused(403, "Forbidden", "exceeded quota: mem, requested: 100Mi, used: 100Mi, limited: 150Mi")

    server.fault = refuse
    await world.settle(client)
    assert world.phase == "Scheduling"
    long_ago = [{"phase": "Scheduling", "phaseTransitionTimestamp": "2026-01-01T00:00:00Z"}]
    server.patch(VIRTUAL_MACHINE_INSTANCE_MIGRATIONS.path(*JOB), {"status": {"phaseTransitionTimestamps": long_ago}})
    await world.settle(client)
    assert world.phase == "Failed" and "exceeded quota: mem" in world.condition("Failure")["message"]


async def test_what_a_migration_waits_for_is_in_a_condition(server: FakeApiServer, client: KubeClient) -> None:
    world = MigrationWorld(server, {"parallelMigrationsPerCluster": 0})
    await world.settle(client)
    waiting = world.condition("Waiting")
    assert (world.phase, waiting["reason"]) == ("Pending", "ParallelMigrations")
    assert "parallelMigrationsPerCluster is 0" in waiting["message"]
    assert list(world.pods) == ["source"]


async def test_a_pod_that_cannot_be_scheduled_is_given_up_in_time(server: FakeApiServer, client: KubeClient) -> None:
    world = MigrationWorld(server, **{"kubevirt.io/migrationUnschedulablePodTimeoutSeconds": "0"})
    await world.settle(client)
    unschedulable = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/2 nodes"}
    server.patch(PODS.path("ns", world.target["metadata"]["name"]), {"status": {"conditions": [unschedulable]}})
    await world.settle(client)
    assert world.phase == "Failed" and "Unschedulable: 0/2 nodes" in world.condition("Failure")["message"]
    assert list(world.pods) == ["source"]


async def test_a_target_pod_that_somebody_removes_is_not_created_again(
    server: FakeApiServer, client: KubeClient
) -> None:
    world = MigrationWorld(server)
    await world.settle(client)
    name = world.target["metadata"]["name"]
    unschedulable = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/2 nodes"}
    server.patch(PODS.path("ns", name), {"status": {"conditions": [unschedulable]}})
    await world.settle(client)
    server.remove(PODS.path("ns", name))  # as every leader sees it, each pass being another's
    await world.settle(client)
    assert world.phase == "Failed" and list(world.pods) == ["source"]
    assert world.condition("Failure")["message"] == "Migration target pod was removed during active migration."


async def test_five_finished_ones_are_kept(server: FakeApiServer, client: KubeClient) -> None:
    world = MigrationWorld(server)
    for number in range(7):
        world.add_job(f"old{number}", phase="Failed")
    await client.delete(VIRTUAL_MACHINE_INSTANCE_MIGRATIONS, *JOB)
    await world.settle(client)
    world.add_job()
    await world.settle(client)
    world.run_target()
    await world.settle(client)
    world.fail("no")
    await world.settle(client)
    found = server.store.select(Place.parse(VIRTUAL_MACHINE_INSTANCE_MIGRATIONS.path("ns")), lambda _: True)
    left = [body for body in found if "deletionTimestamp" not in body["metadata"]]
    assert len(left) == 5


async def test_a_canceled_one_gets_no_pod_by_a_cache_behind(server: FakeApiServer, client: KubeClient) -> None:
    world = MigrationWorld(server, {"parallelMigrationsPerCluster": 0})
    await world.settle(client)
    server.patch(VIRTUAL_MACHINE_INSTANCE_MIGRATIONS.path(*JOB), {"status": {"phase": "Scheduling"}})
    gone = {"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}
    await world._jobs.overtake(client, lambda: server.patch(VIRTUAL_MACHINE_INSTANCE_MIGRATIONS.path(*JOB), gone))
    assert list(world.pods) == ["source"]


async def test_a_finished_one_goes_with_its_machine(server: FakeApiServer, client: KubeClient) -> None:
    world = await handed_off(server, client)
    world.fail("no")
    await world.settle(client)
    server.remove(VIRTUAL_MACHINE_INSTANCES.path(*VMI))
    await world.settle(client)
    assert world.job is None


async def test_one_waits_until_the_kubelet_reports_the_pod_of_a_guest_that_runs(
    server: FakeApiServer, client: KubeClient
) -> None:
    world = MigrationWorld(server)
    container = {"name": "kernel-boot", "image": "kernel"}
    source = PODS.path("ns", "source")
    server.patch(source, {"status": {"phase": "Pending", "containerStatuses": [container]}})
    await world.settle(client)
    assert len(world.pods) == 1
    (waiting,) = [found for found in world.job["status"]["conditions"] if found["type"] == "Waiting"]
    assert (waiting["reason"], world.job["status"]["phase"]) == ("PodNotReported", "Pending")
    reported = {**container, "imageID": f"kernel@sha256:{'1' * 64}"}
    server.patch(source, {"status": {"phase": "Running", "containerStatuses": [reported]}})
    await world.settle(client)
    assert len(world.pods) == 2
