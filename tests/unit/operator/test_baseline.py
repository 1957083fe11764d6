"""Guests whose launchers hang already before a wave: they prove nothing of the new handler, and are named."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from virt_core.objects.kubevirt import SilentGuest

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
