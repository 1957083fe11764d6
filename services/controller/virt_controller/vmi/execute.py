"""Each action of a plan as one request. Called by reconcile.py, in the plan's order; stops at the first failure."""

from __future__ import annotations

from collections.abc import Callable

from virt_core import logs
from virt_core.kube.client import KubeClient, Object
from virt_core.kube.errors import AlreadyExists, Conflict, Forbidden, Invalid, KubeError, NotFound
from virt_core.kube.events import EventRecorder
from virt_core.kube.resource import NODES, PODS, VIRTUAL_MACHINE_INSTANCES, Resource
from virt_core.vmi.instance import VirtualMachineInstance

from virt_controller.vmi.actions import Action, CreatePod, DeletePod, LookAgain, PatchVmi, RecordEvent

_INTERNAL = 500  # what the API server answers when somebody else's admission webhook fails


class PodRefused(Exception):
    """The API server does not want the launcher pod, and says why."""


class Executor:
    """Carries plans out; `wrote` is told each answer to a patch of a VirtualMachineInstance."""

    def __init__(self, client: KubeClient, events: EventRecorder, wrote: Callable[[Object], None]) -> None:
        self._client = client
        self._events = events
        self._wrote = wrote

    async def execute(self, vmi: VirtualMachineInstance, actions: tuple[Action, ...]) -> float | None:
        """Carry `actions` out; returns the seconds after which to plan again, or None.

        Raises:
            PodRefused: to be told; the rest was not carried out.
            KubeError: the rest was not carried out; observe and plan again.
        """
        log = logs.bound("virt_controller.vmi", namespace=vmi.metadata.namespace, vmi=vmi.metadata.name)
        again: float | None = None
        for action in actions:
            match action:
                case CreatePod():
                    await self._create(vmi, action, log)
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
        return again

    async def _create(self, vmi: VirtualMachineInstance, action: CreatePod, log: logs.BoundLogger) -> None:
        name = action.manifest["metadata"]["name"]
        log.info("creating launcher pod", pod=name)
        try:
            await self._client.create(PODS, vmi.metadata.namespace, action.manifest)
        except AlreadyExists:
            log.info("finding the launcher pod created before", pod=name)
        except KubeError as error:
            if not isinstance(error, (Forbidden, Invalid)) and error.status != _INTERNAL:
                raise
            log.warning("waiting for the API server to admit the launcher pod", pod=name, reason=str(error))
            raise PodRefused(error.message) from error

    async def _delete(self, vmi: VirtualMachineInstance, action: DeletePod, log: logs.BoundLogger) -> None:
        log.info("deleting launcher pod", pod=action.name)
        try:
            await self._client.delete(PODS, vmi.metadata.namespace, action.name, uid=action.uid)
        except NotFound:
            pass  # it went by itself, which is what was wanted

    async def _patch(self, vmi: VirtualMachineInstance, action: PatchVmi, log: logs.BoundLogger) -> None:
        meta = vmi.metadata
        pod, node = action.only_if_pod_is_gone, action.only_if_node_is_gone
        if pod is not None and await self._exists(PODS, meta.namespace, pod):
            raise Conflict(409, f"pod {pod} is there: the cache is behind")
        if node is not None and await self._exists(NODES, None, node):
            raise Conflict(409, f"node {node} is there: the cache is behind")
        log.info("patching", paths=[operation["path"] for operation in action.operations if operation["op"] != "test"])
        try:
            answer = await self._client.json_patch(
                VIRTUAL_MACHINE_INSTANCES, meta.namespace, meta.name, action.operations
            )
        except NotFound:
            return  # deleted meanwhile: there is nobody left to tell
        self._wrote(answer)

    async def _exists(self, resource: Resource, namespace: str | None, name: str) -> bool:
        try:
            await self._client.get(resource, namespace, name)
        except NotFound:
            return False
        return True
