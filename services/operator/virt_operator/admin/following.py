"""The stream of Watch: the whole state at once, then each change; conflated, with heartbeats. Called by servicer.py.

Each stream has a watch of the API server of its own, so a replica has none while nobody asks.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any

import msgspec
from kubevirt.admin.v1 import admin_pb2
from virt_core.kube.client import KubeClient
from virt_core.kube.reflector import Key, Reflector
from virt_core.kube.resource import KUBEVIRTS
from virt_core.objects.kubevirt import by_precedence
from virt_core.objects.meta import ObjectMeta

from virt_operator.admin.status import suite_message

HEARTBEAT = 10.0
"""Seconds without a change after which a heartbeat is sent."""

LIFETIME = 30 * 60.0
"""Seconds after which the stream ends."""


class _KubeVirt(msgspec.Struct, frozen=True):
    metadata: ObjectMeta
    spec: Any = None
    status: Any = None


class Following:
    """The KubeVirt object that counts, while one stream follows it."""

    def __init__(self, client: KubeClient, namespace: str) -> None:
        self._namespace = namespace
        self._changed = asyncio.Event()
        self._reflector = Reflector(client, KUBEVIRTS, _KubeVirt, self._stir, optional=True)

    async def responses(
        self, heartbeat: float = HEARTBEAT, lifetime: float = LIFETIME
    ) -> AsyncGenerator[admin_pb2.WatchResponse, None]:
        """States and heartbeats, until `lifetime` seconds are over."""
        loop = asyncio.get_running_loop()
        end = loop.time() + lifetime
        watch = asyncio.create_task(self._reflector.run(), name="watch for an administrator")
        try:
            last: admin_pb2.WatchState | None = None
            while (left := end - loop.time()) > 0:
                await self._settled(min(heartbeat, left))
                self._changed.clear()
                state = self._state()
                if state is None or state == last:
                    yield admin_pb2.WatchResponse(heartbeat=admin_pb2.Heartbeat())
                else:
                    last = state
                    yield admin_pb2.WatchResponse(state=state)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), min(heartbeat, max(0.0, end - loop.time())))
        finally:
            watch.cancel()
            await asyncio.wait([watch])

    async def _settled(self, longest: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._reflector.synced.wait(), longest)

    def _state(self) -> admin_pb2.WatchState | None:
        """None before the first list."""
        trouble = self._reflector.trouble
        if not self._reflector.synced.is_set():
            return admin_pb2.WatchState(trouble=trouble) if trouble else None
        suite, _ = by_precedence(self._reflector, self._namespace)
        message = suite_message(msgspec.to_builtins(suite)) if suite is not None else None
        return admin_pb2.WatchState(suite=message, trouble=trouble)

    def _stir(self, _: Key) -> None:
        self._changed.set()
