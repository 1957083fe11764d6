"""What can happen to virt-controller's replicas: the leader or all die, or two lead at once. For tests.

A dead leader's Lease runs out after 15 s. To have many faults in minutes, most are followed by what a graceful stop
does, and a killed pod is replaced: the kubelet would wait longer and longer before it starts the container again.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import Awaitable, Callable

from virt_core.kube.client import KubeClient
from virt_core.kube.errors import KubeError, NotFound
from virt_core.kube.resource import LEASES, PODS

from tests.e2e.cluster import NAMESPACE, Process, process

COMPONENT = "virt-controller"
_LEADER_SECONDS = 120.0
_FROZEN_SECONDS = 18.0  # longer than a Lease lasts: another leads when this one goes on with what it saw before


class Faults:
    """Happens to virt-controller what `chance` chooses; `happened` counts by name."""

    def __init__(self, client: KubeClient, chance: random.Random) -> None:
        self._client, self._chance = client, chance
        self.happened: dict[str, int] = {}

    async def happen(self, times: int, longest_pause: float) -> None:
        """One fault after the other, each within `longest_pause` seconds after a replica leads."""
        kinds: dict[str, Callable[[], Awaitable[None]]] = {
            "the leader is killed": self._kill_leader,
            "all replicas are killed": self._kill_all,
            "a standby takes the Lease": self._steal,
            "the Lease is deleted": self._delete_lease,
            "the leader is frozen while another leads": self._freeze,
        }
        weights = (times * 0.4, times * 0.2, times * 0.2, times * 0.14, times * 0.06)
        for _ in range(times):
            await self._leader()
            await asyncio.sleep(self._chance.uniform(0, longest_pause))
            (kind,) = self._chance.choices(list(kinds), weights)
            await kinds[kind]()
            self.happened[kind] = self.happened.get(kind, 0) + 1

    async def _pods(self) -> dict[str, str]:
        """UIDs by name, of those that stay."""
        pods = await self._client.list(PODS, NAMESPACE, labels=f"kubevirt.io={COMPONENT}")
        return {
            pod["metadata"]["name"]: pod["metadata"]["uid"]
            for pod in pods
            if "deletionTimestamp" not in pod["metadata"]
        }

    async def _holder(self) -> str:
        try:
            lease = await self._client.get(LEASES, NAMESPACE, COMPONENT)
        except NotFound:
            return ""
        return str(lease["spec"].get("holderIdentity", ""))

    async def _leader(self) -> tuple[str, Process]:
        """Name and process of a replica that lives and holds the Lease; waits until there is one."""
        async with asyncio.timeout(_LEADER_SECONDS):
            while True:
                holder, pods = await self._holder(), await self._pods()
                if holder in pods and (found := await _of(pods[holder])):
                    return holder, found
                await asyncio.sleep(0.1)

    async def _kill_leader(self) -> None:
        name, leader = await self._leader()
        leader.kill()
        if self._chance.random() < 0.7:
            await self._replace(name)
            await self._hold("")

    async def _kill_all(self) -> None:
        pods = await self._pods()
        for uid in pods.values():
            if found := await _of(uid):
                found.kill()
        for name in pods:
            await self._replace(name)
        if self._chance.random() < 0.7:
            await self._hold("")

    async def _steal(self) -> None:
        """The old leader notices at its next renewal, within 5 s: until then two lead."""
        holder, _ = await self._leader()
        if others := sorted((await self._pods()).keys() - {holder}):
            await self._hold(others[0])

    async def _delete_lease(self) -> None:
        await self._client.delete(LEASES, NAMESPACE, COMPONENT)

    async def _freeze(self) -> None:
        _, leader = await self._leader()
        os.kill(leader.pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(_FROZEN_SECONDS)
        finally:
            try:
                os.kill(leader.pid, signal.SIGCONT)
            except ProcessLookupError:
                pass  # the kubelet has killed it

    async def _replace(self, name: str) -> None:
        try:
            await self._client.delete(PODS, NAMESPACE, name, grace=0)
        except NotFound:
            pass

    async def _hold(self, identity: str) -> None:
        try:
            await self._client.merge_patch(LEASES, NAMESPACE, COMPONENT, {"spec": {"holderIdentity": identity}})
        except KubeError:
            pass  # it changes hands at this moment


async def _of(pod_uid: str) -> Process | None:
    return await asyncio.to_thread(process, pod_uid, "virt_controller")
