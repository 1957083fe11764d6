"""Guests, their migrations and launcher pods as watches report them, with a witness in every launcher pod.

Used by test_migration_kills.py and migration_faults.py to know at which moment of a migration they are.
"""

from __future__ import annotations

import asyncio
import enum
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from virt_core.conventions.labels import CREATED_BY
from virt_core.conventions.migration import JOB_UID
from virt_core.kube.client import KubeClient
from virt_core.kube.errors import KubeError
from virt_core.kube.resource import (
    PODS,
    VIRTUAL_MACHINE_INSTANCE_MIGRATIONS,
    VIRTUAL_MACHINE_INSTANCES,
    Resource,
)

from tests.e2e.witness import Witness

Body = dict[str, Any]
NAMESPACE = "default"
FINAL = ("Succeeded", "Failed")
_WATCH_SECONDS, _RETRY = 3000.0, 0.5


class Moment(enum.IntEnum):
    """How far a migration is."""

    REQUESTED = 0
    SCHEDULING = 1
    PREPARING = 2
    COPYING = 3
    SWITCHING = 4
    ARRIVED = 5
    OVER = 6


@dataclass(frozen=True, slots=True)
class Move:
    """One migration of one guest."""

    name: str
    guest: str
    began: float


class MoveWatch:
    """What is there now, and all witnesses that there ever were."""

    def __init__(self, client: KubeClient, group: asyncio.TaskGroup) -> None:
        self.client = client
        self._group = group
        self._changed = asyncio.Condition()
        self._wakers: set[asyncio.Task[None]] = set()
        self.vmis: dict[str, Body] = {}
        self.migrations: dict[str, Body] = {}
        self.pods: dict[str, Body] = {}
        self.witnesses: dict[str, Witness] = {}
        """By the pod's UID."""

        self._of: dict[str, list[str]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        known = {
            VIRTUAL_MACHINE_INSTANCES: self.vmis,
            VIRTUAL_MACHINE_INSTANCE_MIGRATIONS: self.migrations,
            PODS: self.pods,
        }
        for resource, objects in known.items():
            self._begin(self._follow(resource, objects), f"watch of {resource.plural}")

    @classmethod
    @asynccontextmanager
    async def connected(cls) -> AsyncIterator[MoveWatch]:
        """Watches until the end of the context."""
        async with KubeClient.connect("move-watch") as client, asyncio.TaskGroup() as group:
            watch = cls(client, group)
            try:
                yield watch
            finally:
                for task in watch._tasks:
                    task.cancel()

    async def until(self, holds: Callable[[], bool], seconds: float) -> bool:
        """Return as soon as `holds`, or False after so long."""
        try:
            async with asyncio.timeout(seconds), self._changed:
                await self._changed.wait_for(holds)
        except TimeoutError:
            return False
        return True

    def witnesses_of(self, vmi_uid: str) -> list[Witness]:
        """Of all launcher pods that the guest has had."""
        return [self.witnesses[uid] for uid in self._of.get(vmi_uid, ())]

    def phase(self, move: Move) -> str:
        """Of the VirtualMachineInstanceMigration."""
        return str(self.migrations.get(move.name, {}).get("status", {}).get("phase", ""))

    def state(self, move: Move) -> Body:
        """status.migrationState of the guest, if it is this migration's."""
        uid = self.migrations.get(move.name, {}).get("metadata", {}).get("uid", "-")
        state: Body = self.vmis.get(move.guest, {}).get("status", {}).get("migrationState") or {}
        return state if state.get("migrationUid") == uid else {}

    def target(self, move: Move) -> Body | None:
        """The target pod."""
        uid = self.migrations.get(move.name, {}).get("metadata", {}).get("uid", "-")
        return next((p for p in self.pods.values() if p["metadata"].get("labels", {}).get(JOB_UID) == uid), None)

    def moment(self, move: Move) -> Moment:
        """How far it is."""
        if self.phase(move) in FINAL:
            return Moment.OVER
        state = self.state(move)
        if not state:
            return Moment.SCHEDULING if self.target(move) is not None else Moment.REQUESTED
        target = self.witnesses.get(state.get("targetPodUID", ""))
        source = self.witnesses.get(state.get("sourcePodUID", ""))
        if target is not None and target.happened_since(move.began, "resumed", "running"):
            return Moment.ARRIVED
        if source is not None and source.happened_since(move.began, "suspended", "stopped"):
            return Moment.SWITCHING
        return Moment.COPYING if state.get("startTimestamp") else Moment.PREPARING

    def _begin(self, work: Any, name: str) -> None:
        self._tasks.append(self._group.create_task(work, name=name))

    async def _follow(self, resource: Resource, known: dict[str, Body]) -> None:
        while True:
            try:
                await self._watch(resource, known)
            except KubeError as error:
                print(f"watching {resource.plural} again: {error}")
                await asyncio.sleep(_RETRY)

    async def _watch(self, resource: Resource, known: dict[str, Body]) -> None:
        buffer = bytearray()
        async with self.client.stream(resource.path(NAMESPACE), {"watch": "1"}, deadline=_WATCH_SECONDS) as body:
            while chunk := await body.readany():
                buffer += chunk
                *lines, rest = buffer.split(b"\n")
                buffer = bytearray(rest)
                for line in filter(None, lines):
                    self._see(resource, known, json.loads(line))
                async with self._changed:
                    self._changed.notify_all()

    def _see(self, resource: Resource, known: dict[str, Body], event: Body) -> None:
        body = event["object"]
        name = body["metadata"]["name"]
        if event["type"] == "DELETED":
            known.pop(name, None)
            return
        known[name] = body
        if resource is PODS:
            self._witness(body)

    def _witness(self, pod: Body) -> None:
        """A witness as soon as the launcher's container runs."""
        meta, status = pod["metadata"], pod["status"]
        owner, uid, address = meta.get("labels", {}).get(CREATED_BY), meta["uid"], status.get("podIP")
        runs = any(
            container["name"] == "compute" and "running" in container.get("state", {})
            for container in status.get("containerStatuses", ())
        )
        if owner and address and runs and uid not in self.witnesses:
            self.witnesses[uid] = Witness(meta["name"], uid, address, self._wake)
            self._of.setdefault(owner, []).append(uid)
            self._begin(self.witnesses[uid].run(), f"witness of {meta['name']}")

    def _wake(self) -> None:
        async def notify() -> None:
            async with self._changed:
                self._changed.notify_all()

        task = self._group.create_task(notify(), name="a witness has seen something")
        self._wakers.add(task)
        task.add_done_callback(self._wakers.discard)
