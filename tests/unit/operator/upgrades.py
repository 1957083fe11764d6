"""Upgrades of a fake cluster of five nodes: its begin, its passes and what they showed. Used by tests of waves."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from virt_core.conventions.component_pod import TEMPLATE_HASH
from virt_core.kube.client import KubeClient
from virt_core.objects.kubevirt import KubeVirtStatus
from virt_core.objects.upgrade_status import Upgrade
from virt_core.testing.api_server import FakeApiServer
from virt_operator.reconcile.events import event_of
from virt_operator.strategy.ref import Ref
from virt_operator.suite.actions import Prove, ProveWork, SurveyGuests
from virt_operator.suite.plan import Plan

from .rest import Rest
from .world import World

NODES = ("a", "b", "c", "d", "e")
OLD, NEW = "v1.2.3", "v1.3.0"
HANDLER = Ref("DaemonSet", "kubevirt", "virt-handler")
MOST_PASSES = 120


@asynccontextmanager
async def five_nodes(folder: Path, monkeypatch: pytest.MonkeyPatch, **more: Any) -> AsyncIterator[World]:
    """OLD is installed on five nodes."""
    async with FakeApiServer.running() as server:
        monkeypatch.setenv("KUBECONFIG", str(server.write_kubeconfig(folder / "kubeconfig")))
        async with KubeClient.connect("test") as client:
            made = World(server, client, nodes=NODES, kinds=("Deployment", "DaemonSet"), **more)
            made.create()
            await passes(made)
            assert status(made).observed_kube_virt_version == OLD
            made.probes.asked.clear()
            yield made


class Journal:
    """What happened in a number of passes."""

    def __init__(self) -> None:
        self.waves: list[tuple[int, tuple[str, ...]]] = []
        self.templates: dict[str, list[str]] = {}
        """The handler's templates by node, in order."""

        self.events: list[str] = []
        self.plans: list[Plan] = []

    def see(self, world: World, decided: Plan) -> None:
        self.plans.append(decided)
        upgrade = status(world).upgrade
        if upgrade is not None and upgrade.wave is not None:
            wave = (upgrade.wave.number, tuple(upgrade.wave.nodes))
            if wave not in self.waves[-1:]:
                self.waves.append(wave)
        for pod in world.handlers:
            seen = self.templates.setdefault(pod.node, [])
            found = pod.metadata.annotations[TEMPLATE_HASH]
            if found not in seen[-1:]:
                seen.append(found)


def status(world: World) -> KubeVirtStatus:
    assert world.suite is not None
    return world.suite.status


def upgrade_of(world: World) -> Upgrade:
    found = status(world).upgrade
    assert found is not None
    return found


def condition(world: World, kind: str) -> tuple[str, str, str]:
    found = next(condition for condition in status(world).conditions if condition.type == kind)
    return found.status, found.reason, found.message


async def passes(
    world: World, *, journal: Journal | None = None, most: int = MOST_PASSES, restart: bool = False
) -> Journal:
    """Passes until nothing happens any more; what is due within minutes happens. The operator may restart after each
    but those that probe: what these found is lost then, and is found again. A survey counts as a probe here."""
    journal, rest = journal or Journal(), Rest()
    for _ in range(most):
        before = world.server.store.version
        previous = status(world)
        decided = await world.run_pass()
        event = event_of(previous, status(world))
        journal.events += [event.reason] if event is not None else []
        world.act()
        journal.see(world, decided)
        if restart and not any(isinstance(action, Prove | ProveWork | SurveyGuests) for action in decided.actions):
            world.probes.forget()
        if rest.is_reached(world, before, decided):
            break
    return journal


def versions(world: World) -> set[str]:
    """The images of the handler's template and of virt-api's and virt-controller's."""
    workloads = [live for ref, live in world.owned.items() if ref.kind in ("DaemonSet", "Deployment")]
    containers = [live.content()["spec"]["template"]["spec"]["containers"][0] for live in workloads]
    return {container["image"].rpartition(":")[2] for container in containers}


def template(world: World) -> str:
    return json.dumps(world.owned[HANDLER].content()["spec"]["template"], sort_keys=True)
