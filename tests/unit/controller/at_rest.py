"""The head of closed-loop tests of controllers: an object, whoever acts on it, and a controller that comes to rest.

Each test supplies the object's world: what others do to it, and passes of its controller. Used by the modules
whose names end in closed_loop.py.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Generic, Protocol, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule
from virt_core.kube.client import KubeClient
from virt_core.testing.api_server import FakeApiServer


class World(Protocol):
    """What a test plays, and its controllers."""

    async def settle(self, client: KubeClient) -> None:
        """The controllers work until they are at rest."""

    async def overtake(self, client: KubeClient, act: Callable[[], None]) -> None:
        """Somebody acts between what a controller has seen and what it writes."""


AnyWorld = TypeVar("AnyWorld", bound=World)


class ControllerAtRest(RuleBasedStateMachine, Generic[AnyWorld]):
    """Rules are what others do; each ends with the controller at rest, unless it is slow."""

    def __init__(self, make: Callable[[FakeApiServer], AnyWorld]) -> None:
        super().__init__()
        self._runner = asyncio.Runner()
        self._stack = AsyncExitStack()
        self._slow = False
        self._runner.run(self._start(make))

    async def _start(self, make: Callable[[FakeApiServer], AnyWorld]) -> None:
        folder = Path(self._stack.enter_context(TemporaryDirectory()))
        server = await self._stack.enter_async_context(FakeApiServer.running())
        os.environ["KUBECONFIG"] = str(server.write_kubeconfig(folder / "kubeconfig"))
        self._client = await self._stack.enter_async_context(KubeClient.connect("test"))
        self._world = make(server)
        await self._world.settle(self._client)

    def teardown(self) -> None:
        """At the end of each example."""
        self._runner.run(self._stack.aclose())
        self._runner.close()
        os.environ.pop("KUBECONFIG", None)

    def _settle(self) -> None:
        self._runner.run(self._world.settle(self._client))

    def _act(self, act: Callable[[], None]) -> None:
        """Somebody acts, and the controller comes to rest. A slow one works on what was there before the act, and
        observes it only when the next one happens."""
        if self._slow:
            self._runner.run(self._world.overtake(self._client, act))
        else:
            act()
            self._settle()

    @rule(slow=st.booleans())
    def controller_is(self, slow: bool) -> None:
        """The controller becomes slow, or is at rest again."""
        self._slow = slow
        if not slow:
            self._act(lambda: None)
