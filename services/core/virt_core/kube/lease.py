"""One leader among replicas, by a Lease object. Used by controller and operator.

The leader renews after a third of the lease's duration and stops working *before* others may take the lease. A standby
watches the Lease instead of polling it: a lease that is released by a graceful stop is taken over at once, the lease of
a killed leader when it was not renewed for its duration by the standby's own clock (node clocks may differ).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from virt_core import logs
from virt_core.kube.client import KubeClient
from virt_core.kube.errors import AlreadyExists, Conflict, KubeError, NotFound
from virt_core.kube.reflector import Reflector
from virt_core.kube.resource import LEASES
from virt_core.objects.meta import ObjectMeta


@dataclass(frozen=True, slots=True)
class Timing:
    """Timing in seconds; the defaults are those of Kubernetes' own components."""

    duration: float = 15.0
    """Time without renewal after which the lease is free."""

    renewal: float = 5.0
    """Interval between renewals."""

    retry: float = 1.0
    """Delay after a failed attempt to take or renew the lease."""

    surrender: float = 10.0
    """Time without a successful renewal after which the leader stops working; less than `duration`."""


_TIMING = Timing()


class _LeaseSpec(msgspec.Struct, frozen=True, rename="camel"):
    holder_identity: str = ""
    renew_time: str = ""


class _LeaseObject(msgspec.Struct, frozen=True, rename="camel"):
    metadata: ObjectMeta
    spec: _LeaseSpec = _LeaseSpec()


class LeadershipLost(Exception):
    """The lease could not be renewed in time: exit the process, its successor starts clean."""


class Lease:
    """The Lease `name`, with `identity` (the pod's name) as candidate."""

    def __init__(self, client: KubeClient, namespace: str, name: str, identity: str, timing: Timing = _TIMING) -> None:
        self._client = client
        self._namespace, self._name, self._identity = namespace, name, identity
        self._timing = timing
        self._log = logs.bound("virt_core.kube.lease", lease=name, identity=identity)
        self._seen: tuple[str, float] = ("", 0.0)  # resourceVersion, and the local time when it was first seen
        self._renewed = 0.0  # the local time before the last request that took or renewed the lease
        self._changed = asyncio.Event()
        self.leading = False

    @property
    def certain(self) -> bool:
        """Whether this replica leads and no other can yet. A process that was frozen finds that out here, before its
        next renewal fails."""
        return self.leading and asyncio.get_running_loop().time() < self._renewed + self._timing.surrender

    async def lead(self, work: Callable[[], Awaitable[None]]) -> None:
        """Wait for the lease, run `work` while it is held, release it when `work` ends or is cancelled.

        Raises:
            ExceptionGroup: of LeadershipLost, if the API server could not be reached for too long (`work` was
                cancelled), or of what `work` raised.
        """
        await self._acquire()
        self.leading = True
        self._log.info("leading")
        try:
            async with asyncio.TaskGroup() as group:
                renewing = group.create_task(self._renew(), name=f"renewal of lease {self._name}")
                await work()
                renewing.cancel()
        finally:
            self.leading = False
            await self._release()

    async def _acquire(self) -> None:
        reflector = Reflector(
            self._client,
            LEASES,
            _LeaseObject,
            lambda _: self._changed.set(),
            namespace=self._namespace,
            fields=f"metadata.name={self._name}",
        )
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(reflector.run(), name=f"watch of lease {self._name}")
            await reflector.synced.wait()
            while not await self._try_once(reflector.get((self._namespace, self._name))):
                pass
            watching.cancel()

    async def _try_once(self, lease: _LeaseObject | None) -> bool:
        """Take the lease if it is free; otherwise wait until it changes or may be free."""
        loop = asyncio.get_running_loop()
        self._changed.clear()
        if lease is not None and self._seen[0] != lease.metadata.resource_version:
            self._seen = (lease.metadata.resource_version, loop.time())
        holder = lease.spec.holder_identity if lease is not None else ""
        expires = self._seen[1] + self._timing.duration
        if not holder or holder == self._identity or loop.time() >= expires:
            began = loop.time()
            try:
                await self._take(lease)
                self._renewed = began
                return True
            except KubeError as error:
                self._log.info("waiting for the lease", reason=str(error))
                expires = loop.time() + self._timing.retry
        try:
            async with asyncio.timeout_at(expires):
                await self._changed.wait()
        except TimeoutError:
            pass
        return False

    async def _take(self, lease: _LeaseObject | None) -> None:
        now = _micro_time()
        spec = {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": int(self._timing.duration),
            "acquireTime": now,
            "renewTime": now,
        }
        if lease is None:
            body = {"metadata": {"name": self._name, "namespace": self._namespace}, "spec": spec}
            await self._client.create(LEASES, self._namespace, body)
        else:
            # The resourceVersion makes the patch fail if another standby was quicker.
            body = {"metadata": {"resourceVersion": lease.metadata.resource_version}, "spec": spec}
            await self._client.merge_patch(LEASES, self._namespace, self._name, body)

    async def _renew(self) -> None:
        loop, timing = asyncio.get_running_loop(), self._timing
        while True:
            await asyncio.sleep(timing.renewal if self._renewed + timing.renewal > loop.time() else timing.retry)
            began = loop.time()
            try:
                async with asyncio.timeout_at(self._renewed + timing.surrender):
                    await self._patch_if_ours({"renewTime": _micro_time()})
                self._renewed = began
            except (Conflict, NotFound, AlreadyExists) as error:
                raise LeadershipLost(f"lease {self._name}: {error}") from error
            except (KubeError, TimeoutError) as error:
                self._log.warning("renewing again after a failure", reason=str(error))
                if loop.time() >= self._renewed + timing.surrender:
                    raise LeadershipLost(f"lease {self._name} could not be renewed") from error

    async def _release(self) -> None:
        try:
            async with asyncio.timeout(2.0):
                await self._patch_if_ours({"holderIdentity": ""})
        except (KubeError, TimeoutError) as error:
            self._log.warning("leaving the lease to expire", reason=str(error))

    async def _patch_if_ours(self, spec: dict[str, str]) -> None:
        operations = [{"op": "test", "path": "/spec/holderIdentity", "value": self._identity}]
        operations += [{"op": "replace", "path": f"/spec/{key}", "value": value} for key, value in spec.items()]
        await self._client.json_patch(LEASES, self._namespace, self._name, operations)


def _micro_time() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
