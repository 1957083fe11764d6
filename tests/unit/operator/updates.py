"""Updates of a suite on a fake cluster, pass by pass, and what its KubeVirt object says of the way back."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from virt_core.kube.client import KubeClient
from virt_core.objects.upgrade_status import WayBack
from virt_core.testing.api_server import FakeApiServer
from virt_operator.reconcile.events import events_of

from .rest import Rest
from .upgrades import status
from .world import World

OLD, NEW, NEWEST = "v1.2.3", "v1.3.0", "v1.3.1"
LEVELS = {"v1.2.0": 1, OLD: 1, NEW: 2, NEWEST: 3}
MOST_PASSES = 120


@asynccontextmanager
async def installed(folder: Path) -> AsyncIterator[World]:
    """OLD is installed on two nodes."""
    async with FakeApiServer.running() as server:
        before = os.environ.get("KUBECONFIG")
        os.environ["KUBECONFIG"] = str(server.write_kubeconfig(folder / "kubeconfig"))
        try:
            async with KubeClient.connect("test") as client:
                made = World(server, client, kinds=("Deployment", "DaemonSet"), levels=LEVELS)
                made.create()
                await passes(made)
                assert status(made).observed_kube_virt_version == OLD
                yield made
        finally:
            if before is None:
                del os.environ["KUBECONFIG"]
            else:
                os.environ["KUBECONFIG"] = before


def back(world: World) -> WayBack:
    found = status(world).way_back
    assert found is not None
    return found


def condition(world: World, kind: str = "Finalized") -> tuple[str, str, str]:
    found = [condition for condition in status(world).conditions if condition.type == kind]
    return (found[0].status, found[0].reason, found[0].message) if found else ("", "", "")


async def passes(world: World, *, dying: bool = False, most: int = MOST_PASSES) -> list[str]:
    """Passes until nothing happens any more, but what is due much later; the events. `dying`: the operator restarts
    after each pass, and every other one dies in the middle of it."""
    rest, events = Rest(), []
    for number in range(most):
        before, previous = world.server.store.version, status(world)
        if dying:
            await world.run_pass(number % 2)
            world.act()
        decided = await world.run_pass()
        events += [event.reason for event in events_of(previous, status(world))]
        world.act()
        if rest.is_reached(world, before, decided):
            break
    return events


async def updated(world: World, tag: str = NEW) -> None:
    world.ask(imageTag=tag)
    await passes(world)
    assert status(world).observed_kube_virt_version == tag
