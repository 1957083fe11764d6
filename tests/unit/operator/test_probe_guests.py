"""A guest starts and ends on each node of a wave, after the other probes of all its handlers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
from virt_core.objects.meta import ObjectReference
from virt_core.objects.upgrade_status import SilentGuest
from virt_operator.peers.answer import SuitePod
from virt_operator.reconcile.execute import Executor
from virt_operator.reconcile.learn import Learner
from virt_operator.suite.actions import PROBES_AT_ONCE, Action, Prove, ProveWork, SurveyGuests
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
class SlowProber:
    """Probes that take a moment, and an inventory that notes when attempts began and ended."""

    times: dict[str, tuple[datetime, datetime]] = field(default_factory=dict)
    running: int = 0
    most: int = 0

    async def _moment(self) -> None:
        self.running += 1
        self.most = max(self.most, self.running)
        for _ in range(3):
            await asyncio.sleep(0)
        self.running -= 1

    async def prove(self, action: Prove) -> None:
        await self._moment()

    async def prove_work(self, action: ProveWork) -> Outcome:
        await self._moment()
        return Outcome()

    async def silent_guests(self, pod: SuitePod) -> tuple[SilentGuest, ...]:
        await self._moment()
        return ()

    def probed(self, uid: str, began: datetime, fault: Fault | None) -> None:
        self.times[uid] = (began, datetime.now(UTC))

    def worked(self, uid: str, began: datetime, outcome: Outcome) -> None:
        self.times[uid] = (began, datetime.now(UTC))

    def surveyed(self, uid: str, silent: tuple[SilentGuest, ...]) -> None:
        self.times[uid] = (datetime.now(UTC), datetime.now(UTC))


OWNER = ObjectReference("kubevirt.io/v1", "KubeVirt", "kubevirt", "kubevirt", "uid-1")
PROBES: tuple[Callable[[SuitePod], Action], ...] = (
    lambda pod: Prove(pod, pod.name, "v1.3.0", 1),
    lambda pod: ProveWork(pod, pod.name, OWNER),
    lambda pod: SurveyGuests(pod, pod.name),
)


@pytest.mark.parametrize("probe", PROBES, ids=["prove", "work", "survey"])
async def test_of_a_wave_of_a_thousand_nodes_fifty_are_asked_at_a_time_and_waiting_is_no_attempt(
    probe: Callable[[SuitePod], Action],
) -> None:
    prober = SlowProber()
    learner = Learner(cast(Any, None), cast(Any, prober), cast(Any, prober), "kubevirt")
    executor = Executor(cast(Any, None), cast(Any, prober), cast(Any, None), learner, "kubevirt")
    pods = [SuitePod("virt-handler", f"pod-{number}", "node", "") for number in range(1000)]
    assert await executor.run(map(probe, pods)) is None
    assert (len(prober.times), prober.most) == (1000, PROBES_AT_ONCE)
    assert prober.times["pod-999"][0] > prober.times["pod-0"][1]
