"""Each action of a plan as one request, in the plan's order. Called by reconcile.py; stops at the first failure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, assert_never

import msgspec
from virt_core import logs
from virt_core.kube.client import KubeClient, Object
from virt_core.kube.errors import AlreadyExists, Conflict, Forbidden, Invalid, KubeError, NotFound
from virt_core.kube.events import EventRecorder
from virt_core.kube.resource import CONTROLLER_REVISIONS, VIRTUAL_MACHINE_INSTANCES, VIRTUAL_MACHINES
from virt_core.objects.meta import PartialObject
from virt_core.vm.virtual_machine import VirtualMachine

from virt_controller.actions import LookAgain, RecordEvent
from virt_controller.vm.actions import (
    Action,
    CreateInstance,
    DeleteInstance,
    DeleteRevision,
    PatchInstance,
    PatchStatus,
    PatchVm,
)

_INTERNAL = 500  # what the API server answers when an admission webhook fails


class InstanceRefused(Exception):
    """The API server does not admit the VirtualMachineInstance now; the text says why."""


class Executor:
    """Carries plans out. `wrote_vm` and `wrote_vmi` take the API server's answers to writes."""

    def __init__(
        self,
        client: KubeClient,
        events: EventRecorder,
        wrote_vm: Callable[[Object], None],
        wrote_vmi: Callable[[Object], None],
    ) -> None:
        self._client = client
        self._events = events
        self._wrote_vm = wrote_vm
        self._wrote_vmi = wrote_vmi

    async def execute(self, vm: VirtualMachine, actions: tuple[Action, ...]) -> float | None:
        """Carry `actions` out; returns the seconds after which to plan again, or None.

        Raises:
            InstanceRefused: to be reported; the rest was not carried out.
            KubeError: the rest was not carried out; observe and plan again.
        """
        meta = vm.metadata
        log = logs.bound("virt_controller.vm", namespace=meta.namespace, vm=meta.name)
        again: float | None = None
        for action in actions:
            match action:
                case CreateInstance():
                    await self._create(vm, action, log)
                case DeleteInstance():
                    await self._delete(vm, action, log)
                case PatchInstance():
                    await self._patch_instance(vm, action, log)
                case PatchVm():
                    self._wrote_vm(await self._patch(vm, action.operations, None, log))
                case PatchStatus():
                    self._wrote_vm(await self._patch(vm, action.operations, "status", log))
                case DeleteRevision():
                    await self._delete_revision(vm, action, log)
                case RecordEvent():
                    await self._events.record(
                        vm.reference, action.reason, action.message, action="Reconcile", warning=action.warning
                    )
                case LookAgain():
                    again = action.seconds
                case _:
                    assert_never(action)
        return again

    async def _create(self, vm: VirtualMachine, action: CreateInstance, log: logs.BoundLogger) -> None:
        namespace = vm.metadata.namespace
        # A creation has no precondition, and a cache that is behind would start what was stopped or had its start.
        await self._require_vm(vm, unchanged=True)
        log.info("creating virtual machine instance", revision=action.revision["metadata"]["name"])
        try:
            await self._client.create(CONTROLLER_REVISIONS, namespace, action.revision)
        except AlreadyExists:
            log.debug("finding the revision created before")  # its name says of what; see start.py
        except KubeError as error:
            raise _refused(error, "ControllerRevision") from error
        try:
            answer = await self._client.create(VIRTUAL_MACHINE_INSTANCES, namespace, action.manifest)
        except AlreadyExists as error:
            raise Conflict(409, "the VirtualMachineInstance is there: the cache is behind") from error
        except KubeError as error:
            raise _refused(error, "VirtualMachineInstance") from error
        self._wrote_vmi(answer)

    async def _delete(self, vm: VirtualMachine, action: DeleteInstance, log: logs.BoundLogger) -> None:
        log.info("deleting virtual machine instance", uid=action.uid)
        try:
            answer = await self._client.delete(
                VIRTUAL_MACHINE_INSTANCES, vm.metadata.namespace, action.name, uid=action.uid
            )
        except NotFound:
            return  # it is gone, as it should be
        if answer.get("kind") == VIRTUAL_MACHINE_INSTANCES.kind:
            self._wrote_vmi(answer)

    async def _patch_instance(self, vm: VirtualMachine, action: PatchInstance, log: logs.BoundLogger) -> None:
        if action.only_if_vm_stays:
            await self._require_vm(vm)
        log.info("patching virtual machine instance", paths=_paths(action.operations))
        try:
            answer = await self._client.json_patch(
                VIRTUAL_MACHINE_INSTANCES, vm.metadata.namespace, action.name, action.operations
            )
        except NotFound:
            return
        if answer["metadata"].get("deletionTimestamp") is None or answer["metadata"].get("finalizers"):
            self._wrote_vmi(answer)

    async def _require_vm(self, vm: VirtualMachine, *, unchanged: bool = False) -> None:
        found = await self._client.get(VIRTUAL_MACHINES, vm.metadata.namespace, vm.metadata.name)
        meta = msgspec.convert(found, PartialObject).metadata
        if meta.uid != vm.metadata.uid or meta.deletion_timestamp is not None:
            raise Conflict(409, f"VirtualMachine {vm.metadata.name} is another one or deleted: the cache is behind")
        if unchanged and meta.resource_version != vm.metadata.resource_version:
            raise Conflict(409, f"VirtualMachine {vm.metadata.name} has changed: the cache is behind")

    async def _patch(
        self, vm: VirtualMachine, operations: tuple[dict[str, Any], ...], subresource: str | None, log: logs.BoundLogger
    ) -> Object:
        log.info("patching", paths=_paths(operations))
        meta = vm.metadata
        return await self._client.json_patch(VIRTUAL_MACHINES, meta.namespace, meta.name, operations, subresource)

    async def _delete_revision(self, vm: VirtualMachine, action: DeleteRevision, log: logs.BoundLogger) -> None:
        log.info("deleting revision", revision=action.name)
        try:
            await self._client.delete(CONTROLLER_REVISIONS, vm.metadata.namespace, action.name)
        except NotFound:
            pass


def _refused(error: KubeError, what: str) -> Exception:
    """InstanceRefused if the API server has decided, else the error itself."""
    if isinstance(error, (Forbidden, Invalid)) or error.status in (400, _INTERNAL):
        return InstanceRefused(f"the API server refuses the {what}: {error.message}")
    return error


def _paths(operations: tuple[dict[str, Any], ...]) -> list[str]:
    return [operation["path"] for operation in operations if operation["op"] != "test"]
