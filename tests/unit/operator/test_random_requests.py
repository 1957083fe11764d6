"""Whatever an administrator requests, in any order and before the last change has ended: the suite becomes what was
requested last, its way back is open as long as it was promised, and what is final is refused.

tests/e2e/test_random_sequences.py does the same on a real cluster.
"""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from virt_core.conventions.labels import FINALIZE_UPGRADE

from tests.support.releases_in_turn import ReleasesInTurn

from .updates import LEVELS, NEW, NEWEST, OLD, back, condition, installed, passes, status
from .world import World

pytestmark = pytest.mark.exhaustive

EXAMPLES = int(os.environ.get("EXAMPLES", "6"))
STEPS = 8
PASSES = st.sampled_from((None, 0, 1, 2, 3, 4, 5, 8, 12, 18, 25, 35))
"""Passes before the next request; None: until nothing happens any more."""


@given(data=st.data())
@settings(max_examples=EXAMPLES, deadline=None, derandomize=EXAMPLES == 6, phases=(Phase.generate,))
async def test_requests_in_any_order_end_in_the_last_one_and_keep_the_way_back(data: st.DataObject) -> None:
    with TemporaryDirectory() as folder:
        async with installed(Path(folder)) as world:
            administrator = _Administrator(world)
            for _ in range(STEPS):
                await administrator.act(data)
            await administrator.resume()


class _Administrator:
    def __init__(self, world: World) -> None:
        self._world = world
        self._ways = ReleasesInTurn((OLD, NEW, NEWEST), OLD, OLD, OLD)
        self._steps: list[str] = []

    async def act(self, data: Any) -> None:
        ways = self._ways
        possible = [*(["resume"] * 3 if ways.paused else ["pause"]), *(["finalize"] * 2 if ways.may_finalize() else [])]
        wanted = data.draw(st.sampled_from([*possible, *ways.older() * 2, *ways.newer() * 2]))
        self._steps.append(wanted)
        match wanted:
            case "pause" | "resume":
                ways.paused = wanted == "pause"
                self._world.ask(upgradeStrategy={"paused": True} if ways.paused else None)
                await self._settle()
            case "finalize":
                await self._finalize()
            case _:
                await self._request(wanted, manifest=data.draw(st.booleans()), most=data.draw(PASSES))

    async def resume(self) -> None:
        self._ways.paused = False
        self._world.ask(upgradeStrategy=None)
        await self._settle()

    async def _request(self, release: str, manifest: bool, most: int | None) -> None:
        self._steps[-1] += f" by {'manifest' if manifest else 'imageTag'}, {most} passes"
        self._world.ask(imageTag=None if manifest else release)
        if manifest:
            self._world.apply_manifest(release)
        self._ways.request(release)
        if most is None:
            await self._settle()
        else:
            await passes(self._world, most=most)

    async def _finalize(self) -> None:
        value = f"{self._ways.installed}@{back(self._world).since}"
        self._world.annotate(FINALIZE_UPGRADE, value)
        await passes(self._world)
        before = self._ways.finalize()
        self._world.ask(imageTag=before)
        await passes(self._world)
        assert condition(self._world, "Synchronized")[1] == "FeatureLevelTooLow", self._steps
        self._world.ask(imageTag=None)
        await self._settle()

    async def _settle(self) -> None:
        await passes(self._world)
        self._ways.settle()
        if self._ways.paused:
            return
        found = status(self._world)
        way_back = found.way_back.version if found.way_back is not None else None
        assert (found.observed_kube_virt_version, self._world.operator.tag) == (self._ways.installed,) * 2, self._steps
        assert (way_back, found.level) == (self._ways.way_back, LEVELS[self._ways.oldest]), self._steps
        assert found.change is None, self._steps
