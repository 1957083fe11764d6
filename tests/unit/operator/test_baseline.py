"""Guests whose launchers hang already before a wave: they prove nothing of the new handler, and are named."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from virt_core.objects.upgrade_status import SilentGuest
from virt_operator.change import baseline
from virt_operator.suite.observed import Observed, Survey

from tests.unit.operator.suites import NOW, pod

from .upgrades import NEW, NODES, OLD, Journal, condition, five_nodes, passes, status, upgrade_of, versions
from .world import World


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    async with five_nodes(tmp_path, monkeypatch) as made:
        yield made


@pytest.mark.parametrize("restart", [False, True])
async def test_a_launcher_that_hangs_before_the_wave_does_not_count_and_is_named(world: World, restart: bool) -> None:
    hanging = SilentGuest("uid-vm1", "default/vm1", "its launcher is not connected")
    world.probes.hanging = {"b": hanging}
    world.ask(imageTag=NEW)
    journal = Journal()
    while len(journal.waves) < 3:
        await passes(world, journal=journal, most=1, restart=restart)
    found = upgrade_of(world).wave
    assert found is not None and found.silent == [hanging], "also after its own wave"
    message = condition(world, "Progressing")[2]
    assert "VirtualMachineInstance default/vm1: its launcher did not answer before" in message
    assert "(its launcher is not connected), so it is not probed; restart it" in message
    await passes(world, journal=journal, restart=restart)
    assert status(world).observed_kube_virt_version == NEW and versions(world) == {NEW}
    if not restart:
        assert world.probes.surveyed == list(NODES), "once each, before its wave"


async def test_a_launcher_that_hangs_since_its_wave_began_stops_the_update(world: World) -> None:
    world.ask(imageTag=NEW)
    journal = Journal()
    while (2, ("b",)) not in journal.waves:
        await passes(world, journal=journal, most=1)
    world.probes.hanging = {"b": SilentGuest("uid-vm1", "default/vm1")}
    await passes(world, journal=journal)
    stopped = upgrade_of(world).stopped
    assert stopped is not None and (stopped.object, stopped.probe) == ("node b", "launchers")
    assert versions(world) == {OLD}


def test_the_answers_of_a_thousand_handlers_count_together_until_the_last_is_a_minute_old() -> None:
    pods = [pod("virt-handler", "old", name=f"handler-{number}") for number in range(1000)]
    surveys = {found.metadata.uid: Survey(NOW + timedelta(seconds=number / 5), ()) for number, found in enumerate(pods)}

    def asked(seconds: float, known: dict[str, Survey] = surveys) -> int:
        observed = Observed(now=NOW + timedelta(seconds=seconds), surveys=known)
        return len(baseline.unknown(cast(Any, SimpleNamespace(observed=observed)), pods))

    assert asked(0, {}) == 1000
    assert asked(201) == 0, "the first answer is three minutes old"
    assert asked(201, {uid: survey for uid, survey in surveys.items() if uid != pods[7].metadata.uid}) == 1
    assert asked(261) == 1000
    late = {**surveys, pods[0].metadata.uid: replace(surveys[pods[0].metadata.uid], at=NOW + timedelta(minutes=14))}
    assert asked(15 * 60 - 1, late) == 999, "none counts for longer than ten minutes"
