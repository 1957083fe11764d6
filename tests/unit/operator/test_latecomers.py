"""A handler that was replaced after the change, because its node was away, is proven, too; it stops nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from virt_core.conventions.component_pod import TEMPLATE_HASH

from .upgrades import NEW, OLD, condition, five_nodes, passes, status, versions
from .world import World


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    """NEW is installed, but on node a, which is away."""
    async with five_nodes(tmp_path, monkeypatch) as made:
        made.dead = {"a"}
        made.ask(imageTag=NEW, upgradeStrategy={"canary": 0, "waveSize": "100%"})
        await passes(made)
        assert status(made).observed_kube_virt_version == NEW
        assert "a" not in [action.pod.node for action in made.probes.handlers]
        made.probes.asked.clear()
        made.kubelets.began = datetime.now(UTC) + made.offset
        yield made


def template_on(world: World, node: str) -> str:
    return next(pod.metadata.annotations[TEMPLATE_HASH] for pod in world.handlers if pod.node == node)


async def test_the_handler_of_a_node_that_comes_back_is_replaced_and_proven_once(world: World) -> None:
    world.dead = set()
    await passes(world)
    assert template_on(world, "a") == template_on(world, "b")
    assert [(action.pod.node, action.release) for action in world.probes.asked] == [("a", NEW)]
    assert condition(world, "Progressing")[2] == "all components are ready"


async def test_one_that_fails_is_named_and_nothing_goes_back_or_loops(world: World) -> None:
    world.probes.broken = {NEW}
    world.dead = set()
    await passes(world)
    state, reason, message = condition(world, "Available")
    assert (state, reason) == ("True", "AllComponentsReady")
    assert "the handler on node a failed the probe machines: pod virt-handler-" in message
    assert versions(world) == {NEW} and status(world).change is None
    asked = len(world.probes.asked)
    assert 2 <= asked <= 20 and {action.pod.node for action in world.probes.asked} == {"a"}
    await passes(world)
    world.offset += timedelta(hours=1)
    await passes(world)
    assert len(world.probes.asked) == asked
    assert "failed the probe machines" in condition(world, "Available")[2]


async def test_a_new_leader_does_not_ask_handlers_that_are_old(world: World) -> None:
    world.dead = set()
    await passes(world)
    world.probes.asked.clear()
    world.probes.forget()
    world.offset += timedelta(minutes=11)
    await passes(world)
    assert world.probes.asked == []


async def test_after_a_stopped_update_older_handlers_are_asked_only_what_they_offer(
    world: World,
) -> None:
    world.dead = set()
    await passes(world)
    world.probes.broken = {"v1.4.0"}
    world.ask(imageTag="v1.4.0")
    await passes(world)
    assert versions(world) == {NEW} and world.operator.tag == "v1.4.0"
    late = [action for action in world.probes.handlers if action.release == NEW and action.lenient]
    assert late, "those that came back are proven, although no wave did it"
    assert OLD not in versions(world)
