"""Back until finalized: what is recorded when an update begins, when the way back ends, and what is refused then."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from virt_core.conventions.labels import FINALIZE_UPGRADE
from virt_core.kube.resource import CONFIG_MAPS
from virt_operator.strategy.install_strategy import name_of
from virt_operator.strategy.ref import Ref

from .updates import LEVELS, NEW, NEWEST, OLD, back, condition, installed, passes, status, updated
from .world import World


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with installed(tmp_path) as made:
        yield made


async def test_what_is_installed_first_is_final(world: World) -> None:
    assert status(world).way_back is None and status(world).level == 1
    assert condition(world)[:2] == ("True", "Finalized")


@pytest.mark.parametrize("manifest", [False, True])
async def test_the_way_back_is_recorded_before_any_component_is_touched(world: World, manifest: bool) -> None:
    written = [live.metadata.resource_version for ref, live in world.owned.items() if ref.kind in world.kinds]
    if manifest:
        world.apply_manifest(NEW)
    else:
        world.ask(imageTag=NEW)
    while status(world).way_back is None:
        assert condition(world)[0] == "True", "nothing has begun"
        await world.run_pass()
        world.act()
    now = [live.metadata.resource_version for ref, live in world.owned.items() if ref.kind in world.kinds]
    assert now == written and (manifest or world.operator.tag == OLD)
    found = back(world)
    assert (found.version, found.release, found.level, found.proven_at) == (OLD, OLD, 1, "")
    assert found.registry == "registry.example:5000/suite"
    assert status(world).level == 1 and condition(world)[:2] == ("False", "InProgress")


async def test_it_stays_when_the_update_is_complete_and_the_old_strategy_with_it(world: World) -> None:
    before = status(world).observed_deployment_id
    await updated(world)
    found = back(world)
    assert found.proven_at and found.deployment_id == before
    assert status(world).change is None and status(world).level == 1 and not status(world).may_use(2)
    state, reason, message = condition(world)
    assert (state, reason) == ("False", "Soaking")
    assert f"a roll back to {OLD} is open: {NEW} is finalized at " in message
    assert f"kubectl -n kubevirt annotate kv kubevirt --overwrite {FINALIZE_UPGRADE}={NEW}" in message
    assert Ref("ConfigMap", "kubevirt", name_of(before)) in world.owned


async def test_after_the_soak_it_is_finalized_and_the_level_rises(world: World) -> None:
    before = status(world).observed_deployment_id
    await updated(world)
    world.offset += timedelta(minutes=40)
    assert await passes(world) == [] and condition(world)[1] == "Soaking"
    world.offset += timedelta(minutes=20)
    assert await passes(world) == ["Finalized"]
    assert status(world).way_back is None and status(world).level == 2 and status(world).may_use(2)
    assert condition(world)[:2] == ("True", "Finalized")
    assert Ref("ConfigMap", "kubevirt", name_of(before)) not in world.owned
    assert await passes(world, dying=True) == [] and status(world).level == 2


async def test_trouble_begins_the_soak_again(world: World) -> None:
    await updated(world)
    world.offset += timedelta(minutes=50)
    world.unready = {"virt-api"}
    world.act()
    await passes(world)
    assert condition(world, "Degraded")[0] == "True" and condition(world)[1] == "InProgress"
    world.unready = set()
    world.offset += timedelta(minutes=30)
    world.act()
    await passes(world)
    assert condition(world, "Degraded")[0] == "False" and condition(world)[1] == "Soaking"
    world.offset += timedelta(minutes=45)
    await passes(world)
    assert condition(world)[1] == "Soaking"
    world.offset += timedelta(minutes=15)
    assert await passes(world) == ["Finalized"]


async def test_another_soak_may_be_asked_for(world: World) -> None:
    world.ask(upgradeStrategy={"soak": "0s"})
    await updated(world)
    assert status(world).way_back is None and status(world).level == 2


async def test_manually_only_the_annotation_of_what_is_installed_finalizes(world: World) -> None:
    world.annotate(FINALIZE_UPGRADE, OLD)
    world.ask(upgradeStrategy={"finalize": "Manual", "soak": "0s"})
    await updated(world)
    world.offset += timedelta(hours=2)
    for value in ("", "v1.2", OLD, "yes"):
        world.annotate(FINALIZE_UPGRADE, value)
        assert await passes(world) == []
    state, reason, message = condition(world)
    assert (state, reason) == ("False", "WaitingForAdministrator")
    assert f"to finalize: kubectl -n kubevirt annotate kv kubevirt --overwrite {FINALIZE_UPGRADE}={NEW}" in message
    world.annotate(FINALIZE_UPGRADE, NEW)
    assert await passes(world) == ["Finalized"]
    assert status(world).level == 2


async def test_a_paused_upgrade_is_not_finalized_by_itself(world: World) -> None:
    world.ask(upgradeStrategy={"soak": "1m"})
    world.ask(imageTag=NEW)
    while not status(world).way_back or not back(world).proven_at:
        await world.run_pass()
        world.act()
    world.ask(upgradeStrategy={"paused": True})
    world.offset += timedelta(hours=2)
    assert await passes(world) == []
    assert condition(world)[1] == "WaitingForAdministrator" and "spec.upgradeStrategy.paused" in condition(world)[2]
    world.ask(upgradeStrategy={"paused": False})
    assert await passes(world) == ["Finalized"]


async def test_the_annotation_names_the_release_or_its_tag_and_need_not_wait(world: World) -> None:
    world.annotate(FINALIZE_UPGRADE, NEW)
    world.ask(imageTag="prod-41")  # of that release
    events = await passes(world)
    assert status(world).observed_kube_virt_version == "prod-41" and events[-1] == "Finalized"
    assert status(world).way_back is None


OLDEST = "v1.2.0"  # of the same feature level as OLD, so that it is possible to go there again


async def again(world: World) -> list[str]:
    """The events of an update to OLD after a roll back to a release before it."""
    await updated(world, OLDEST)
    world.ask(imageTag=OLD)
    return await passes(world)


async def test_an_annotation_that_stays_finalizes_one_upgrade_and_not_the_next_one_to_the_same_tag(
    world: World,
) -> None:
    await updated(world, OLDEST)
    world.annotate(FINALIZE_UPGRADE, OLD)
    world.ask(imageTag=OLD)
    assert "Finalized" in await passes(world)
    assert "Finalized" not in await again(world)
    assert condition(world)[1] == "Soaking"
    world.annotate(FINALIZE_UPGRADE, "")
    await passes(world)
    world.annotate(FINALIZE_UPGRADE, OLD)
    assert await passes(world) == ["Finalized"], "it has been set again"


async def test_an_annotation_of_what_is_final_already_is_not_meant_for_a_later_upgrade(world: World) -> None:
    world.annotate(FINALIZE_UPGRADE, OLD)
    await passes(world)
    assert "Finalized" not in await again(world)
    assert condition(world)[1] == "Soaking"


async def test_the_command_in_the_condition_finalizes_that_upgrade_also_if_its_tag_was_final_before(
    world: World,
) -> None:
    world.annotate(FINALIZE_UPGRADE, OLD)
    await passes(world)
    await again(world)
    value = condition(world)[2].rpartition(f"{FINALIZE_UPGRADE}=")[2]
    assert value == f"{OLD}@{back(world).since}"
    world.annotate(FINALIZE_UPGRADE, value.replace("@2", "@1"))
    assert await passes(world) == [], "it was for another upgrade"
    world.annotate(FINALIZE_UPGRADE, value)
    assert await passes(world) == ["Finalized"]


async def test_a_restore_that_loses_the_status_finalizes_nothing_and_the_way_leads_back_as_before(world: World) -> None:
    await updated(world)
    path = CONFIG_MAPS.path("kubevirt", name_of(back(world).deployment_id))
    world.server.patch(path, {"metadata": {"creationTimestamp": "2026-01-30T10:00:00Z"}})
    world.restore()
    assert "Finalized" not in await passes(world)
    assert (back(world).release, status(world).level, condition(world)[1]) == (OLD, 1, "Soaking")
    await updated(world, OLD)
    assert status(world).way_back is None and status(world).level == 1


async def test_it_waits_while_a_pod_of_the_old_release_may_return_with_its_node(world: World) -> None:
    world.dead = {"node2"}
    world.annotate(FINALIZE_UPGRADE, NEW)
    await updated(world)
    state, reason, message = condition(world)
    assert (state, reason) == ("False", "OldReleaseLives")
    assert "on node node2 is of the release before" in message and "delete its node" in message
    assert len(back(world).refusals) == 1 and status(world).level == 1
    world.nodes = ("node1",)
    assert "Finalized" in await passes(world)
    assert status(world).level == 2


async def test_a_node_that_returns_gets_the_new_handler_and_then_it_is_finalized(world: World) -> None:
    world.dead = {"node2"}
    world.annotate(FINALIZE_UPGRADE, NEW)
    await updated(world)
    assert condition(world)[1] == "OldReleaseLives"
    world.dead = set()
    await passes(world)
    assert status(world).way_back is None and condition(world)[0] == "True"


async def test_a_complete_roll_back_ends_the_way_back_without_finalizing(world: World) -> None:
    await updated(world)
    world.ask(imageTag=back(world).version, imageRegistry=back(world).registry)
    events = await passes(world)
    assert status(world).observed_kube_virt_version == OLD and world.operator.tag == OLD
    assert "Finalized" not in events and status(world).way_back is None
    assert status(world).level == 1 and condition(world)[:2] == ("True", "Finalized")


async def test_on_the_way_back_the_object_does_not_say_that_it_is_final(world: World) -> None:
    await updated(world)
    world.ask(imageTag=OLD)
    seen = set()
    while world.operator.tag != OLD:
        await world.run_pass()
        world.act()
        seen.add(condition(world)[:2])
    assert seen == {("False", "InProgress"), ("", "")}
    assert back(world).version == OLD, "the older operator removes it, whether it knows it or not"


@pytest.mark.parametrize("passed", range(1, 12))
async def test_an_update_that_is_cancelled_goes_back_and_leaves_no_way_back(world: World, passed: int) -> None:
    world.ask(imageTag=NEW)
    await passes(world, most=passed)
    world.ask(imageTag=None)
    world.apply_manifest(OLD)
    await passes(world)
    assert status(world).observed_kube_virt_version == OLD
    assert status(world).way_back is None and status(world).level == 1


async def test_a_way_back_between_releases_whose_age_cannot_be_compared_ends_as_well(world: World) -> None:
    await updated(world, "nightly")
    assert back(world).version == OLD and condition(world)[1] == "Soaking"
    read = world.launchers.read
    world.ask(imageTag=OLD)
    while status(world).observed_kube_virt_version != OLD:
        decided = await world.run_pass()
        assert decided.operation == "Update"
        world.act()
    await passes(world)
    assert status(world).way_back is None and world.launchers.read == read


async def test_an_update_that_has_stopped_leaves_no_way_back(world: World) -> None:
    world.probes.broken = {NEW}
    world.ask(imageTag=NEW)
    await passes(world)
    stopped = status(world).change
    assert stopped is not None and stopped.operation == "Stopped" and stopped.way_back is None and stopped.level == 1


async def test_an_update_of_one_that_is_not_final_keeps_the_way_to_the_oldest(world: World) -> None:
    await updated(world)
    first = back(world)
    world.offset += timedelta(minutes=59)
    await updated(world, NEWEST)
    found = back(world)
    assert (found.version, found.since, found.level) == (OLD, first.since, 1)
    assert found.proven_at > first.proven_at and condition(world)[1] == "Soaking"
    await updated(world, NEW)
    assert back(world).version == OLD, "the release between is not the end of the way"
    await updated(world, OLD)
    assert status(world).way_back is None


@pytest.mark.parametrize("manifest", [False, True])
async def test_once_final_a_release_of_a_lower_level_is_refused_before_anything_begins(
    world: World, manifest: bool
) -> None:
    world.ask(upgradeStrategy={"soak": "0s"})
    if manifest:
        world.apply_manifest(NEW)
        await passes(world)
    else:
        await updated(world)
    assert status(world).level == 2
    parts = {ref: live.metadata.resource_version for ref, live in world.owned.items() if ref.kind in world.kinds}
    if manifest:
        world.apply_manifest(OLD)
    else:
        world.ask(imageTag=OLD)
    events = await passes(world)
    assert events == ["UpdateInProgress", "FeatureLevelTooLow"], "the first while the release is not known yet"
    state, reason, message = condition(world, "Synchronized")
    assert (state, reason) == ("False", "FeatureLevelTooLow")
    assert f"{OLD} (release {OLD}) has feature level 1, but the cluster has been finalized at level 2" in message
    assert f"set spec.imageTag to {NEW}" in message
    assert {ref: world.owned[ref].metadata.resource_version for ref in parts} == parts
    assert status(world).level == 2 and condition(world)[:2] == ("True", "Finalized")
    world.ask(imageTag=NEW)
    await passes(world)
    assert condition(world, "Synchronized") == ("", "", "") and status(world).change is None


async def test_other_settings_of_the_same_release_open_no_way_back(world: World) -> None:
    world.ask(infra={"replicas": 3})
    await passes(world)
    assert status(world).way_back is None and condition(world)[0] == "True"


@pytest.mark.parametrize("target", [OLD, NEW])
async def test_an_operator_that_dies_at_any_moment_changes_nothing_of_it(world: World, target: str) -> None:
    world.ask(imageTag=NEW)
    await passes(world, dying=True)
    assert back(world).version == OLD and condition(world)[1] == "Soaking"
    if target == OLD:
        world.ask(imageTag=OLD)
        await passes(world, dying=True)
    else:
        world.annotate(FINALIZE_UPGRADE, NEW)
        await passes(world, dying=True)
    assert status(world).observed_kube_virt_version == target and status(world).way_back is None
    assert status(world).level == LEVELS[target]
