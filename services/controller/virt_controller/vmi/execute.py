"""Executes a plan's actions in order and stops at the first failure. Called by reconcile.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

import msgspec
from virt_core import logs
from virt_core.kube.client import KubeClient, Object
from virt_core.kube.errors import AlreadyExists, Conflict, Forbidden, Invalid, KubeError, NotFound
from virt_core.kube.events import EventRecorder
from virt_core.kube.resource import NODES, PODS, VIRTUAL_MACHINE_INSTANCES
from virt_core.objects.meta import ObjectMeta, PartialObject
from virt_core.vmi.instance import VirtualMachineInstance

from virt_controller.actions import LookAgain, RecordEvent
from virt_controller.pod.observed import belongs_to
from virt_controller.vmi.actions import Action, CreatePod, DeletePod, GonePod, PatchVmi

_INTERNAL = 500  # the API server's status when an admission webhook of a third party fails


class PodRefused(Exception):
    """The launcher pod cannot be created; the message says why. `by_rules`: it may be admitted with limits."""

    def __init__(self, message: str, *, by_rules: bool = False) -> None:
        super().__init__(message)
        self.by_rules = by_rules


class Executor:
    """Executes plans. Passes each response to a patch of a VirtualMachineInstance to `wrote`."""

    def __init__(self, client: KubeClient, events: EventRecorder, wrote: Callable[[Object], None]) -> None:
        self._client = client
        self._events = events
        self._wrote = wrote

    async def execute(self, vmi: VirtualMachineInstance, actions: tuple[Action, ...]) -> float | None:
        """Execute `actions`. Returns the seconds after which to plan again, or None.

        Raises:
            PodRefused: to be reported; the remaining actions were not executed.
            KubeError: the remaining actions were not executed; observe and plan again.
        """
        log = logs.bound("virt_controller.vmi", namespace=vmi.metadata.namespace, vmi=vmi.metadata.name)
        again: float | None = None
        for action in actions:
            match action:
                case CreatePod():
                    if not await self._create(vmi, action, log):
                        break
                case DeletePod():
                    await self._delete(vmi, action, log)
                case PatchVmi():
                    await self._patch(vmi, action, log)
                case RecordEvent():
                    await self._events.record(
                        vmi.reference, action.reason, action.message, action="Reconcile", warning=action.warning
                    )
                case LookAgain():
                    again = action.seconds
                case _:
                    assert_never(action)
        return again

    async def _create(self, vmi: VirtualMachineInstance, action: CreatePod, log: logs.BoundLogger) -> bool:
        """Whether this request created the pod."""
        name = action.manifest["metadata"]["name"]
        log.info("creating launcher pod", pod=name)
        try:
            await self._client.create(PODS, vmi.metadata.namespace, action.manifest)
        except AlreadyExists:
            found = await self._find(vmi.metadata.namespace, name)
            if found is not None and not belongs_to(found, vmi.metadata):
                log.warning("waiting for another pod of the launcher pod's name to go", pod=name, uid=found.uid)
                message = f"pod {name} (UID {found.uid}) has the launcher pod's name and is not this VMI's: delete it"
                raise PodRefused(message) from None
            log.info("finding the launcher pod created before", pod=name)
            return False
        except KubeError as error:
            if not isinstance(error, (Forbidden, Invalid)) and error.status != _INTERNAL:
                raise
            log.warning("waiting for the API server to admit the launcher pod", pod=name, reason=str(error))
            message = f"the API server refuses the launcher pod: {error.message}"
            raise PodRefused(message, by_rules=isinstance(error, (Forbidden, Invalid))) from error
        return True

    async def _delete(self, vmi: VirtualMachineInstance, action: DeletePod, log: logs.BoundLogger) -> None:
        log.info("deleting launcher pod", pod=action.name)
        try:
            await self._client.delete(PODS, vmi.metadata.namespace, action.name, uid=action.uid, grace=action.grace)
        except NotFound:
            pass  # it is gone already

    async def _patch(self, vmi: VirtualMachineInstance, action: PatchVmi, log: logs.BoundLogger) -> None:
        meta = vmi.metadata
        pod, node = action.only_if_pod_is_gone, action.only_if_node_is_gone
        if pod is not None and await self._is_there(vmi, pod):
            raise Conflict(409, f"pod {pod.name} is there: the cache is behind")
        if node is not None and await self._node_is_there(node):
            raise Conflict(409, f"node {node} is there: the cache is behind")
        log.info("patching", paths=[operation["path"] for operation in action.operations if operation["op"] != "test"])
        try:
            answer = await self._client.json_patch(
                VIRTUAL_MACHINE_INSTANCES, meta.namespace, meta.name, action.operations
            )
        except NotFound:
            return  # the VMI was deleted: there is nothing to update
        self._wrote(answer)

    async def _is_there(self, vmi: VirtualMachineInstance, pod: GonePod) -> bool:
        found = await self._find(vmi.metadata.namespace, pod.name)
        if found is None:
            return False
        return found.uid in pod.uids if pod.uids else belongs_to(found, vmi.metadata)

    async def _find(self, namespace: str, name: str) -> ObjectMeta | None:
        """The pod's metadata, as the API server has it now."""
        try:
            found = await self._client.get(PODS, namespace, name)
        except NotFound:
            return None
        return msgspec.convert(found, PartialObject).metadata

    async def _node_is_there(self, name: str) -> bool:
        try:
            await self._client.get(NODES, None, name)
        except NotFound:
            return False
        return True
