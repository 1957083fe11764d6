"""Each row of KubeVirt's table of run strategies on a real cluster: what becomes of a guest that shuts down, crashes,
is deleted by hand, started, stopped and restarted.
"""

from __future__ import annotations

import asyncio
import random

import pytest
from virt_core.kube.resource import EVENTS

from tests.e2e.vm_fleet import Fleet
from tests.e2e.vm_lives import ENDED, NONE, RUNNING, Life, first
from tests.support.patience import PATIENCE

pytestmark = pytest.mark.parallel
WALKS = {
    "Always": ("shutdown", "shutdown", "shutdown", "crash", "delete its guest", "restart", "stop"),
    "RerunOnFailure": ("shutdown", "start", "crash", "delete its guest", "start", "restart", "stop"),
    "Manual": ("start", "shutdown", "start", "crash", "restart", "delete its guest", "start", "stop"),
    "Halted": ("start", "stop") * 5,
    "Once": ("delete its guest", "shutdown", "stop"),
}


async def test_each_strategy_has_kubevirts_answer_to_all_that_can_happen_to_its_guest() -> None:
    async with Fleet.in_namespace("run-strategies") as fleet:
        lives = {
            strategy: Life(fleet, strategy.lower(), first(strategy), random.Random(strategy), [f"create {strategy}"])
            for strategy in WALKS
        }
        async with asyncio.TaskGroup() as group:
            for strategy, life in lives.items():
                group.create_task(life.walk(WALKS[strategy]), name=life.name)
        await fleet.until_reported([life.name for life in lives.values()], "Stopped")
        for life in lives.values():
            life.check()
        assert {strategy: life.state.guest for strategy, life in lives.items()} == dict.fromkeys(WALKS, NONE)


async def _events_about(fleet: Fleet, uid: str) -> set[tuple[str, str]]:
    """Reasons and types."""
    events = await fleet.client.list(EVENTS, fleet.namespace)
    return {(event["reason"], event["type"]) for event in events if event["regarding"].get("uid") == uid}


async def test_one_that_runs_once_keeps_the_guest_that_crashed_with_a_warning() -> None:
    async with Fleet.in_namespace("runs-once") as fleet:
        life = Life(fleet, "crashes", first("Once"), random.Random(0), ["create Once"])
        await life.walk(())
        assert life.state.guest == RUNNING
        await life.take("crash")
        await fleet.until_reported([life.name], "Stopped")
        life.check()
        assert (life.state.guest, fleet.phase(life.name)) == (ENDED, "Failed")
        uid = fleet.vmis[life.name]["metadata"]["uid"]
        async with asyncio.timeout(PATIENCE):  # an event is written after the status that it belongs to
            while ("Stopped", "Warning") not in await _events_about(fleet, uid):
                continue
