"""Machines of the bench: created and deleted many at a time, followed by one watch that keeps only their phases."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import msgspec
from virt_core.conventions.conditions import READY
from virt_core.kube.client import KubeClient
from virt_core.kube.errors import NotFound
from virt_core.kube.resource import VIRTUAL_MACHINE_INSTANCES, VIRTUAL_MACHINES, Resource
from virt_core.objects.kubevirt import Configuration
from virt_core.testing.patches import json_patch
from virt_core.vm.defaults import create_patch
from virt_core.vmi.defaults import defaulted

from tests.bench.machines import guestless
from tests.bench.scale.crowd import each
from tests.e2e.vm_fleet import guestless_vm

NAMESPACE = "scale"
A_SECOND = 20
_SECONDS = 3600.0


class _Meta(msgspec.Struct, frozen=True):
    name: str


class _Condition(msgspec.Struct, frozen=True):
    type: str
    status: str


class _Status(msgspec.Struct, frozen=True, rename="camel"):
    phase: str = ""
    node_name: str = ""
    conditions: list[_Condition] = []


class _Machine(msgspec.Struct, frozen=True):
    metadata: _Meta
    status: _Status = _Status()


class _Event(msgspec.Struct, frozen=True):
    type: str
    object: _Machine


class Fleet:
    """VirtualMachineInstances as a watch reports them."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client
        self._changed = asyncio.Event()
        self._states: dict[str, tuple[str, str, bool]] = {}
        self._decoder = msgspec.json.Decoder(_Event)
        self.phases: Counter[str] = Counter()
        """How many there are in each phase."""

        self.starts: list[float] = []
        """Of each that has run, the seconds from its creation, as the watch has shown both."""

        self._created: dict[str, float] = {}

    @classmethod
    @asynccontextmanager
    async def followed(cls, client: KubeClient) -> AsyncIterator[Fleet]:
        """With a watch until the end of the block."""
        fleet = cls(client)
        task = asyncio.create_task(fleet._follow(), name="watch of the fleet")
        try:
            yield fleet
        finally:
            task.cancel()
            await asyncio.wait([task])

    @property
    def size(self) -> int:
        """How many there are."""
        return len(self._states)

    def on(self, nodes: set[str], *, ready: bool | None = None) -> list[str]:
        """Names of those on one of the nodes, that are ready or not."""
        return [
            name
            for name, (_, node, is_ready) in self._states.items()
            if node in nodes and (ready is None or is_ready is ready)
        ]

    def phase(self, name: str) -> str:
        """Of one of them; "" when it is gone."""
        return self._states.get(name, ("", "", False))[0]

    async def create_vmis(self, names: list[str]) -> None:
        """VirtualMachineInstances without disks."""
        await self._create(VIRTUAL_MACHINE_INSTANCES, [_vmi(name) for name in names])

    async def create_vms(self, names: list[str]) -> None:
        """VirtualMachines that run from their creation, as KubeVirt's limiter lets them: A_SECOND."""
        await self._create(VIRTUAL_MACHINES, [_vm(name) for name in names], seconds=1 / A_SECOND)

    async def delete(self, resource: Resource, names: list[str]) -> None:
        """Request their deletion."""

        async def delete(name: str) -> None:
            try:
                await self._client.delete(resource, NAMESPACE, name)
            except NotFound:
                pass

        await each(delete, names)

    async def until(self, holds: Callable[[], bool], what: str, seconds: float) -> float:
        """Return as soon as `holds`, with the seconds that it took."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(seconds):
                while not holds():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise RuntimeError(f"after {seconds:.0f} s still waiting for {what}: {dict(self.phases)}") from None
        return time.monotonic() - began

    async def _create(self, resource: Resource, bodies: list[dict[str, Any]], *, seconds: float = 0.0) -> None:
        """Create them, one every so many seconds, or as many as the API server takes."""
        began = time.monotonic()

        async def create(numbered: tuple[int, dict[str, Any]]) -> None:
            number, body = numbered
            if (early := began + number * seconds - time.monotonic()) > 0:
                await asyncio.sleep(early)
            await self._client.create(resource, NAMESPACE, body)

        await each(create, enumerate(bodies))

    async def _follow(self) -> None:
        while True:  # the API server closes the watch of a client that is too slow; the next one begins with all
            self._states.clear()
            self.phases.clear()
            await self._follow_once()

    async def _follow_once(self) -> None:
        path, buffer = VIRTUAL_MACHINE_INSTANCES.path(NAMESPACE), bytearray()
        async with self._client.stream(path, {"watch": "1"}, deadline=_SECONDS) as body:
            while chunk := await body.readany():
                buffer += chunk
                *lines, rest = buffer.split(b"\n")
                buffer = bytearray(rest)
                for line in filter(None, lines):
                    self._see(self._decoder.decode(line))
                self._changed.set()

    def _see(self, event: _Event) -> None:
        name, status = event.object.metadata.name, event.object.status
        before = self._states.pop(name, None)
        if before is not None:
            self.phases[before[0]] -= 1
        if event.type == "DELETED":
            self._created.pop(name, None)
            return
        created = self._created.setdefault(name, time.monotonic())
        if status.phase == "Running" and before is not None and before[0] != "Running":
            self.starts.append(time.monotonic() - created)
        ready = any(condition.type == READY and condition.status == "True" for condition in status.conditions)
        self._states[name] = status.phase, status.node_name, ready
        self.phases[status.phase] += 1


def _vm(name: str) -> dict[str, Any]:
    """As virt-api's webhook stores it."""
    body = guestless_vm(name, "Always")
    return json_patch(body, create_patch(body, Configuration(), lambda: str(uuid4())))


def _vmi(name: str) -> dict[str, Any]:
    """As virt-api's webhook stores it."""
    body = guestless(name)
    return defaulted({**body, "metadata": {"name": name}}, Configuration())
