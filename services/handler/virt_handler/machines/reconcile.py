"""Reconciles the VirtualMachineInstances of this node: observe, plan, execute. Run by app.py.

Reflectors and links to launchers add keys. The work queue gives a machine to one worker at a time and retries failures
with back-off. Each pass decides from the current state, so nothing is lost when the handler dies between two actions.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime

from virt_core.kube.configuration import ConfigurationCache
from virt_core.kube.queue import Retry, WorkQueue
from virt_core.kube.reflector import Key, Reflector
from virt_core.objects.kubevirt import Configuration
from virt_core.rpc.errors import InvalidField, Refused, RpcError
from virt_core.vmi.accepted import AcceptedSpecs
from virt_core.vmi.instance import VirtualMachineInstance

from virt_handler.machines import status_devices
from virt_handler.machines.actions import StartMachine
from virt_handler.machines.execute import Executor, UnusableDisk
from virt_handler.machines.hostile_text import MESSAGE_LENGTH, condition_reason, printable
from virt_handler.machines.link import Disconnected, MachineLink
from virt_handler.machines.observe import LauncherRefusal, Observed, counting_pod, pods_on_node
from virt_handler.machines.plan import plan, wait_for_volume
from virt_handler.machines.pod import ConnectLauncher
from virt_handler.machines.user_words import in_user_words
from virt_handler.network.execute import NetworkFailed

_WORKERS = 16  # they mostly wait for starting launchers and the API server
_BACKOFF_LAST = 5.0  # seconds; a retry affects only a launcher on this node


@dataclass(frozen=True, slots=True)
class _Linked:
    key: Key
    link: MachineLink
    task: asyncio.Task[None]


class Machines:
    """The machines of one node."""

    def __init__(
        self,
        node: str,
        *,
        queue: WorkQueue[Key],
        vmis: Reflector[VirtualMachineInstance],
        configuration: ConfigurationCache,
        connect: ConnectLauncher,
        executor: Executor,
    ) -> None:
        self._node = node
        self._queue = queue
        self._vmis = vmis
        self._configuration = configuration
        self._specs = AcceptedSpecs()
        self._connect = connect
        self._executor = executor
        # By the UIDs of VMI and launcher pod: a migrating VMI has two pods, a new VMI may have an old name.
        self._links: dict[tuple[str, str], _Linked] = {}

    async def run(self) -> None:
        """Work until cancelled, starting when both caches are complete."""
        await self._vmis.synced.wait()
        await self._configuration.synced.wait()
        async with asyncio.TaskGroup() as group:
            first = [vmi.key for vmi in self._vmis]
            await self._queue.run(lambda key: self._reconcile(group, key), _WORKERS, first=first)

    def link_of(self, vmi: VirtualMachineInstance) -> MachineLink | None:
        """The link to the launcher that runs the VMI; None if there is none."""
        pod_uid = counting_pod(vmi, self._node)
        linked = self._links.get((vmi.metadata.uid, pod_uid)) if pod_uid is not None else None
        return linked.link if linked is not None else None

    async def _reconcile(self, group: asyncio.TaskGroup, key: Key) -> None:
        vmi = self._vmis.get(key)
        self._follow(group, key, vmi)
        link = self.link_of(vmi) if vmi is not None else None
        if vmi is None or link is None:
            return
        configuration = self._configuration.current
        observed = Observed(
            vmi,
            self._node,
            self._specs.of(vmi, configuration or Configuration()),
            configured=configuration is not None,
            guest=link.guest,
            network=link.network,
            launcher_migrates=link.launcher_migrates,
            refusal=link.refusal,
            claim_users=self._claim_users(vmi) if link.guest is not None and link.guest.failed_disk else {},
        )
        try:
            await self._act(observed, link)
        except Disconnected:
            return  # the link adds the key when it is connected
        except UnusableDisk as error:
            for action in wait_for_volume(observed, error.name, str(error), datetime.now(UTC)):
                await self._executor.execute(action, vmi, link)
            raise Retry(f"disk {error.name} {error}") from error
        except (RpcError, NetworkFailed) as error:
            raise Retry(printable(str(error), MESSAGE_LENGTH), longest=_BACKOFF_LAST) from error

    def _claim_users(self, vmi: VirtualMachineInstance) -> dict[str, tuple[str, ...]]:
        """Other VMIs of this node by those claims of the VMI that they use."""
        configuration = self._configuration.current or Configuration()
        users: dict[str, tuple[str, ...]] = {}
        own = status_devices.claims(self._specs.of(vmi, configuration))
        for other in self._vmis:
            if other.metadata.namespace != vmi.metadata.namespace or other.key == vmi.key or other.status.phase.final:
                continue
            for claim in own & status_devices.claims(self._specs.of(other, configuration)):
                users[claim] = (*users.get(claim, ()), other.metadata.name)
        return users

    async def _act(self, observed: Observed, link: MachineLink) -> None:
        for action in plan(observed, datetime.now(UTC)):
            try:
                await self._executor.execute(action, observed.vmi, link)
            except (Refused, InvalidField) as error:
                if not isinstance(action, StartMachine):
                    raise
                # Kept until the VMI's status shows it: each further pass plans the condition again.
                message = in_user_words(printable(error.message, MESSAGE_LENGTH), observed.spec)
                link.refusal = LauncherRefusal(condition_reason(error.reason), message)
                self._queue.add(observed.vmi.key)
                return

    def _follow(self, group: asyncio.TaskGroup, key: Key, vmi: VirtualMachineInstance | None) -> None:
        """Start and cancel links so that every launcher pod of the VMI on this node has one."""
        wanted: set[tuple[str, str]] = set()
        if vmi is not None:
            wanted = {(vmi.metadata.uid, pod_uid) for pod_uid in pods_on_node(vmi, self._node)}
        for uids in [uids for uids, linked in self._links.items() if linked.key == key and uids not in wanted]:
            self._links.pop(uids).task.cancel()
        for uids in wanted - self._links.keys():
            link = MachineLink(self._connect, key, *uids, lambda: self._queue.add(key))
            task = group.create_task(link.run(), name=f"launcher of {key[0]}/{key[1]}, pod {uids[1]}")
            self._links[uids] = _Linked(key, link, task)
