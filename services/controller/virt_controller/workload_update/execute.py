"""Executes a plan of workload updates. Called by reconcile.py. An action that is refused does not keep the others from
being executed: it is reported as an event of its guest, and planned again later."""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

from virt_core import logs
from virt_core.kube.client import KubeClient, Object
from virt_core.kube.errors import Conflict, KubeError, NotFound
from virt_core.kube.events import EventRecorder
from virt_core.kube.resource import (
    KUBEVIRTS,
    PODS,
    VIRTUAL_MACHINE_INSTANCE_MIGRATIONS,
    VIRTUAL_MACHINE_INSTANCES,
)
from virt_core.objects.meta import ObjectMeta
from virt_core.vmi.instance import VirtualMachineInstance

from virt_controller.actions import LookAgain, RecordEvent
from virt_controller.execution import Execution, Refused, is_refusal
from virt_controller.migration import creation
from virt_controller.workload_update.actions import Action, CreateMigration, DeleteMigration, Evict, PatchVmi, Write

_COUNT = "outdatedVirtualMachineInstanceWorkloads"
_MARKED = ("Eviction triggered evacuation", "Evacuation in progress")  # virt-api's answers
_TOO_MANY_REQUESTS = 429
_log = logs.bound("virt_controller.workload_update")


class Executor:
    """Executes plans. `wrote_vmi` and `wrote_migration` take the API server's responses to writes."""

    def __init__(
        self,
        client: KubeClient,
        events: EventRecorder,
        wrote_vmi: Callable[[Object], None],
        wrote_migration: Callable[[Object], None],
    ) -> None:
        self._client = client
        self._execution: Execution[Write] = Execution(client, events)
        self._wrote_vmi = wrote_vmi
        self._wrote_migration = wrote_migration

    async def execute(self, actions: tuple[Action, ...]) -> float | None:
        """Execute `actions`. Returns the seconds after which to plan again, or None.

        Raises:
            KubeError: the API server does not answer; the remaining actions were not executed.
        """
        again: float | None = None
        for action in actions:
            try:
                match action:
                    case CreateMigration():
                        await self._migrate(action)
                    case Evict():
                        await self._evict(action)
                    case PatchVmi():
                        await self._patch(action)
                    case DeleteMigration():
                        await self._withdraw(action)
                    case LookAgain():
                        again = action.seconds
                    case _:
                        assert_never(action)
            except Conflict as error:
                _log.info("planning again after a change", reason=error.message)
                again = 1.0
            except KubeError as error:
                if not is_refusal(error):
                    raise
                _log.warning("leaving out an action that is refused", reason=str(error))
        return again

    async def count(self, kubevirt: ObjectMeta, outdated: int) -> None:
        """Write how many launchers are outdated."""
        body = {"metadata": {"uid": kubevirt.uid}, "status": {_COUNT: outdated}}
        _log.info("writing the number of outdated launchers", outdated=outdated)
        await self._client.merge_patch(KUBEVIRTS, kubevirt.namespace, kubevirt.name, body, "status")

    async def _migrate(self, action: CreateMigration) -> None:
        vmi, name = action.vmi, action.manifest["metadata"]["name"]
        _log.info("replacing an outdated launcher", namespace=vmi.metadata.namespace, vmi=vmi.metadata.name)
        try:
            answer = await creation.create(self._execution, vmi, action.manifest)
        except Refused as error:
            await self._warn(vmi, "FailedCreate", f"Error creating a Migration for automated workload update: {error}")
            return
        self._wrote_migration(answer)
        event = RecordEvent("SuccessfulCreate", f"Created Migration {name} for automated workload update")
        await self._execution.record(vmi.reference, event)

    async def _evict(self, action: Evict) -> None:
        vmi, namespace = action.vmi, action.vmi.metadata.namespace
        await creation.require_in_place(self._execution, vmi)
        metadata = {"name": action.pod, "namespace": namespace}
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata}
        _log.info("evicting a guest with an outdated launcher", namespace=namespace, vmi=vmi.metadata.name)
        try:
            await self._client.create(PODS, namespace, body, "eviction")
        except NotFound:
            return
        except KubeError as error:
            if error.status != _TOO_MANY_REQUESTS and not is_refusal(error):
                raise
            if not any(text in error.message for text in _MARKED):
                message = f"Error deleting VMI during automated workload update: {error.message}"
                await self._warn(vmi, "FailedEvict", message)
                return
        event = RecordEvent("SuccessfulEvict", "Initiated eviction of VMI as part of automated workload update")
        await self._execution.record(vmi.reference, event)

    async def _withdraw(self, action: DeleteMigration) -> None:
        vmi, namespace = action.vmi, action.vmi.metadata.namespace
        _log.info("withdrawing a migration", namespace=namespace, vmi=vmi.metadata.name, migration=action.name)
        try:
            await self._execution.delete(VIRTUAL_MACHINE_INSTANCE_MIGRATIONS, namespace, action.name, uid=action.uid)
        except KubeError as error:
            if is_refusal(error):
                message = f"Failed to abort change for vmi: {vmi.metadata.name}: {error.message}"
                await self._warn(vmi, "FailedChangeAbortion", message)
            raise
        event = RecordEvent("SuccessfulChangeAbortion", f"Aborted change for vmi: {vmi.metadata.name}")
        await self._execution.record(vmi.reference, event)

    async def _patch(self, action: PatchVmi) -> None:
        answer = await self._execution.patch(VIRTUAL_MACHINE_INSTANCES, action.vmi.key, action.operations, log=_log)
        if answer is not None:
            self._wrote_vmi(answer)

    async def _warn(self, vmi: VirtualMachineInstance, reason: str, message: str) -> None:
        await self._execution.record(vmi.reference, RecordEvent(reason, message, warning=True))
