"""Every VirtualMachineInstance of this node: observe, plan, execute. Run by app.py.

Keys arrive from the reflectors and from the links to launchers; the work queue makes sure that one machine is worked
on once at a time and that failures are repeated with back-off. What a machine needs is decided anew each time from
what is known then, so nothing is lost when the handler dies between two actions.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from virt_core import logs
from virt_core.kube.queue import WorkQueue
from virt_core.kube.reflector import Key, Reflector
from virt_core.objects.kubevirt import Configuration, KubeVirt
from virt_core.rpc.errors import InvalidField, Refused, RpcError
from virt_core.vmi.instance import VirtualMachineInstance

from virt_handler.launchers.pod_folders import PodFolders
from virt_handler.machines.execute import Executor
from virt_handler.machines.link import Disconnected, MachineLink
from virt_handler.machines.observe import Observed, pod_on_node
from virt_handler.machines.plan import plan, refusal
from virt_handler.network.execute import NetworkFailed

_WORKERS = 16  # they mostly wait: for launchers that start, for the API server
_BACKOFF_FIRST, _BACKOFF_LAST = 0.05, 5.0


class Machines:
    """The machines of one node."""

    def __init__(
        self,
        node: str,
        *,
        queue: WorkQueue[Key],
        vmis: Reflector[VirtualMachineInstance],
        kubevirts: Reflector[KubeVirt],
        folders: PodFolders,
        executor: Executor,
    ) -> None:
        self._node = node
        self._queue = queue
        self._vmis = vmis
        self._kubevirts = kubevirts
        self._folders = folders
        self._executor = executor
        self._links: dict[Key, tuple[MachineLink, asyncio.Task[None]]] = {}

    async def run(self) -> None:
        """Work until cancelled. Nothing is done before both caches have been filled once."""
        await self._vmis.synced.wait()
        await self._kubevirts.synced.wait()
        async with asyncio.TaskGroup() as group:
            first = [vmi.key for vmi in self._vmis]
            await self._queue.run(lambda key: self._reconcile(group, key), _WORKERS, first=first)

    def link_of(self, vmi: VirtualMachineInstance) -> MachineLink | None:
        """The link to the launcher of that very VMI, None while there is none."""
        found = self._links.get(vmi.key)
        return found[0] if found is not None and found[0].vmi_uid == vmi.metadata.uid else None

    async def _reconcile(self, group: asyncio.TaskGroup, key: Key) -> float | None:
        vmi = self._vmis.get(key)
        pod_uid = pod_on_node(vmi, self._node) if vmi is not None else None
        if vmi is None or pod_uid is None:
            # Not ours (any more), or being deleted: whatever becomes of the guest is not decided here.
            self._drop(key)
            return None
        link = self._link(group, key, vmi.metadata.uid, pod_uid)
        observed = Observed(vmi, self._node, self._configuration(), link.guest, link.network, link.refused)
        return await self._act(observed, link)

    async def _act(self, observed: Observed, link: MachineLink) -> float | None:
        log = logs.bound("virt_handler.machines.reconcile", vmi="/".join(observed.vmi.key))
        now = datetime.now(UTC)
        try:
            for action in plan(observed, now):
                await self._executor.execute(action, observed.vmi, link)
        except (Refused, InvalidField) as error:
            # Another launcher process may know more: then the link is new and `refused` is not set.
            link.refused = True
            for action in refusal(observed, _camel(error.reason), error.message, now):
                await self._executor.execute(action, observed.vmi, link)
            return None
        except Disconnected:
            return None  # the link asks again when it is connected
        except (RpcError, NetworkFailed) as error:
            link.failures += 1
            delay: float = min(_BACKOFF_FIRST * 2 ** min(link.failures, 10), _BACKOFF_LAST)
            log.warning("trying again after a failure", reason=str(error), delay=delay)
            return delay
        link.failures = 0
        return None

    def _link(self, group: asyncio.TaskGroup, key: Key, vmi_uid: str, pod_uid: str) -> MachineLink:
        if key in self._links:
            link, _ = self._links[key]
            if (link.vmi_uid, link.pod_uid) == (vmi_uid, pod_uid):
                return link
            self._drop(key)
        link = MachineLink(self._folders, key, vmi_uid, pod_uid, lambda: self._queue.add(key))
        self._links[key] = link, group.create_task(link.run(), name=f"machine {key[0]}/{key[1]}")
        return link

    def _drop(self, key: Key) -> None:
        if key in self._links:
            _, task = self._links.pop(key)
            task.cancel()

    def _configuration(self) -> Configuration:
        return next((kubevirt.spec.configuration for kubevirt in self._kubevirts), Configuration())


def _camel(reason: str) -> str:
    """UNSUPPORTED_BY_PEER as a condition's reason: UnsupportedByPeer."""
    return "".join(word.capitalize() for word in reason.split("_")) or "Refused"
