"""A guest starts and ends on each node of a wave, after the other probes of all its handlers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
from virt_core.objects.meta import ObjectReference
from virt_operator.peers.answer import SuitePod
from virt_operator.reconcile.execute import Executor
from virt_operator.suite.actions import ProveWork
from virt_operator.suite.observed import Fault, Outcome

from .upgrades import NEW, NODES, OLD, Journal, condition, five_nodes, passes, status, upgrade_of, versions
from .world import World


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    async with five_nodes(tmp_path, monkeypatch) as made:
        made.ask(upgradeStrategy={"waveSize": 2})
        yield made


async def test_each_node_gets_one_guest_and_those_of_a_wave_start_together(world: World) -> None:
    world.ask(imageTag=NEW)
    journal = await passes(world)
    assert world.probes.guests_on == list(NODES)
    together = [
        [action.pod.node for action in decided.actions if action in world.probes.worked and action.pod.node]
        for decided in journal.plans
    ]
    assert [nodes for nodes in together if nodes] == [["a"], ["b", "c"], ["d", "e"]]
    assert status(world).observed_kube_virt_version == NEW


async def test_a_handler_on_whose_node_no_guest_runs_stops_the_update(world: World) -> None:
    world.probes.guests = {"c": Outcome(Fault("guest", "VirtualMachineInstance kubevirt/x does not run 15 s after"))}
    world.ask(imageTag=NEW)
    await passes(world)
    stopped = upgrade_of(world).stopped
    assert stopped is not None and (stopped.object, stopped.probe) == ("node c", "guest")
    assert versions(world) == {OLD} and "d" not in world.probes.guests_on


async def test_a_node_that_takes_no_guest_is_named_with_the_reason_and_counts_as_proven(world: World) -> None:
    world.cordoned = {"b"}
    world.probes.guests = {"c": Outcome(skipped="the pod of the guest has not started within 6 s: no room")}
    world.ask(imageTag=NEW)
    journal = Journal()
    while len(journal.waves) < 3:
        message = condition(world, "Progressing")[2]
        await passes(world, journal=journal, most=1)
    assert "Node b: no guest has been started to prove it: it is cordoned" in message
    assert "Node c: no guest has been started to prove it: the pod of the guest has not started" in message
    await passes(world, journal=journal)
    assert status(world).observed_kube_virt_version == NEW and "b" not in world.probes.guests_on


async def test_without_probe_guests_there_are_none(world: World) -> None:
    world.ask(upgradeStrategy={"probeGuest": False}, imageTag=NEW)
    await passes(world)
    assert world.probes.guests_on == [] and status(world).observed_kube_virt_version == NEW


@dataclass
class SlowGuests:
    """Guests that take a moment, and an inventory that notes when attempts began and ended."""

    times: dict[str, tuple[datetime, datetime]] = field(default_factory=dict)

    async def prove_work(self, action: ProveWork) -> Outcome:
        for _ in range(3):
            await asyncio.sleep(0)
        return Outcome()

    def worked(self, uid: str, began: datetime, outcome: Outcome) -> None:
        self.times[uid] = (began, datetime.now(UTC))


async def test_to_wait_for_other_guests_of_a_large_wave_is_no_attempt() -> None:
    guests = SlowGuests()
    executor = Executor(cast(Any, None), cast(Any, guests), cast(Any, None), cast(Any, guests), "kubevirt")
    owner = ObjectReference("kubevirt.io/v1", "KubeVirt", "kubevirt", "kubevirt", "uid-1")
    pods = [SuitePod("virt-handler", f"pod-{number}", "node", "") for number in range(60)]
    assert await executor.run([ProveWork(pod, pod.name, owner) for pod in pods]) is None
    assert guests.times["pod-59"][0] > guests.times["pod-0"][1]
