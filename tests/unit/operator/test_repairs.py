"""Repairs of the same object again and again: only those that were in vain are delayed."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from virt_core.kube.client import KubeClient
from virt_core.kube.resource import DEPLOYMENTS
from virt_core.testing.api_server import FakeApiServer
from virt_core.testing.place import Place
from virt_core.testing.refused import Refused
from virt_operator.strategy.ref import Body
from virt_operator.suite.observed import Repair
from virt_operator.suite.repairs import after_repair, held_until

from .suites import API, NOW, live
from .world import World


class Timed(World):
    """Its clock stands still but for `offset`: on a slow machine no delay ends by itself."""

    @property
    def now(self) -> datetime:
        return NOW + self.offset


@pytest.fixture
def world(server: FakeApiServer, client: KubeClient) -> World:
    return Timed(server, client)


async def passes(world: World) -> list[str]:
    """Passes until nothing changes, and why objects waited meanwhile."""
    waits, version = [], -1
    while version != world.server.store.version:
        version = world.server.store.version
        waits += [wait.why for wait in (await world.run_pass()).waits]
        world.act()
    return waits


async def test_what_a_user_changes_again_and_again_is_written_each_time_without_a_delay(world: World) -> None:
    world.create()
    await passes(world)
    for policy in ("Default", "ClusterFirst", "None", "Default", "ClusterFirst", "None"):
        template = {"spec": {"template": {"spec": {"dnsPolicy": policy}}}}
        patch = {"resourceType": "Deployment", "resourceName": "virt-api", "type": "merge"}
        world.ask(customizeComponents={"patches": [{**patch, "patch": json.dumps(template)}]})
        assert [why for why in await passes(world) if "changed by each write" in why] == []
        written = world.owned[API].content()
        assert written["spec"]["template"]["spec"]["dnsPolicy"] == policy


def a_webhook_sets_the_selector(world: World) -> None:
    """Of each virt-api that is created. The field is immutable."""
    store, virt_api = world.server.store, Place.parse(DEPLOYMENTS.path("kubevirt", "virt-api"))
    apply, patch = store.apply, store.json_patch

    def create(place: Place, body: Body, *args: Any) -> Body:
        selected = {**body["spec"], "selector": {"matchLabels": {"stranger": "1"}}} if place == virt_api else None
        return apply(place, {**body, "spec": selected} if selected is not None else body, *args)

    def change(place: Place, *args: Any) -> Body:
        if place == virt_api:
            raise Refused(422, "Invalid", "spec.selector: field is immutable")
        return patch(place, *args)

    store.apply, store.json_patch = create, change  # type: ignore[method-assign]


async def test_what_a_webhook_changes_at_each_creation_is_deleted_ever_less_often(world: World) -> None:
    a_webhook_sets_the_selector(world)
    world.create()
    deletion = "DELETE", DEPLOYMENTS.path("kubevirt", "virt-api")
    deletions = []
    for seconds in (0, 6, 11):
        world.offset += timedelta(seconds=seconds)
        before = world.server.requests.count(deletion)
        for _ in range(20):
            decided = await world.run_pass()
            world.act()
        deletions.append(world.server.requests.count(deletion) - before)
        (why,) = [wait.why for wait in decided.waits if wait.what == str(API)]
        assert "spec.selector.matchLabels" in why and "next attempt at" in why and API in world.owned
    assert deletions == [3, 1, 1]


def body(port: int = 443, **labels: str) -> Body:
    return {"metadata": {"name": "virt-api", "labels": labels}, "spec": {"ports": [port]}}


CHANGED = body(8443, app="virt-api")
"""What a webhook makes of each write of the object."""


def repaired(before: Repair | None, *, desired: Body, found: Body = CHANGED) -> Repair:
    made = {**CHANGED, "metadata": {**CHANGED["metadata"], "annotations": {"revision": str(before)}}}
    return after_repair(before, desired, live(found, {}), live(made, {}), NOW)


def delays(*repairs: tuple[Body, Body]) -> list[float]:
    """Seconds until the next attempt after each repair of `desired` over `found`."""
    repair, after = None, []
    for desired, found in repairs:
        repair = repaired(repair, desired=desired, found=found)
        due = held_until(repair, desired, NOW)
        after.append((due - NOW).total_seconds() if due is not None else 0.0)
    return after


def test_an_object_that_a_webhook_changes_is_repaired_with_growing_delays() -> None:
    wanted = body(app="virt-api")
    assert delays(*[(wanted, CHANGED)] * 5) == [0, 0, 5, 10, 20]


def test_what_somebody_else_changes_after_each_repair_is_repaired_at_once() -> None:
    wanted, edited, unlabelled = body(app="virt-api"), body(1, app="virt-api"), body(8443)
    assert delays(*[(wanted, edited)] * 5) == [0] * 5
    assert delays(*[(wanted, unlabelled)] * 5) == [0] * 5


def test_what_is_desired_anew_is_written_at_once() -> None:
    first, second = body(app="virt-api"), body(1, app="virt-api")
    assert delays(*[(first, CHANGED), (second, CHANGED)] * 4) == [0] * 8
    repair = repaired(repaired(repaired(None, desired=first), desired=first), desired=first)
    assert held_until(repair, first, NOW) is not None
    assert held_until(repair, second, NOW) is None


def test_a_repair_waits_no_longer_because_the_clock_was_set_back() -> None:
    wanted = body(app="virt-api")
    repair = repaired(repaired(repaired(None, desired=wanted), desired=wanted), desired=wanted)
    assert held_until(repair, wanted, NOW - timedelta(hours=1)) is None
