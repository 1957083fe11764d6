"""Executes a plan's actions in order and stops at the first failure. Called by reconcile.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

from virt_core import logs
from virt_core.kube.client import KubeClient, Object
from virt_core.kube.errors import AlreadyExists, Conflict
from virt_core.kube.events import EventRecorder
from virt_core.kube.resource import NODES, PODS, VIRTUAL_MACHINE_INSTANCES
from virt_core.vmi.instance import VirtualMachineInstance

from virt_controller.execution import Execution, Refused
from virt_controller.pod.observed import belongs_to
from virt_controller.vmi.actions import Action, CreatePod, DeletePod, GonePod, PatchPod, PatchVmi, Write


class Executor:
    """Executes plans. `wrote` and `wrote_pod` take the API server's responses to patches."""

    def __init__(
        self,
        client: KubeClient,
        events: EventRecorder,
        wrote: Callable[[Object], None],
        wrote_pod: Callable[[Object], None],
    ) -> None:
        self._execution: Execution[Write] = Execution(client, events)
        self._wrote = wrote
        self._wrote_pod = wrote_pod

    async def execute(self, vmi: VirtualMachineInstance, actions: tuple[Action, ...]) -> float | None:
        """Execute `actions`. Returns the seconds after which to plan again, or None.

        Raises:
            Refused: the launcher pod; to be reported, the remaining actions were not executed.
            KubeError: the remaining actions were not executed; observe and plan again.
        """
        log = logs.bound("virt_controller.vmi", namespace=vmi.metadata.namespace, vmi=vmi.metadata.name)

        async def write(action: Write) -> bool:
            match action:
                case CreatePod():
                    return await self._create(vmi, action, log)
                case DeletePod():
                    if action.without_guest:
                        await self._require_same_migration(vmi)
                    log.info("deleting launcher pod", pod=action.name)
                    answer = await self._execution.delete(
                        PODS, vmi.metadata.namespace, action.name, uid=action.uid, grace=action.grace
                    )
                    if answer is not None and answer.get("metadata", {}).get("deletionTimestamp"):
                        self._wrote_pod(answer)  # or the next pass would delete it once more
                case PatchVmi():
                    await self._patch(vmi, action, log)
                case PatchPod():
                    key = vmi.metadata.namespace, action.name
                    answer = await self._execution.patch(
                        PODS, key, action.operations, log=log, subresource=action.subresource
                    )
                    if answer is not None:
                        self._wrote_pod(answer)
                case _:
                    assert_never(action)
            return True

        return await self._execution.run(vmi.reference, actions, write)

    async def _create(self, vmi: VirtualMachineInstance, action: CreatePod, log: logs.BoundLogger) -> bool:
        """Whether this request created the pod."""
        name = action.manifest["metadata"]["name"]
        log.info("creating launcher pod", pod=name)
        try:
            await self._execution.create(PODS, vmi.metadata.namespace, action.manifest, "launcher pod")
        except AlreadyExists:
            found = await self._execution.live(PODS, vmi.metadata.namespace, name)
            if found is not None and not belongs_to(found, vmi.metadata):
                log.warning("waiting for another pod of the launcher pod's name to go", pod=name, uid=found.uid)
                message = f"pod {name} (UID {found.uid}) has the launcher pod's name and is not this VMI's: delete it"
                raise Refused(message) from None
            log.info("finding the launcher pod created before", pod=name)
            return False
        except Refused as refused:
            log.warning("waiting for the API server to admit the launcher pod", pod=name, reason=str(refused))
            raise
        return True

    async def _require_same_migration(self, vmi: VirtualMachineInstance) -> None:
        """Check that the API server has the migrationState that was seen.

        Raises:
            Conflict: it has not; the cache is behind.
        """
        found = await self._execution.read(VIRTUAL_MACHINE_INSTANCES, *vmi.key)
        live = VirtualMachineInstance.of(found) if found is not None else None
        if live is None or live.status.migration_state != vmi.status.migration_state:
            raise Conflict(409, f"the migration of {vmi.metadata.name} has changed: the cache is behind")

    async def _patch(self, vmi: VirtualMachineInstance, action: PatchVmi, log: logs.BoundLogger) -> None:
        pod, node = action.only_if_pod_is_gone, action.only_if_node_is_gone
        if pod is not None and await self._is_there(vmi, pod):
            raise Conflict(409, f"pod {' or '.join(pod.names)} is there: the cache is behind")
        if node is not None and await self._execution.live(NODES, None, node) is not None:
            raise Conflict(409, f"node {node} is there: the cache is behind")
        answer = await self._execution.patch(VIRTUAL_MACHINE_INSTANCES, vmi.key, action.operations, log=log)
        if answer is not None:
            self._wrote(answer)

    async def _is_there(self, vmi: VirtualMachineInstance, pod: GonePod) -> bool:
        for name in pod.names:
            found = await self._execution.live(PODS, vmi.metadata.namespace, name)
            if found is not None and (found.uid in pod.uids if pod.uids else belongs_to(found, vmi.metadata)):
                return True
        return False
