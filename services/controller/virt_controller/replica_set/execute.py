"""Executes a plan's actions in order and stops at the first failure. Called by reconcile.py."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, assert_never

from virt_core import logs
from virt_core.kube.client import KubeClient, Object
from virt_core.kube.errors import AlreadyExists, Conflict, KubeError
from virt_core.kube.events import EventRecorder
from virt_core.kube.resource import VIRTUAL_MACHINE_INSTANCE_REPLICA_SETS, VIRTUAL_MACHINE_INSTANCES
from virt_core.replica_set.replica_set import VirtualMachineInstanceReplicaSet

from virt_controller.actions import RecordEvent
from virt_controller.execution import Execution, Refused, is_refusal
from virt_controller.replica_set.actions import (
    Action,
    CreateInstances,
    DeleteInstances,
    Instance,
    PatchInstance,
    PatchStatus,
    Write,
)

_PARALLEL = 16  # requests at a time


class ScaleRefused(Exception):
    """The API server refuses a creation or a deletion. `reason` is that of the condition ReplicaFailure."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Executor:
    """Executes plans. `wrote_set` and `wrote_vmi` take the API server's responses to writes."""

    def __init__(
        self,
        client: KubeClient,
        events: EventRecorder,
        wrote_set: Callable[[Object], None],
        wrote_vmi: Callable[[Object], None],
    ) -> None:
        self._execution: Execution[Write] = Execution(client, events)
        self._wrote_set = wrote_set
        self._wrote_vmi = wrote_vmi

    async def execute(self, replica_set: VirtualMachineInstanceReplicaSet, actions: tuple[Action, ...]) -> float | None:
        """Execute `actions`. Returns the seconds after which to plan again, or None.

        Raises:
            ScaleRefused: to be reported; the remaining actions were not executed.
            KubeError: the remaining actions were not executed; observe and plan again.
        """
        meta = replica_set.metadata
        log = logs.bound("virt_controller.replica_set", namespace=meta.namespace, replica_set=meta.name)

        async def write(action: Write) -> bool:
            match action:
                case CreateInstances():
                    await self._create(replica_set, action, log)
                case DeleteInstances():
                    await self._delete(replica_set, action, log)
                case PatchInstance():
                    await self._patch_instance(replica_set, action, log)
                case PatchStatus():
                    return await self._patch_status(replica_set, action, log)
                case _:
                    assert_never(action)
            return True

        return await self._execution.run(replica_set.reference, actions, write)

    async def _create(
        self, replica_set: VirtualMachineInstanceReplicaSet, action: CreateInstances, log: logs.BoundLogger
    ) -> None:
        """Create them in batches that grow while all goes well: a quota refuses one of a thousand, not a thousand."""
        await self._require(replica_set)
        log.info("creating virtual machine instances", count=len(action.manifests))
        done, batch = 0, 1
        while done < len(action.manifests):
            manifests = action.manifests[done : done + batch]
            await _all([self._create_one(replica_set, manifest, log) for manifest in manifests])
            done, batch = done + batch, min(2 * batch, _PARALLEL)

    async def _create_one(
        self, replica_set: VirtualMachineInstanceReplicaSet, manifest: Object, log: logs.BoundLogger
    ) -> None:
        name = manifest["metadata"]["name"]
        try:
            answer = await self._execution.create(VIRTUAL_MACHINE_INSTANCES, replica_set.metadata.namespace, manifest)
        except AlreadyExists as error:
            raise Conflict(409, f"VirtualMachineInstance {name} is there: the cache is behind") from error
        except Refused as error:
            log.warning("waiting for the API server to admit a virtual machine instance", vmi=name, reason=str(error))
            raise ScaleRefused("FailedCreate", str(error)) from error
        self._wrote_vmi(answer)
        message = f"Started the virtual machine by creating the new virtual machine instance {name}"
        await self._execution.record(replica_set.reference, RecordEvent("SuccessfulCreate", message))

    async def _delete(
        self, replica_set: VirtualMachineInstanceReplicaSet, action: DeleteInstances, log: logs.BoundLogger
    ) -> None:
        await self._require(replica_set)
        log.info("deleting virtual machine instances", names=[instance.name for instance in action.instances])
        for start in range(0, len(action.instances), _PARALLEL):
            instances = action.instances[start : start + _PARALLEL]
            await _all([self._delete_one(replica_set, instance) for instance in instances])

    async def _delete_one(self, replica_set: VirtualMachineInstanceReplicaSet, instance: Instance) -> None:
        namespace = replica_set.metadata.namespace
        try:
            answer = await self._execution.delete(VIRTUAL_MACHINE_INSTANCES, namespace, instance.name, uid=instance.uid)
        except KubeError as error:
            if not is_refusal(error):
                raise
            message = f"the API server refuses to delete VirtualMachineInstance {instance.name}: {error.message}"
            raise ScaleRefused("FailedDelete", message) from error
        if answer is None:
            return
        if answer.get("kind") == VIRTUAL_MACHINE_INSTANCES.kind:
            self._wrote_vmi(answer)
        message = f"Stopped the virtual machine by deleting the virtual machine instance {instance.name}"
        await self._execution.record(replica_set.reference, RecordEvent("SuccessfulDelete", message))

    async def _require(self, replica_set: VirtualMachineInstanceReplicaSet) -> None:
        """A cache that is behind would create or delete what was scaled, paused or deleted in the meantime."""
        await self._execution.require(VIRTUAL_MACHINE_INSTANCE_REPLICA_SETS, replica_set.metadata, unchanged=True)

    async def _patch_instance(
        self, replica_set: VirtualMachineInstanceReplicaSet, action: PatchInstance, log: logs.BoundLogger
    ) -> None:
        if action.only_if_replica_set_stays:
            await self._execution.require(VIRTUAL_MACHINE_INSTANCE_REPLICA_SETS, replica_set.metadata)
        key = replica_set.metadata.namespace, action.name
        answer = await self._execution.patch(VIRTUAL_MACHINE_INSTANCES, key, action.operations, log=log)
        if answer is not None:
            self._wrote_vmi(answer)

    async def _patch_status(
        self, replica_set: VirtualMachineInstanceReplicaSet, action: PatchStatus, log: logs.BoundLogger
    ) -> bool:
        """Whether the replica set is still there."""
        answer = await self._execution.patch(
            VIRTUAL_MACHINE_INSTANCE_REPLICA_SETS, replica_set.key, action.operations, log=log, subresource="status"
        )
        if answer is not None:
            self._wrote_set(answer)
        return answer is not None


async def _all(requests: Sequence[Coroutine[Any, Any, None]]) -> None:
    """Make all requests in parallel, whatever becomes of each; then raise a refusal, or else the first failure."""
    failures: list[Exception] = []

    async def one(request: Coroutine[Any, Any, None]) -> None:
        try:
            await request
        except (KubeError, ScaleRefused) as error:
            failures.append(error)

    async with asyncio.TaskGroup() as group:
        for number, request in enumerate(requests):
            group.create_task(one(request), name=f"request {number} of a replica set")
    refusals = [failure for failure in failures if isinstance(failure, ScaleRefused)]
    if failures:
        raise (refusals or failures)[0]
