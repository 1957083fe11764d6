"""Executes a plan's actions in order and stops at the first failure. Called by reconcile.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

from virt_core import logs
from virt_core.instancetype.stored import keeps_the_same
from virt_core.kube.client import KubeClient, Object
from virt_core.kube.errors import AlreadyExists, Conflict, KubeError
from virt_core.kube.events import EventRecorder
from virt_core.kube.reflector import Key
from virt_core.kube.resource import CONTROLLER_REVISIONS, VIRTUAL_MACHINE_INSTANCES, VIRTUAL_MACHINES
from virt_core.vm.virtual_machine import VirtualMachine

from virt_controller.execution import Execution, Refused, is_refusal
from virt_controller.vm.actions import (
    Action,
    CreateInstance,
    DeleteInstance,
    DeleteRevision,
    KeepObject,
    PatchInstance,
    PatchStatus,
    PatchVm,
    Write,
)


class DeletionRefused(Refused):
    """The API server refuses to delete the VirtualMachineInstance; the message says why."""


class Executor:
    """Executes plans. `wrote_vm` and `wrote_vmi` take the API server's responses to writes."""

    def __init__(
        self,
        client: KubeClient,
        events: EventRecorder,
        wrote_vm: Callable[[Object], None],
        wrote_vmi: Callable[[Object], None],
    ) -> None:
        self._execution: Execution[Write] = Execution(client, events)
        self._wrote_vm = wrote_vm
        self._wrote_vmi = wrote_vmi
        self._revisions: dict[Key, str] = {}  # that were seen, each of the last start

    def forget(self, key: Key) -> None:
        """The VirtualMachine is gone."""
        self._revisions.pop(key, None)

    async def execute(self, vm: VirtualMachine, actions: tuple[Action, ...]) -> float | None:
        """Execute `actions`. Returns the seconds after which to plan again, or None.

        Raises:
            Refused: to create, or DeletionRefused: to delete the VirtualMachineInstance; to be reported, the remaining
                actions were not executed.
            KubeError: the remaining actions were not executed; observe and plan again.
        """
        log = logs.bound("virt_controller.vm", namespace=vm.metadata.namespace, vm=vm.metadata.name)

        async def write(action: Write) -> bool:
            match action:
                case CreateInstance():
                    await self._create(vm, action, log)
                case DeleteInstance():
                    await self._delete(vm, action, log)
                case PatchInstance():
                    await self._patch_instance(vm, action, log)
                case PatchVm():
                    return await self._patch(vm, action, None, log)
                case PatchStatus():
                    return await self._patch(vm, action, "status", log)
                case KeepObject():
                    await self._keep(vm, action, log)
                case DeleteRevision():
                    await self._delete_revision(vm, action, log)
                case _:
                    assert_never(action)
            return True

        return await self._execution.run(vm.reference, actions, write)

    async def _create(self, vm: VirtualMachine, action: CreateInstance, log: logs.BoundLogger) -> None:
        namespace = vm.metadata.namespace
        # A creation has no precondition, and a cache that is behind would start what was stopped or had its start.
        if not action.confirmed:
            await self._execution.require(VIRTUAL_MACHINES, vm.metadata, unchanged=True)
        revision = action.revision["metadata"]["name"]
        log.info("creating virtual machine instance", revision=revision)
        await self._provide_revision(vm, action, log)
        try:
            answer = await self._execution.create(VIRTUAL_MACHINE_INSTANCES, namespace, action.manifest)
        except AlreadyExists as error:
            raise Conflict(409, "the VirtualMachineInstance is there: the cache is behind") from error
        self._wrote_vmi(answer)

    async def _provide_revision(self, vm: VirtualMachine, action: CreateInstance, log: logs.BoundLogger) -> None:
        """See to it that the ControllerRevision is there. That of an earlier start is looked for once: an older release
        that led in between does not know status.startRevision, and has deleted it with its guest."""
        name, namespace = action.revision["metadata"]["name"], vm.metadata.namespace
        if action.reused and self._revisions.get(vm.key) == name:
            return
        if not action.reused or not await self._is_kept(namespace, action.revision):
            await self._create_revision(namespace, action.revision, log)
        self._revisions[vm.key] = name

    async def _create_revision(self, namespace: str, manifest: Object, log: logs.BoundLogger) -> None:
        """Create the ControllerRevision of a start, or find it. Its name says of which spec, but not with which
        instance type and preference: one that keeps others is of an earlier start, whose guest is gone."""
        name = manifest["metadata"]["name"]
        try:
            await self._execution.create(CONTROLLER_REVISIONS, namespace, manifest)
        except AlreadyExists:
            if await self._is_kept(namespace, manifest):
                log.debug("finding the revision created before")
                return
            log.info("replacing the revision of an earlier start", revision=name)
            await self._execution.delete(CONTROLLER_REVISIONS, namespace, name)
            await self._execution.create(CONTROLLER_REVISIONS, namespace, manifest)

    async def _is_kept(self, namespace: str, manifest: Object) -> bool:
        """Whether there is a ControllerRevision of its name that keeps the same."""
        found = await self._execution.read(CONTROLLER_REVISIONS, namespace, manifest["metadata"]["name"])
        return found is not None and keeps_the_same(found, manifest)

    async def _keep(self, vm: VirtualMachine, action: KeepObject, log: logs.BoundLogger) -> None:
        namespace, name = vm.metadata.namespace, action.manifest["metadata"]["name"]
        log.info("keeping an object", revision=name)
        try:
            await self._execution.create(CONTROLLER_REVISIONS, namespace, action.manifest)
        except AlreadyExists as error:
            found = await self._execution.read(CONTROLLER_REVISIONS, namespace, name)
            if found is not None and not keeps_the_same(found, action.manifest):
                # KubeVirt's words.
                raise Refused(f"found existing ControllerRevision with unexpected data: {name}") from error

    async def _delete(self, vm: VirtualMachine, action: DeleteInstance, log: logs.BoundLogger) -> None:
        log.info("deleting virtual machine instance", uid=action.uid)
        namespace = vm.metadata.namespace
        try:
            answer = await self._execution.delete(VIRTUAL_MACHINE_INSTANCES, namespace, action.name, uid=action.uid)
        except KubeError as error:
            if not is_refusal(error):
                raise
            raise DeletionRefused(
                f"the API server refuses to delete the VirtualMachineInstance: {error.message}"
            ) from error
        if answer is not None and answer.get("kind") == VIRTUAL_MACHINE_INSTANCES.kind:
            self._wrote_vmi(answer)

    async def _delete_revision(self, vm: VirtualMachine, action: DeleteRevision, log: logs.BoundLogger) -> None:
        namespace = vm.metadata.namespace
        if action.unless_named:
            found = await self._execution.read(VIRTUAL_MACHINES, namespace, vm.metadata.name)
            kept = VirtualMachine.of(found).status.start_revision if found is not None else None
            if kept is not None and kept.name == action.name:
                raise Conflict(409, f"{action.name} is kept for the next start: the cache is behind")
        log.info("deleting revision", revision=action.name)
        if self._revisions.get(vm.key) == action.name:
            self.forget(vm.key)
        await self._execution.delete(CONTROLLER_REVISIONS, namespace, action.name)

    async def _patch_instance(self, vm: VirtualMachine, action: PatchInstance, log: logs.BoundLogger) -> None:
        if action.only_if_vm_stays:
            await self._execution.require(VIRTUAL_MACHINES, vm.metadata)
        key = vm.metadata.namespace, action.name
        answer = await self._execution.patch(VIRTUAL_MACHINE_INSTANCES, key, action.operations, log=log)
        if answer is None:
            return
        if answer["metadata"].get("deletionTimestamp") is None or answer["metadata"].get("finalizers"):
            self._wrote_vmi(answer)

    async def _patch(
        self, vm: VirtualMachine, action: PatchVm | PatchStatus, subresource: str | None, log: logs.BoundLogger
    ) -> bool:
        """Whether the VirtualMachine is still there."""
        answer = await self._execution.patch(
            VIRTUAL_MACHINES, vm.key, action.operations, log=log, subresource=subresource
        )
        if answer is not None:
            self._wrote_vm(answer)
        return answer is not None
