"""Executes a plan's actions in order and stops at the first failure. Called by reconcile.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

from virt_core import logs
from virt_core.conventions import migration as convention
from virt_core.kube.client import KubeClient, Object
from virt_core.kube.errors import AlreadyExists, Conflict
from virt_core.kube.events import EventRecorder
from virt_core.kube.resource import PODS, VIRTUAL_MACHINE_INSTANCE_MIGRATIONS, VIRTUAL_MACHINE_INSTANCES
from virt_core.migration.migration import VirtualMachineInstanceMigration
from virt_core.vmi.instance import VirtualMachineInstance

from virt_controller.execution import Execution, Refused
from virt_controller.migration.actions import (
    Action,
    CreateTarget,
    DeleteMigration,
    DeleteTarget,
    PatchMetadata,
    PatchStatus,
    PatchVmi,
    RecordVmiEvent,
    Write,
)


class Executor:
    """Executes plans. `wrote`, `wrote_vmi` and `wrote_pod` take the API server's responses to writes."""

    def __init__(
        self,
        client: KubeClient,
        events: EventRecorder,
        wrote: Callable[[Object], None],
        wrote_vmi: Callable[[Object], None],
        wrote_pod: Callable[[Object], None],
    ) -> None:
        self._execution: Execution[Write] = Execution(client, events)
        self._wrote = wrote
        self._wrote_vmi = wrote_vmi
        self._wrote_pod = wrote_pod

    async def execute(
        self,
        job: VirtualMachineInstanceMigration,
        vmi: VirtualMachineInstance | None,
        actions: tuple[Action, ...],
        *,
        just_written: bool = False,
    ) -> float | None:
        """Execute `actions`. Returns the seconds after which to plan again, or None. `just_written`: the API server has
        answered with this version of the migration a moment ago.

        Raises:
            Refused: the target pod; to be reported, the remaining actions were not executed.
            KubeError: the remaining actions were not executed; observe and plan again.
        """
        meta = job.metadata
        log = logs.bound("virt_controller.migration", namespace=meta.namespace, migration=meta.name)

        async def write(action: Write) -> bool:
            match action:
                case CreateTarget():
                    # A creation has no precondition: with a cache that is behind it would create the pod of a migration
                    # that was canceled since, and nobody would delete it.
                    if not just_written:
                        await self._execution.require(VIRTUAL_MACHINE_INSTANCE_MIGRATIONS, meta, unchanged=True)
                    return await self._create(job, action, log)
                case DeleteTarget():
                    await self._require_no_guest(job, action.uid)
                    log.info("deleting target pod", pod=action.name)
                    await self._execution.delete(PODS, meta.namespace, action.name, uid=action.uid)
                case PatchStatus():
                    return await self._patch(job, action, "status", log)
                case PatchMetadata():
                    if action.unseen_target:
                        await self._delete_unseen(job, action.unseen_target, log)
                    return await self._patch(job, action, None, log)
                case PatchVmi():
                    assert vmi is not None
                    answer = await self._execution.patch(VIRTUAL_MACHINE_INSTANCES, vmi.key, action.operations, log=log)
                    if answer is not None:
                        self._wrote_vmi(answer)
                    return answer is not None
                case DeleteMigration():
                    log.info("deleting old migration", old=action.name)
                    await self._execution.delete(
                        VIRTUAL_MACHINE_INSTANCE_MIGRATIONS, meta.namespace, action.name, uid=action.uid
                    )
                case RecordVmiEvent():
                    if vmi is not None:
                        await self._execution.record(vmi.reference, action.event)
                case _:
                    assert_never(action)
            return True

        return await self._execution.run(job.reference, actions, write)

    async def _require_no_guest(self, job: VirtualMachineInstanceMigration, pod_uid: str) -> None:
        """Check that the guest was not handed off to the migration's target pod: a deletion has no precondition, and
        the cached VirtualMachineInstance may be older than what a leader before this one wrote.

        Raises:
            Conflict: it was; the cache is behind.
        """
        found = await self._execution.read(VIRTUAL_MACHINE_INSTANCES, *job.vmi_key)
        live = VirtualMachineInstance.of(found) if found is not None else None
        if live is None or live.status.phase.final:
            return
        state = live.status.migration_state
        if pod_uid in live.status.active_pods or (state is not None and state.migration_uid == job.metadata.uid):
            raise Conflict(409, f"the guest is handed off to migration {job.metadata.name}: the cache is behind")

    async def _delete_unseen(self, job: VirtualMachineInstanceMigration, name: str, log: logs.BoundLogger) -> None:
        """Delete the migration's target pod, if there is one."""
        found = await self._execution.live(PODS, job.metadata.namespace, name)
        if found is None or found.labels.get(convention.JOB_UID) != job.metadata.uid:
            return
        await self._require_no_guest(job, found.uid)
        log.info("deleting a target pod that was not seen", pod=name)
        await self._execution.delete(PODS, job.metadata.namespace, name, uid=found.uid)

    async def _create(self, job: VirtualMachineInstanceMigration, action: CreateTarget, log: logs.BoundLogger) -> bool:
        """Whether this request created the pod."""
        name = action.manifest["metadata"]["name"]
        log.info("creating target pod", pod=name)
        try:
            made = await self._execution.create(PODS, job.metadata.namespace, action.manifest, "migration target pod")
        except AlreadyExists:
            found = await self._execution.live(PODS, job.metadata.namespace, name)
            if found is not None and found.labels.get(convention.JOB_UID) != job.metadata.uid:
                message = (
                    f"pod {name} (UID {found.uid}) has the target pod's name and is not this migration's: delete it"
                )
                raise Refused(message) from None
            return False
        self._wrote_pod(made)
        return True

    async def _patch(
        self,
        job: VirtualMachineInstanceMigration,
        action: PatchStatus | PatchMetadata,
        subresource: str | None,
        log: logs.BoundLogger,
    ) -> bool:
        """Whether the migration is still there."""
        answer = await self._execution.patch(
            VIRTUAL_MACHINE_INSTANCE_MIGRATIONS, job.key, action.operations, log=log, subresource=subresource
        )
        if answer is not None and not _is_last(answer):
            self._wrote(answer)
        return answer is not None


def _is_last(answer: Object) -> bool:
    """Whether the API server removes the object with this patch: it is deleted and has no finalizer."""
    meta = answer["metadata"]
    return meta.get("deletionTimestamp") is not None and not meta.get("finalizers")
