"""Evictions of launcher pods: who is evicted, whose guest is marked for evacuation, and what the answers say."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import Application
from virt_api.eviction import webhook
from virt_api.eviction.webhook import Evictions
from virt_api.routes import refusals_as_status
from virt_core.conventions.webhooks import EVICTION
from virt_core.kube.client import KubeClient
from virt_core.kube.resource import PODS, VIRTUAL_MACHINE_INSTANCE_MIGRATIONS, VIRTUAL_MACHINE_INSTANCES
from virt_core.testing.api_server import FakeApiServer
from virt_core.testing.place import Place
from virt_core.testing.refused import Refused

TRIGGERED = 'Eviction triggered evacuation of VMI "ns/web"'
CANNOT = "VMI web is configured with an eviction strategy but is not live-migratable"
EXTERNAL = (
    "evictionStrategy is External: KubeVirt does not migrate the guest, an external controller has to move or stop it"
)
MOVES, STAYS = ("True", "", ""), ("False", "DisksNotLiveMigratable", "PVC data is not shared")
POD, TARGET = "virt-launcher-web-abcde", "virt-launcher-web-fghij"
RUNS = {"phase": "Running", "containerStatuses": [{"name": "compute", "state": {"running": {}}}]}


def put_vmi(
    server: FakeApiServer,
    strategy: str | None = "LiveMigrate",
    migratable: Any = MOVES,
    metadata: Any = None,
    **status: Any,
) -> None:
    status = {"phase": "Running", "nodeName": "node1", "activePods": {f"uid-{POD}": "node1"}, **status}
    if migratable is not None:
        value, reason, message = migratable
        condition = {"type": "LiveMigratable", "status": value, "reason": reason, "message": message}
        status["conditions"] = [condition]
    spec = {"evictionStrategy": strategy} if strategy is not None else {}
    meta = {"name": "web", "uid": "uid-web", **(metadata or {})}
    server.put(VIRTUAL_MACHINE_INSTANCES.path("ns"), {"metadata": meta, "spec": spec, "status": status})


def put_pod(server: FakeApiServer, name: str = POD, node: str = "node1", status: Any = None, **labels: str) -> None:
    own = {"kubevirt.io": "virt-launcher", "kubevirt.io/created-by": "uid-web", **labels}
    metadata = {"name": name, "uid": f"uid-{name}", "labels": own, "annotations": {"kubevirt.io/domain": "web"}}
    server.put(PODS.path("ns"), {"metadata": metadata, "spec": {"nodeName": node}, "status": status or RUNS})


async def evicted(client: KubeClient, name: str = POD, *, dry: bool = False, **eviction: Any) -> str:
    """Why the eviction is refused; "": it is allowed."""
    application = Application(middlewares=[refusals_as_status])
    for path, review in Evictions(client).webhooks.items():
        application.router.add_post(path, review)
    request = {"uid": "u", "operation": "CREATE", "namespace": "ns", "name": name, "dryRun": dry}
    request["object"] = {"metadata": {"name": name, "namespace": "ns"}, **eviction}
    async with TestClient(TestServer(application)) as caller:
        answer = await caller.post(EVICTION, json={"apiVersion": "admission.k8s.io/v1", "request": request})
        response = (await answer.json())["response"]
    assert response["uid"] == "u"
    if response["allowed"]:
        return ""
    assert (response["status"]["code"], response["status"]["reason"]) == (429, "TooManyRequests")
    return str(response["status"]["message"])


def stored(server: FakeApiServer) -> Any:
    return server.store.get(Place.parse(VIRTUAL_MACHINE_INSTANCES.path("ns", "web")))


def marked(server: FakeApiServer) -> str:
    return str(stored(server)["status"].get("evacuationNodeName", ""))


@pytest.mark.parametrize(
    ("strategy", "migratable", "answer"),
    [
        (None, MOVES, ("", "")),
        ("None", MOVES, ("", "")),
        ("LiveMigrate", STAYS, (f"{CANNOT}: DisksNotLiveMigratable: PVC data is not shared", "")),
        ("LiveMigrate", None, (f"{CANNOT}: its guest is not running yet", "")),
        ("LiveMigrate", MOVES, (TRIGGERED, "node1")),
        ("LiveMigrateIfPossible", STAYS, ("", "")),
        ("LiveMigrateIfPossible", None, ("", "")),
        ("LiveMigrateIfPossible", MOVES, (TRIGGERED, "node1")),
        ("External", STAYS, (f"{TRIGGERED}: {EXTERNAL}", "node1")),
        ("External", MOVES, (f"{TRIGGERED}: {EXTERNAL}", "node1")),
    ],
)
async def test_the_strategy_decides_who_is_evicted_and_who_is_marked(
    server: FakeApiServer, client: KubeClient, strategy: str | None, migratable: Any, answer: tuple[str, str]
) -> None:
    put_vmi(server, strategy, migratable)
    put_pod(server)
    assert (await evicted(client), marked(server)) == answer
    assert [method for method, _ in server.requests] == ["GET", "GET", *(["PATCH"] if answer[1] else [])]


async def test_a_second_eviction_is_refused_while_the_first_one_evacuates(
    server: FakeApiServer, client: KubeClient
) -> None:
    put_vmi(server)
    put_pod(server)
    put_pod(server, TARGET, "node2", **{"kubevirt.io/migrationJobUID": "m"})
    assert await evicted(client, TARGET) == "Eviction request for target Pod" and not marked(server)
    assert await evicted(client) == TRIGGERED
    for name in (POD, TARGET):
        assert await evicted(client, name) == f"Evacuation in progress: {TRIGGERED}"
    assert server.count("PATCH") == 1


PARALLEL = "2 migrations leave node node1, parallelOutboundMigrationsPerNode is 2"
WAITS = {"type": "Waiting", "status": "True", "reason": "ParallelMigrations", "message": PARALLEL}


def put_migration(server: FakeApiServer, name: str, phase: str, *conditions: Any, vmi: str = "web") -> None:
    meta = {"name": name, "uid": name, "labels": {"kubevirt.io/vmi-name": vmi}}
    status = {"phase": phase, "conditions": list(conditions)}
    body = {"metadata": meta, "spec": {"vmiName": vmi}, "status": status}
    server.put(VIRTUAL_MACHINE_INSTANCE_MIGRATIONS.path("ns"), body)


async def test_the_answer_says_what_an_evacuation_waits_for(server: FakeApiServer, client: KubeClient) -> None:
    put_vmi(server, evacuationNodeName="node1")
    put_pod(server)
    put_migration(server, "earlier", "Failed", {**WAITS, "message": "stale"})
    put_migration(server, "another", "Pending", {**WAITS, "message": "another guest's"}, vmi="other")
    progress = f"Evacuation in progress: {TRIGGERED}"
    assert await evicted(client) == progress
    put_migration(server, "move", "Pending", WAITS)
    assert await evicted(client) == f"{progress}: migration move waits: {PARALLEL}"
    quota = {"type": "migrationRejectedByResourceQuota", "status": "True", "message": "exceeded quota"}
    server.patch(
        VIRTUAL_MACHINE_INSTANCE_MIGRATIONS.path("ns", "move"), {"status": {"phase": "Running", "conditions": [quota]}}
    )
    assert await evicted(client) == f"{progress}: migration move waits: exceeded quota"


async def test_each_answer_says_that_somebody_else_has_to_move_the_guest(
    server: FakeApiServer, client: KubeClient
) -> None:
    put_vmi(server, "External", evacuationNodeName="node1")
    put_pod(server)
    progress = f"Evacuation in progress: {TRIGGERED}: {EXTERNAL}"
    assert await evicted(client) == progress
    put_migration(server, "move", "Pending", WAITS)
    assert await evicted(client) == f"{progress}: migration move waits: {PARALLEL}"


async def test_the_answer_says_why_the_last_evacuation_failed(server: FakeApiServer, client: KubeClient) -> None:
    put_vmi(server, evacuationNodeName="node1")
    put_pod(server)
    blocked = {"type": "EvacuationBlocked", "status": "True", "message": "migration move failed: the link is cut"}
    conditions = [*stored(server)["status"]["conditions"], blocked]
    server.patch(VIRTUAL_MACHINE_INSTANCES.path("ns", "web"), {"status": {"conditions": conditions}})
    assert await evicted(client) == f"Evacuation in progress: {TRIGGERED}: {blocked['message']}"


async def test_an_answer_without_the_reason_is_better_than_none(server: FakeApiServer, client: KubeClient) -> None:
    put_vmi(server, evacuationNodeName="node1")
    put_pod(server)

    def busy(_: str, place: Place) -> None:
        if place.plural == "virtualmachineinstancemigrations":
            raise Refused(503, "ServiceUnavailable", "busy")

    server.fault = busy
    assert await evicted(client) == f"Evacuation in progress: {TRIGGERED}"


async def test_a_reason_that_comes_too_late_is_left_out(
    server: FakeApiServer, client: KubeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def late(*_: object, **__: object) -> Any:
        raise TimeoutError  # as when the deadline of all that is read ends

    put_vmi(server, evacuationNodeName="node1")
    put_pod(server)
    monkeypatch.setattr(client, "list", late)
    assert await evicted(client) == f"Evacuation in progress: {TRIGGERED}"


async def test_a_target_pod_on_the_guests_own_node_is_not_taken_for_the_source(
    server: FakeApiServer, client: KubeClient
) -> None:
    put_vmi(server, migrationState={"migrationUid": "m", "targetPodUID": f"uid-{TARGET}"})
    put_pod(server, TARGET, "node1", **{"kubevirt.io/migrationJobUID": "m"})
    assert await evicted(client, TARGET) == "Eviction request for target Pod" and not marked(server)


async def test_the_target_of_an_earlier_migration_is_marked(server: FakeApiServer, client: KubeClient) -> None:
    pods = {f"uid-{TARGET}": "node2"}
    state = {"targetPodUID": f"uid-{TARGET}", "completed": True}
    put_vmi(server, nodeName="node2", activePods=pods, migrationState=state)
    put_pod(server, TARGET, "node2", **{"kubevirt.io/migrationJobUID": "m"})
    assert (await evicted(client, TARGET), marked(server)) == (TRIGGERED, "node2")


@pytest.mark.parametrize("how", [{"dry": True}, {"deleteOptions": {"dryRun": ["All"]}}])
async def test_a_dry_run_is_answered_alike_and_marks_nothing(
    server: FakeApiServer, client: KubeClient, how: Any
) -> None:
    put_vmi(server)
    put_pod(server)
    assert (await evicted(client, **how), marked(server)) == (TRIGGERED, "")


@pytest.mark.parametrize("annotations", [{}, {"mine": "x"}])
async def test_the_mark_says_that_the_descheduler_evicts(
    server: FakeApiServer, client: KubeClient, annotations: Any
) -> None:
    put_vmi(server, metadata={"annotations": annotations} if annotations else {})
    put_pod(server)
    by_descheduler = {"name": POD, "annotations": {"requested-by": "sigs.k8s.io/descheduler"}}
    assert await evicted(client, metadata=by_descheduler) == TRIGGERED
    assert stored(server)["metadata"]["annotations"] == {**annotations, "kubevirt.io/eviction-source": "descheduler"}


WAITING = [{"name": "compute", "state": {"waiting": {"reason": "ImagePullBackOff"}}}]
ADDED = [{"name": "compute", "state": {"running": {}}}, {**WAITING[0], "name": "istio-proxy"}]
"""A webhook has added a container, for which the guest does not wait."""
PULLING = [{"name": "compute", "state": {"running": {}}}, {**WAITING[0], "name": "volumeroot"}]


@pytest.mark.parametrize(
    ("pod_status", "vmi"),
    [
        ({"phase": "Succeeded"}, {}),
        ({"phase": "Failed"}, {}),
        (RUNS, {"phase": "Failed"}),
        (RUNS, {"phase": "Scheduling", "activePods": {}, "migratable": None}),
        ({"phase": "Pending", "containerStatuses": WAITING}, {"phase": "Scheduling", "migratable": None}),
        ({"phase": "Pending", "containerStatuses": PULLING}, {"phase": "Scheduling", "migratable": None}),
        ({"phase": "Pending"}, {"phase": "Scheduling", "migratable": None}),
        (RUNS, {"metadata": {"uid": "another"}}),
        (RUNS, None),
    ],
)
async def test_a_pod_without_a_guest_does_not_hold_up_a_drain(
    server: FakeApiServer, client: KubeClient, pod_status: Any, vmi: Any
) -> None:
    if vmi is not None:
        put_vmi(server, **vmi)
    put_pod(server, status=pod_status)
    assert await evicted(client) == ""


async def test_a_guest_that_runs_before_the_kubelet_says_so_is_not_evicted(
    server: FakeApiServer, client: KubeClient
) -> None:
    put_vmi(server)
    put_pod(server, status={"phase": "Pending", "containerStatuses": WAITING})
    assert await evicted(client) == TRIGGERED


async def test_a_guest_that_may_run_beside_a_container_of_a_webhook_is_not_evicted(
    server: FakeApiServer, client: KubeClient
) -> None:
    put_vmi(server, phase="Scheduled", migratable=None)
    put_pod(server, status={"phase": "Pending", "containerStatuses": ADDED})
    assert "its guest is not running yet" in await evicted(client)


async def test_what_is_no_launcher_pod_or_gone_is_evicted(server: FakeApiServer, client: KubeClient) -> None:
    put_vmi(server)
    put_pod(server, **{"kubevirt.io": "other"})
    assert await evicted(client) == "" and await evicted(client, "virt-launcher-gone") == ""


@pytest.mark.parametrize(
    ("method", "plural", "message"),
    [
        ("GET", "pods", "kubevirt failed getting the pod: busy"),
        ("GET", "virtualmachineinstances", "kubevirt failed getting the vmi: busy"),
        ("PATCH", "virtualmachineinstances", "kubevirt failed marking the vmi for eviction: busy"),
    ],
)
async def test_a_guest_is_not_evicted_while_the_api_server_does_not_say_what_it_is(
    server: FakeApiServer, client: KubeClient, method: str, plural: str, message: str
) -> None:
    put_vmi(server)
    put_pod(server)

    def busy(seen: str, place: Place) -> None:
        if (seen, place.plural) == (method, plural):
            raise Refused(503, "ServiceUnavailable", "busy")

    server.fault = busy
    assert message in await evicted(client)


async def test_one_that_moved_meanwhile_is_decided_again(server: FakeApiServer, client: KubeClient) -> None:
    put_vmi(server)
    put_pod(server)
    moves = [{"status": {"nodeName": "node2"}}]

    def move(method: str, _: Place) -> None:
        if method == "PATCH" and moves:
            server.patch(VIRTUAL_MACHINE_INSTANCES.path("ns", "web"), moves.pop())

    server.fault = move
    assert await evicted(client) == "Eviction request for target Pod" and not marked(server)


async def test_an_api_server_that_does_not_answer_does_not_let_the_review_time_out(
    server: FakeApiServer, client: KubeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook, "_DEADLINE", 0.0)
    put_vmi(server)
    put_pod(server)
    assert "try again" in await evicted(client)
