"""Passes of one of virt-controller's reconcilers in a world that a test plays. Base of world.py and vm_world.py.

The reconciler is new at each pass: it remembers nothing between two, as if the process died after each.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Protocol

import aiohttp
from virt_controller.caches import Caches
from virt_core.kube.client import KubeClient
from virt_core.kube.errors import Conflict
from virt_core.kube.reflector import Key
from virt_core.testing.api_server import FakeApiServer

from tests.support.patience import PATIENCE


class Reconciler(Protocol):
    """What a pass is made of."""

    async def reconcile(self, key: Key) -> float | None:
        """One pass."""


class _ListsOnly(KubeClient):
    """The same connections, but no watch gets an answer. A pass reads what the caches have listed and cancels them:
    a watch of each kind would only cost the connection that its cancellation closes."""

    def __init__(self, client: KubeClient) -> None:
        vars(self).update(vars(client))

    @asynccontextmanager
    async def stream(self, path: str, query: Mapping[str, str], deadline: float) -> AsyncIterator[aiohttp.StreamReader]:
        """The body of a list."""
        if "watch" in query:
            await asyncio.Event().wait()
        async with super().stream(path, query, deadline) as body:
            yield body


class Passes:
    """`make(client, caches)` gives a reconciler, which works on `key`, for `most` passes until it is at rest."""

    def __init__(
        self, server: FakeApiServer, key: Key, make: Callable[[KubeClient, Caches], Reconciler], *, most: int
    ) -> None:
        self._server = server
        self._key = key
        self._make = make
        self._most = most

    async def settle(self, client: KubeClient) -> None:
        """Let the controller work until a pass writes nothing; AssertionError if it does not come to rest."""
        store = self._server.store
        for _ in range(self._most):
            before = store.version
            await self._one_pass(client)
            if store.version == before:
                return
        raise AssertionError(f"the controller still writes after {self._most} passes: {self._server.requests[-12:]}")

    async def overtake(self, client: KubeClient, act: Callable[[], None]) -> None:
        """Somebody acts between what the controller has seen and what it writes."""
        try:
            await self._one_pass(client, act)
        except Conflict:
            pass  # the queue repeats it

    async def _one_pass(self, client: KubeClient, meanwhile: Callable[[], None] = lambda: None) -> None:
        caches = Caches(_ListsOnly(client), "kubevirt")
        reconciler = self._make(client, caches)
        running = asyncio.create_task(caches.run(), name="caches")
        try:
            async with asyncio.timeout(PATIENCE):
                await caches.wait()
        finally:
            running.cancel()
        meanwhile()
        await reconciler.reconcile(self._key)
