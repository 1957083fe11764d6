"""Executes a plan's actions in order and stops at the first failure. Called by reconcile.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, assert_never

import msgspec
from virt_core import logs
from virt_core.kube.client import KubeClient, Object
from virt_core.kube.errors import AlreadyExists, Conflict
from virt_core.kube.events import EventRecorder
from virt_core.kube.resource import PODS, VIRTUAL_MACHINE_INSTANCE_MIGRATIONS, VIRTUAL_MACHINE_INSTANCES
from virt_core.migration.admission import IN_FLIGHT
from virt_core.vmi.instance import VirtualMachineInstance

from virt_controller.actions import RecordEvent
from virt_controller.evacuation.actions import Action, CreateMigration, PatchPod, PatchVmi, Write
from virt_controller.evacuation.status import FAILED_CREATE
from virt_controller.execution import Execution, Refused


class Executor:
    """Executes plans. `wrote_vmi` and `wrote_migration` take the API server's responses to writes."""

    def __init__(
        self,
        client: KubeClient,
        events: EventRecorder,
        wrote_vmi: Callable[[Object], None],
        wrote_migration: Callable[[Object], None],
    ) -> None:
        self._execution: Execution[Write] = Execution(client, events)
        self._wrote_vmi = wrote_vmi
        self._wrote_migration = wrote_migration

    async def execute(self, vmi: VirtualMachineInstance, actions: tuple[Action, ...]) -> float | None:
        """Execute `actions`. Returns the seconds after which to plan again, or None.

        Raises:
            Refused: the migration; to be reported, the remaining actions were not executed.
            KubeError: the remaining actions were not executed; observe and plan again.
        """
        log = logs.bound("virt_controller.evacuation", namespace=vmi.metadata.namespace, vmi=vmi.metadata.name)

        async def write(action: Write) -> bool:
            match action:
                case CreateMigration():
                    await self._create(vmi, action, log)
                case PatchVmi():
                    answer = await self._execution.patch(VIRTUAL_MACHINE_INSTANCES, vmi.key, action.operations, log=log)
                    if answer is None:
                        return False
                    self._wrote_vmi(answer)
                case PatchPod():
                    key = vmi.metadata.namespace, action.name
                    await self._execution.patch(PODS, key, action.operations, log=log)
                case _:
                    assert_never(action)
            return True

        return await self._execution.run(vmi.reference, actions, write)

    async def _create(self, vmi: VirtualMachineInstance, action: CreateMigration, log: logs.BoundLogger) -> None:
        """Create it unless the guest is elsewhere or its eviction withdrawn: the cache may not know that yet."""
        await require_in_place(self._execution, vmi)
        name = action.manifest["metadata"]["name"]
        log.info("evacuating a guest", migration=name, node=vmi.status.node_name)
        try:
            answer = await self._execution.create(
                VIRTUAL_MACHINE_INSTANCE_MIGRATIONS, vmi.metadata.namespace, action.manifest
            )
        except AlreadyExists as error:
            raise Conflict(409, f"migration {name} is there: the cache is behind") from error
        except Refused as error:
            if IN_FLIGHT in str(error):
                raise Conflict(409, f"{error}: the cache is behind") from error
            log.warning("waiting for the API server to admit a migration", migration=name, reason=str(error))
            event = RecordEvent(FAILED_CREATE, f"Error creating a Migration: {error}", warning=True)
            await self._execution.record(vmi.reference, event)
            raise
        self._wrote_migration(answer)
        event = RecordEvent("SuccessfulCreate", f"Created Migration {name}")
        await self._execution.record(vmi.reference, event)


async def require_in_place(execution: Execution[Any], vmi: VirtualMachineInstance) -> None:
    """Check that the API server has the guest where the cache has it, and as much to leave it.

    Raises:
        Conflict: it has not; the cache is behind.
    """
    meta = vmi.metadata
    found = await execution.read(VIRTUAL_MACHINE_INSTANCES, meta.namespace, meta.name)
    live = msgspec.json.decode(msgspec.json.encode(found), type=VirtualMachineInstance) if found else None
    if live is None or live.metadata.uid != meta.uid or live.metadata.deletion_timestamp is not None:
        raise Conflict(409, f"VirtualMachineInstance {meta.name} is another one or deleted: the cache is behind")
    before, now = vmi.status, live.status
    if (before.node_name, before.evacuation_node_name) != (now.node_name, now.evacuation_node_name):
        raise Conflict(409, f"VirtualMachineInstance {meta.name} has moved or stays: the cache is behind")
