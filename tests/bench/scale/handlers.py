"""Plays the virt-handlers of all fake nodes, with the status, patches and events of the real one and no guests:
`python -m tests.bench.scale.handlers`, a process of its own.

A guest runs as soon as it is handed over, and shuts down as soon as its VirtualMachineInstance is deleted.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import uvloop
from kubevirt.launcher.v1 import state_pb2
from virt_core import logs
from virt_core.conventions import components, labels
from virt_core.kube.client import KubeClient
from virt_core.kube.errors import NotFound
from virt_core.kube.events import EventRecorder
from virt_core.kube.queue import WorkQueue
from virt_core.kube.reflector import Key, Reflector
from virt_core.kube.resource import VIRTUAL_MACHINE_INSTANCES
from virt_core.objects.kubevirt import Configuration
from virt_core.objects.patch import Operation
from virt_core.vmi.accepted import AcceptedSpecs
from virt_core.vmi.instance import VirtualMachineInstance, VmiPhase
from virt_core.vmi.status import status_patch
from virt_handler.machines import status
from virt_handler.machines.actions import RecordEvent
from virt_handler.machines.guest_state import GuestState
from virt_handler.network.plan import PodNetwork

_WORKERS = 32
_STARTS = (VmiPhase.SCHEDULING, VmiPhase.SCHEDULED)
_NETWORK = PodNetwork(1500, ("10.0.0.1",), 24, "02:00:00:00:00:01")
_CONFIGURATION = Configuration()


class Handlers:
    """All of them."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client
        self._events = EventRecorder(client, components.HANDLER, "fake")
        self._queue: WorkQueue[Key] = WorkQueue("handlers")
        self._specs = AcceptedSpecs()
        self._vmis = Reflector(
            client, VIRTUAL_MACHINE_INSTANCES, VirtualMachineInstance, self._queue.add, labels=labels.NODE_NAME
        )

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._vmis.run(), name="watch")
            group.create_task(self._queue.run(self._reconcile, _WORKERS), name="work")

    async def _reconcile(self, key: Key) -> None:
        vmi = self._vmis.get(key)
        if vmi is None:
            return
        phase, now, deleted = vmi.status.phase, datetime.now(UTC), vmi.metadata.deletion_timestamp is not None
        if phase in _STARTS and not deleted:
            await self._write(vmi, self._running(vmi, now), *status.STARTED_EVENTS)
        elif deleted and not phase.final and vmi.status.active_pods:
            end = status.End(VmiPhase.SUCCEEDED, "GuestShutdown", "the guest has shut down")
            await self._write(vmi, status.ended(vmi, end, now), status.end_event(end))

    def _running(self, vmi: VirtualMachineInstance, now: datetime) -> list[Operation]:
        guest = GuestState(vmi.metadata.uid, state_pb2.MACHINE_PHASE_RUNNING, machine_type="pc-q35-10.0")
        after = status.running_status(
            vmi,
            self._specs.of(vmi, _CONFIGURATION),
            _NETWORK,
            guest,
            node=next(iter(vmi.status.active_pods.values())),
            launcher_migrates=True,
            now=now,
        )
        return status_patch(vmi, after)

    async def _write(self, vmi: VirtualMachineInstance, operations: list[Operation], *events: RecordEvent) -> None:
        try:
            self._vmis.wrote(await self._client.json_patch(VIRTUAL_MACHINE_INSTANCES, *vmi.key, operations))
        except NotFound:
            return
        for event in events:
            await self._events.record(vmi.reference, event.reason, event.message, action="Handle")


async def _main() -> None:
    async with KubeClient.connect(components.HANDLER) as client:
        await Handlers(client).run()


if __name__ == "__main__":
    logs.setup(components.HANDLER)
    uvloop.run(_main())
