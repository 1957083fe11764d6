"""An upgrade of five nodes in waves: in which order, proven by what, paused, stopped and brought back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from virt_core.conventions.labels import RETRY_UPGRADE

from .upgrades import (
    MOST_PASSES,
    NEW,
    NODES,
    OLD,
    Journal,
    condition,
    five_nodes,
    passes,
    status,
    template,
    upgrade_of,
    versions,
)
from .world import World


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    async with five_nodes(tmp_path, monkeypatch) as made:
        yield made


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize(
    ("pace", "waves"),
    [
        ({}, [("a",), ("b",), ("c",), ("d",), ("e",)]),
        ({"waveSize": "50%"}, [("a",), ("b", "c"), ("d", "e")]),
        ({"canary": 2, "waveSize": 10}, [("a", "b"), ("c", "d", "e")]),
        ({"canary": 0, "waveSize": 3}, [("a", "b", "c"), ("d", "e")]),
    ],
)
async def test_the_canary_comes_first_and_each_wave_is_proven_before_the_next(
    world: World, pace: dict[str, Any], waves: list[tuple[str, ...]], restart: bool
) -> None:
    world.ask(upgradeStrategy=pace)
    world.ask(imageTag=NEW)
    journal = await passes(world, restart=restart)
    assert journal.waves == list(enumerate(waves, 1))
    assert status(world).observed_kube_virt_version == NEW and status(world).change is None
    asked = [action.pod.node for action in world.probes.handlers]
    assert asked == sorted(asked) and set(asked) == set(NODES)
    assert {(action.release, action.lenient) for action in world.probes.handlers} == {(NEW, False)}
    if not restart:
        assert len(asked) == len(NODES), "each new handler is probed once"


async def test_a_way_back_has_waves_too_and_asks_only_what_the_older_release_offers(world: World) -> None:
    world.ask(imageTag="v1.2.0")
    journal = await passes(world)
    assert len(journal.waves) == len(NODES)
    assert {(action.release, action.lenient) for action in world.probes.handlers} == {("v1.2.0", True)}
    assert status(world).observed_kube_virt_version == "v1.2.0"


async def test_a_canary_that_fails_goes_back_by_itself_and_is_named(world: World) -> None:
    before = template(world)
    world.probes.broken = {NEW}
    world.ask(imageTag=NEW)
    began = world.now
    journal = await passes(world)
    assert world.now - began < timedelta(minutes=2)
    assert template(world) == before, "byte for byte"
    old = journal.templates["b"][0]
    assert [len(journal.templates[node]) for node in NODES] == [3, 1, 1, 1, 1], "others were never touched"
    assert journal.templates["a"][0] == journal.templates["a"][2] == old
    assert versions(world) == {OLD}
    found = upgrade_of(world)
    assert (found.operation, found.from_version, found.to_version, found.wave) == ("Stopped", OLD, NEW, None)
    stopped = found.stopped
    assert stopped is not None
    assert (stopped.component, stopped.object, stopped.probe) == ("virt-handler", "node a", "machines")
    assert (stopped.version, stopped.release, stopped.nodes) == (NEW, NEW, ["a"])
    state, reason, message = condition(world, "Degraded")
    assert (state, reason) == ("True", "UpgradeStopped")
    assert "update to v1.3.0 (v1.3.0) has stopped at virt-handler: node a failed the probe machines: pod " in message
    assert f"{OLD} is back; to try it again, set the annotation {RETRY_UPGRADE}" in message
    assert condition(world, "Progressing")[0] == "False" and condition(world, "Available")[0] == "True"
    assert status(world).observed_kube_virt_version == OLD and status(world).target_kube_virt_version == NEW
    assert journal.events.count("UpgradeStopped") == 1
    probes = len(world.probes.asked)
    world.offset += timedelta(hours=1)
    await passes(world, restart=True)
    assert len(world.probes.asked) == probes, "nothing loops"


async def test_a_later_wave_that_fails_takes_back_the_earlier_ones_as_well(world: World) -> None:
    world.ask(upgradeStrategy={"waveSize": 2}, imageTag=NEW)
    journal = Journal()
    while (2, ("b", "c")) not in journal.waves:
        await passes(world, journal=journal, most=1)
    world.probes.broken = {NEW}
    await passes(world, journal=journal)
    assert versions(world) == {OLD}
    assert [len(journal.templates[node]) for node in NODES] == [3, 3, 3, 1, 1]
    stopped = upgrade_of(world).stopped
    assert stopped is not None and stopped.nodes == ["b", "c"]


@pytest.mark.parametrize("again", ["annotation", "other target", "back and forth"])
async def test_what_has_stopped_is_tried_again_when_somebody_asks_for_it(world: World, again: str) -> None:
    world.probes.broken = {NEW}
    world.ask(imageTag=NEW)
    await passes(world)
    world.probes.broken = set()
    world.ask(upgradeStrategy={"canary": 2})
    await passes(world)
    assert upgrade_of(world).operation == "Stopped", "another change of the spec is no request"
    target = NEW
    if again == "annotation":
        world.annotate(RETRY_UPGRADE, "1")
    elif again == "other target":
        target = "prod-41"
        world.ask(imageTag=target)
    else:
        world.ask(imageTag=OLD)
        await passes(world)
        assert status(world).change is None and world.operator.tag == OLD
        world.ask(imageTag=NEW)
    await passes(world)
    assert status(world).observed_kube_virt_version == target and status(world).change is None
    assert condition(world, "Degraded")[0] == "False"


async def test_the_operator_stays_when_an_update_by_its_own_manifest_has_stopped(world: World) -> None:
    world.probes.broken = {NEW}
    world.apply_manifest(NEW)
    await passes(world)
    assert world.operator.tag == NEW and versions(world) == {OLD}
    assert upgrade_of(world).operation == "Stopped"


async def test_a_rollback_that_fails_returns_to_the_newer_release(world: World) -> None:
    world.probes.broken = {"v1.2.0"}
    world.ask(imageTag="v1.2.0")
    await passes(world)
    assert versions(world) == {OLD}
    stopped = upgrade_of(world).stopped
    assert stopped is not None and stopped.operation == "Rollback"
    assert "rollback to v1.2.0 (v1.2.0) has stopped" in condition(world, "Degraded")[2]


async def test_a_handler_that_does_not_become_ready_fails_its_wave_after_five_minutes(world: World) -> None:
    world.unready = {"virt-handler"}
    world.ask(imageTag=NEW)
    for _ in range(MOST_PASSES):
        await passes(world, most=1)
        world.offset += timedelta(seconds=20)
        if (found := status(world).upgrade) is not None and found.stopped is not None:
            break
    assert found is not None and found.stopped is not None
    assert (found.stopped.probe, found.stopped.object) == ("Ready", "node a")
    assert "after 5 minutes" in found.stopped.message and "is not ready" in found.stopped.message


async def test_paused_before_the_begin_nothing_begins_and_unpausing_goes_on(world: World) -> None:
    world.ask(upgradeStrategy={"paused": True}, imageTag=NEW)
    journal = await passes(world)
    assert versions(world) == {OLD} and world.operator.tag == OLD and journal.waves == []
    found = upgrade_of(world)
    assert (found.operation, found.step, found.to_version) == ("Update", "Pause", NEW)
    state, reason, message = condition(world, "Progressing")
    assert (state, reason) == ("False", "UpgradePaused")
    assert f"paused by spec.upgradeStrategy.paused since {found.paused_since}" in message
    world.offset += timedelta(hours=2)
    await passes(world)
    assert upgrade_of(world).paused_since == found.paused_since
    world.ask(upgradeStrategy=None)
    await passes(world)
    assert status(world).observed_kube_virt_version == NEW


@pytest.mark.parametrize("number", [1, 2, 3, 4])
async def test_paused_in_a_wave_it_is_proven_and_no_other_begins(world: World, number: int) -> None:
    world.ask(imageTag=NEW)
    journal = Journal()
    while len(journal.waves) < number:
        await passes(world, journal=journal, most=1)
    world.ask(upgradeStrategy={"paused": True})
    await passes(world, journal=journal, restart=True)
    assert len(journal.waves) == number
    assert {action.pod.node for action in world.probes.handlers} == set(NODES[:number])
    found = upgrade_of(world)
    assert found.wave is not None and found.wave.proven and found.step == "virt-handler"
    assert condition(world, "Progressing")[:2] == ("False", "UpgradePaused")
    world.ask(upgradeStrategy={"paused": False})
    await passes(world, journal=journal)
    assert len(journal.waves) == len(NODES) and status(world).observed_kube_virt_version == NEW
    assert journal.events.count("UpgradePaused") == 1


async def test_paused_after_the_last_wave_no_other_component_begins(world: World) -> None:
    world.ask(imageTag=NEW)
    journal = Journal()
    while len(journal.waves) < len(NODES):
        await passes(world, journal=journal, most=1)
    world.ask(upgradeStrategy={"paused": True})
    await passes(world, journal=journal)
    assert versions(world) == {OLD, NEW} and upgrade_of(world).step == "virt-controller"
    assert condition(world, "Progressing")[1] == "UpgradePaused"
    world.ask(upgradeStrategy=None)
    await passes(world)
    assert versions(world) == {NEW}


async def test_between_two_waves_there_is_the_pause_that_is_asked_for(world: World) -> None:
    world.ask(upgradeStrategy={"pauseBetweenWaves": "2m", "waveSize": "50%"}, imageTag=NEW)
    began = world.now
    journal = await passes(world, restart=True)
    assert len(journal.waves) == 3 and status(world).observed_kube_virt_version == NEW
    assert timedelta(minutes=4) <= world.now - began < timedelta(minutes=5)


@pytest.mark.parametrize("number", [1, 2])
async def test_a_node_that_dies_during_its_wave_does_not_stop_the_update(world: World, number: int) -> None:
    world.ask(upgradeStrategy={"canary": number}, imageTag=NEW)
    journal = Journal()
    while not journal.waves:
        await passes(world, journal=journal, most=1)
    world.dead = {"a"}
    await passes(world, journal=journal)
    assert status(world).observed_kube_virt_version == NEW
    assert journal.waves[-1][0] == len(NODES) - 1
    assert set(NODES[1:]) == {action.pod.node for action in world.probes.handlers}
    if number == 1:
        assert journal.waves[:2] == [(1, ("a",)), (1, ("b",))], "a canary that has proven nothing does not count"


async def test_a_pass_whose_process_dies_after_each_action_changes_nothing_of_the_order(world: World) -> None:
    world.ask(imageTag=NEW)
    journal = Journal()
    for number in range(MOST_PASSES):
        await world.run_pass(number % 3)
        world.act()
        await passes(world, journal=journal, most=1, restart=True)
    await passes(world, journal=journal)
    assert journal.waves == [(number, (node,)) for number, node in enumerate(NODES, 1)]
    assert status(world).observed_kube_virt_version == NEW


async def test_a_wave_whose_pods_nobody_has_deleted_for_minutes_begins_again(world: World) -> None:
    world.ask(imageTag=NEW)
    journal = Journal()
    while not journal.waves:
        await passes(world, journal=journal, most=1)
    assert len(journal.templates["a"]) == 1, "the leader dies before the first deletion"
    world.offset += timedelta(minutes=6)
    await passes(world, journal=journal, restart=True)
    assert status(world).observed_kube_virt_version == NEW and status(world).change is None
