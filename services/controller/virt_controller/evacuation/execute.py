"""Executes a plan's actions in order and stops at the first failure. Called by reconcile.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

from virt_core import logs
from virt_core.kube.client import KubeClient, Object
from virt_core.kube.events import EventRecorder
from virt_core.kube.resource import PODS, VIRTUAL_MACHINE_INSTANCES
from virt_core.vmi.instance import VirtualMachineInstance

from virt_controller.actions import RecordEvent
from virt_controller.evacuation.actions import Action, CreateMigration, PatchPod, PatchVmi, Write
from virt_controller.evacuation.status import FAILED_CREATE
from virt_controller.execution import Execution, Refused
from virt_controller.migration import creation


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
        name = action.manifest["metadata"]["name"]
        log.info("evacuating a guest", migration=name, node=vmi.status.node_name)
        try:
            answer = await creation.create(self._execution, vmi, action.manifest)
        except Refused as error:
            log.warning("waiting for the API server to admit a migration", migration=name, reason=str(error))
            event = RecordEvent(FAILED_CREATE, f"Error creating a Migration: {error}", warning=True)
            await self._execution.record(vmi.reference, event)
            raise
        self._wrote_migration(answer)
        event = RecordEvent("SuccessfulCreate", f"Created Migration {name}")
        await self._execution.record(vmi.reference, event)
