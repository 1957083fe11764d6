"""What administrators request of the admin port, over real mTLS: the change, the event, the refusal, the stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from kubevirt.admin.v1 import admin_pb2
from virt_core.kube.client import KubeClient
from virt_core.kube.resource import EVENTS, KUBEVIRTS
from virt_core.objects import upgrade_steps
from virt_core.rpc.errors import InvalidField, Refused, Unavailable
from virt_core.rpc.peer import Peer
from virt_core.testing.api_server import FakeApiServer
from virt_core.testing.place import Place
from virt_core.testing.refused import Refused as Rejected
from virt_operator.admin.following import Following
from virt_operator.change import steps

from tests.support.patience import PATIENCE

from .admin_port import calling

SUITE = KUBEVIRTS.path("kubevirt", "kubevirt")
BACK = {"version": "v1", "registry": "r"}
RELEASE = {"Version": "v2", "Registry": "r"}


def install(server: FakeApiServer, **upgrade: Any) -> None:
    status = {f"{what}KubeVirt{part}": value for what in ("observed", "target") for part, value in RELEASE.items()}
    body = {"metadata": {"name": "kubevirt"}, "spec": {}, "status": {**status, "upgrade": upgrade or None}}
    server.put(KUBEVIRTS.path("kubevirt"), body)


def stored(server: FakeApiServer) -> dict[str, Any]:
    return server.store.get(Place.parse(SUITE))


def events(server: FakeApiServer) -> list[tuple[str, str]]:
    found = server.store.select(Place.parse(EVENTS.path("kubevirt")), lambda _: True)
    return [(event["reason"], event["note"]) for event in found]


@dataclass(frozen=True, slots=True)
class Admin:
    """The API server, and the admin port of an operator of it."""

    server: FakeApiServer
    peer: Peer
    stub: Any

    async def request(self, name: str, **fields: Any) -> admin_pb2.Requested:
        message = getattr(admin_pb2, f"{name}Request")(**fields)
        response: Any = await self.peer.call(getattr(self.stub, name), message, timeout=PATIENCE)
        requested: admin_pb2.Requested = response.requested
        return requested


@pytest.fixture
async def admin(server: FakeApiServer, client: KubeClient, tmp_path: Path) -> AsyncIterator[Admin]:
    async with calling(client, tmp_path) as (peer, stub):
        yield Admin(server, peer, stub)


@pytest.mark.parametrize(
    ("name", "fields", "part", "value"),
    [
        ("Upgrade", {"tag": "v3", "registry": "other/"}, "spec", {"imageTag": "v3", "imageRegistry": "other"}),
        ("Rollback", {}, "spec", {"imageTag": "v1", "imageRegistry": "r"}),
        ("Pause", {}, "spec", {"upgradeStrategy": {"paused": True}}),
        ("Finalize", {}, "annotations", {"kubevirt.io/finalize-upgrade": "v2"}),
    ],
)
async def test_a_request_changes_the_kubevirt_object_and_is_recorded_with_the_callers_name(
    admin: Admin, name: str, fields: Any, part: str, value: Any
) -> None:
    install(admin.server, wayBack=BACK)
    answer = await admin.request(name, **fields)
    body, server = stored(admin.server), admin.server
    assert (body["spec"] if part == "spec" else body["metadata"]["annotations"]) == value
    assert answer.changed and answer.message
    ((reason, note),) = events(server)
    assert reason == f"{name}Requested"
    assert note == f"{answer.message} (by user kubevirt.io:system:virt-api)"


async def test_what_is_there_already_is_not_written(admin: Admin) -> None:
    install(admin.server)
    answer = await admin.request("Resume")
    assert (answer.changed, answer.message) == (False, "it is not paused already")
    await admin.request("Pause")
    assert (await admin.request("Resume")).changed
    assert stored(admin.server)["spec"] == {"upgradeStrategy": {"paused": False}}
    assert [reason for reason, _ in events(admin.server)] == ["PauseRequested", "ResumeRequested"]


@pytest.mark.parametrize(
    ("name", "fields", "sentence"),
    [
        ("Upgrade", {"tag": "v2"}, "v2 is installed already"),
        ("Rollback", {}, "there is nothing to go back to"),
        ("Finalize", {}, "v2 is finalized already"),
    ],
)
async def test_an_impossible_request_is_a_failed_precondition(
    admin: Admin, name: str, fields: Any, sentence: str
) -> None:
    install(admin.server)
    with pytest.raises(Refused, match=sentence):
        await admin.request(name, **fields)
    assert events(admin.server) == [] and stored(admin.server)["spec"] == {}


async def test_without_a_tag_or_a_suite_or_an_api_server_nothing_is_requested(admin: Admin) -> None:
    with pytest.raises(Refused, match="there is no KubeVirt object"):
        await admin.request("Pause")
    install(admin.server)
    with pytest.raises(InvalidField) as refused:
        await admin.request("Upgrade", tag="a b")
    assert refused.value.field == "tag"
    await admin.server.down()
    with pytest.raises(Unavailable, match="the API server does not answer"):
        await admin.request("Pause")


async def test_a_change_that_admission_refuses_is_refused_in_its_words(admin: Admin) -> None:
    def refuse(method: str, place: Place) -> None:
        if method == "PATCH":
            raise Rejected(422, "Invalid", "the tag is not allowed")

    install(admin.server)
    admin.server.fault = refuse
    with pytest.raises(Refused, match="refuses the change of the KubeVirt object: the tag is not allowed"):
        await admin.request("Upgrade", tag="v3")
    assert events(admin.server) == []


async def test_watch_sends_the_whole_state_and_each_change(admin: Admin) -> None:
    server = admin.server
    install(server, operation="Update", step="virt-handler", toVersion="v3")
    async with asyncio.timeout(PATIENCE):
        stream = admin.peer.stream(admin.stub.Watch, admin_pb2.WatchRequest(), idle=30, lifetime=60)
        first = (await anext(stream)).state.suite
        assert (first.name, first.observed.version, first.upgrade.step) == ("kubevirt", "v2", "virt-handler")
        server.patch(SUITE, {"status": {"upgrade": {"step": "virt-api"}}})
        assert (await anext(stream)).state.suite.upgrade.step == "virt-api"
        server.remove(SUITE)
        last = await anext(stream)
        assert last.WhichOneof("message") == "state" and not last.state.HasField("suite")
        await stream.aclose()


async def test_a_slow_reader_of_watch_gets_the_newest_state_only(server: FakeApiServer, client: KubeClient) -> None:
    install(server)
    async with asyncio.timeout(PATIENCE):
        stream = Following(client, "kubevirt").responses()
        await anext(stream)
        for level in (5, 6, 7):
            server.patch(SUITE, {"status": {"upgrade": {"level": level}}})
        found = 0
        while found != 7:
            found = (await anext(stream)).state.suite.level
        await stream.aclose()


async def test_watch_has_heartbeats_and_an_end(server: FakeApiServer, client: KubeClient) -> None:
    install(server)
    kinds: list[str | None] = []
    async with asyncio.timeout(PATIENCE):
        stream = Following(client, "kubevirt").responses(0.05, PATIENCE)
        while kinds[-3:] != ["state", "heartbeat", "heartbeat"]:  # before the first list there are heartbeats, too
            kinds.append((await anext(stream)).WhichOneof("message"))
        await stream.aclose()
        until_the_end = [response async for response in Following(client, "kubevirt").responses(0.05, 0.3)]
    assert kinds.count("state") == 1 and len(until_the_end) < 10


async def test_watch_says_that_the_api_server_does_not_answer(server: FakeApiServer, client: KubeClient) -> None:
    await server.down()
    async with asyncio.timeout(PATIENCE):
        stream = Following(client, "kubevirt").responses(0.05)
        while not (await anext(stream)).state.trouble:
            pass
        await stream.aclose()


def test_the_steps_that_clients_show_are_those_that_the_operator_walks() -> None:
    """A step that is new in change/steps.py is added to virt_core/objects/upgrade_steps.py."""
    for walked, shown in ((steps.FORWARD, upgrade_steps.FORWARD), (steps.BACKWARD, upgrade_steps.BACKWARD)):
        names = [step.name for step in walked]
        first, last = names.index("Operator"), len(names) - 1 - names[::-1].index("Operator")
        del names[last if shown is upgrade_steps.FORWARD else first]
        assert names == [name for name in shown if name in names]
