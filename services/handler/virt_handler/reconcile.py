"""Reconciles the VirtualMachineInstances of this node: observe, plan, execute. Run by app.py.

For each launcher pod of a machine on this node: the side of a migration that it is (migration/), then the machine
itself if its guest is there (machines/).

Reflectors and links to launchers add keys. The work queue gives a machine to one worker at a time and retries failures
with back-off. Each pass decides from the current state, so nothing is lost when the handler dies between two actions.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from virt_core.kube.configuration import ConfigurationCache
from virt_core.kube.queue import Retry, WorkQueue
from virt_core.kube.reflector import Key
from virt_core.metrics.passes import Passes
from virt_core.objects.kubevirt import Configuration
from virt_core.rpc.errors import InvalidField, Refused, RpcError
from virt_core.vmi.accepted import AcceptedSpecs
from virt_core.vmi.instance import VirtualMachineInstance

from virt_handler.machines import status_devices
from virt_handler.machines.actions import StartMachine
from virt_handler.machines.execute import Executor, UnusableDisk
from virt_handler.machines.hostile_text import MESSAGE_LENGTH, condition_reason, printable
from virt_handler.machines.link import Disconnected, MachineLink
from virt_handler.machines.measure import measure
from virt_handler.machines.observe import LauncherRefusal, Observed, counting_pod, pods_on_node
from virt_handler.machines.plan import plan, wait_for_volume
from virt_handler.machines.pod import ConnectLauncher
from virt_handler.machines.sides import Side, side_of
from virt_handler.machines.user_words import in_user_words
from virt_handler.migration import source, target
from virt_handler.migration import status as migration_status
from virt_handler.migration.actions import Action, Call, Decisive, LookAgain
from virt_handler.migration.execute import MigrationExecutor
from virt_handler.migration.metrics import Copies
from virt_handler.migration.observe import ObservedSide
from virt_handler.migration.watch import MigrationWatch
from virt_handler.network.execute import NetworkFailed
from virt_handler.own_vmis import VmiCache

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

_REFUSING = {Side.SOURCE: "the source", Side.TARGET: "the target"}
_WORKERS = 16  # they mostly wait for starting launchers and the API server
_BACKOFF_LAST = 5.0  # seconds; a retry affects only a launcher on this node


@dataclass(frozen=True, slots=True)
class _Linked:
    key: Key
    link: MachineLink
    task: asyncio.Task[None]


@dataclass(frozen=True, slots=True)
class _Watched:
    watch: MigrationWatch
    task: asyncio.Task[None]


class Machines:
    """The machines of one node."""

    def __init__(
        self,
        node: str,
        *,
        queue: WorkQueue[Key],
        vmis: VmiCache,
        configuration: ConfigurationCache,
        connect: ConnectLauncher,
        executor: Executor,
        migrations: MigrationExecutor,
    ) -> None:
        self._node = node
        self._queue = queue
        self._vmis = vmis
        self._configuration = configuration
        self._specs = AcceptedSpecs()
        self._connect = connect
        self._executor = executor
        self._migrations = migrations
        # By the UIDs of VMI and launcher pod: a migrating VMI has two pods, a new VMI may have an old name.
        self._links: dict[tuple[str, str], _Linked] = {}
        # By the UIDs of VMI, source pod and migration.
        self._watches: dict[tuple[str, str, str], _Watched] = {}
        self._copies = Copies(node)
        self._passes = Passes()

    async def metrics(self) -> list[Metric]:
        """Of copies and of the guests on this node, for Prometheus."""
        from virt_handler.machines import metrics  # with its library, when somebody asks

        guests = [(vmi, link) for vmi in self._vmis if (link := self.link_of(vmi)) is not None]
        measured = [(found.vmi, found.statistics) for found in await measure(guests)]
        return [*self._copies.families(), *metrics.families(measured), metrics.synced(self._passes)]

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
        return self.link_in(vmi, pod_uid) if pod_uid is not None else None

    def link_in(self, vmi: VirtualMachineInstance, pod_uid: str) -> MachineLink | None:
        """The link to the VMI's launcher in that pod; None if there is none."""
        linked = self._links.get((vmi.metadata.uid, pod_uid))
        return linked.link if linked is not None else None

    async def _reconcile(self, group: asyncio.TaskGroup, key: Key) -> None:
        vmi = self._vmis.get(key)
        self._follow(group, key, vmi)
        pods = pods_on_node(vmi, self._node) if vmi is not None else ()
        if vmi is None or not pods:
            self._passes.forget(key)
            self._specs.forget(key)
            return
        self._passes.count(key)
        retries: list[Retry] = []
        for pod_uid in pods:
            current = self._vmis.get(key)
            linked = self._links.get((vmi.metadata.uid, pod_uid))
            if current is None or linked is None:
                break
            try:
                await self._reconcile_pod(current, pod_uid, linked.link)
            except Disconnected:
                continue  # the link adds the key when it is connected
            except Retry as error:
                retries.append(error)
            except (RpcError, NetworkFailed) as error:  # the other pod may be the one with the guest
                retries.append(Retry(printable(str(error), MESSAGE_LENGTH), longest=_BACKOFF_LAST))
        if retries:
            raise min(retries, key=lambda retry: retry.longest)

    async def _reconcile_pod(self, vmi: VirtualMachineInstance, pod_uid: str, link: MachineLink) -> None:
        """The actions of the pod's side of a migration, otherwise those of the machine if the guest is in this pod."""
        observed, now = self._observed(vmi, link), datetime.now(UTC)
        side = self._side(observed, link)
        if side is not None:
            planned = target.plan(side, now) if side_of(vmi, pod_uid) is Side.TARGET else source.plan(side, now)
            if planned:
                await self._migrate(planned, side, link)
                return
        if counting_pod(vmi, self._node) != pod_uid:
            return
        try:
            await self._act(observed, link)
        except UnusableDisk as error:
            for action in wait_for_volume(observed, error.name, str(error), datetime.now(UTC)):
                await self._executor.execute(action, vmi, link)
            raise Retry(f"disk {error.name} {error}") from error

    def _observed(self, vmi: VirtualMachineInstance, link: MachineLink) -> Observed:
        configuration = self._configuration.current
        return Observed(
            vmi,
            self._node,
            self._specs.of(vmi, configuration or Configuration()),
            configured=configuration is not None,
            machine_types=self._configuration.machine_types(link.launcher_release),
            guest=link.guest,
            network=link.network,
            launcher_migrates=link.launcher_migrates,
            refusal=link.refusal,
            claim_users=self._claim_users(vmi) if link.guest is not None and link.guest.failed_disk else {},
        )

    def _side(self, observed: Observed, link: MachineLink) -> ObservedSide | None:
        """What is known of the migration of which the pod is a side."""
        vmi, state = observed.vmi, observed.vmi.status.migration_state
        if state is None or side_of(vmi, link.pod_uid) is Side.NONE:
            return None
        watched = self._watches.get((vmi.metadata.uid, link.pod_uid, state.migration_uid))
        report = watched.watch.report if watched is not None else None
        clock = asyncio.get_running_loop().time()
        if state.succeeded and link.left_since is None:
            link.left_since = clock
        left = clock - link.left_since if link.left_since is not None else 0.0
        return ObservedSide(observed, state, report, link.forwards_to, left)

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

    async def _migrate(self, planned: tuple[Action, ...], side: ObservedSide, link: MachineLink) -> None:
        """Execute a side's actions. What a launcher or a volume refuses for good ends the migration, not the guest."""
        vmi, state = side.machine.vmi, side.state
        watched = self._watches.get((vmi.metadata.uid, link.pod_uid, state.migration_uid))
        for action in planned:
            try:
                if isinstance(action, Call):
                    await self._migrations.execute(action, vmi, link)
                    if watched is not None:
                        watched.watch.again()
                elif isinstance(action, LookAgain):
                    self._queue.add_after(vmi.key, action.seconds)
                else:
                    await self._executor.execute(action, vmi, link)
            except (Refused, InvalidField) as error:
                if not isinstance(action, Decisive):
                    raise
                await self._fail(side, f"{_REFUSING[side_of(vmi, link.pod_uid)]} refuses: {error.message}", link)
                return
            except UnusableDisk as error:
                await self._fail(side, f"disk {error.name} {error} on the target's node", link)
                return

    async def _fail(self, side: ObservedSide, reason: str, link: MachineLink) -> None:
        text = printable(reason, MESSAGE_LENGTH)
        for action in migration_status.failed(side.machine.vmi, side.state, text, datetime.now(UTC)):
            await self._executor.execute(action, side.machine.vmi, link)

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
        self._watch_migration(group, key, vmi)

    def _watch_migration(self, group: asyncio.TaskGroup, key: Key, vmi: VirtualMachineInstance | None) -> None:
        """Follow the last migration in the pod that is its source."""
        state = vmi.status.migration_state if vmi is not None else None
        wanted: set[tuple[str, str, str]] = set()
        if vmi is not None and state is not None:
            wanted = {
                (vmi.metadata.uid, pod_uid, state.migration_uid)
                for pod_uid in pods_on_node(vmi, self._node)
                if side_of(vmi, pod_uid) is Side.SOURCE
            }
        pods = {uids for uids, linked in self._links.items() if linked.key == key}
        for uids in self._watches.keys() - wanted:
            if uids[:2] in pods or uids[:2] not in self._links:
                self._watches.pop(uids).task.cancel()
                self._copies.end(key)
        for uids in wanted - self._watches.keys():
            watch = MigrationWatch(self._links[uids[:2]].link, uids[2], partial(self._see_copy, key, uids))
            task = group.create_task(watch.run(), name=f"migration {uids[2]} of {key[0]}/{key[1]}")
            self._watches[uids] = _Watched(watch, task)

    def _see_copy(self, key: Key, uids: tuple[str, str, str]) -> None:
        if uids in self._watches:
            self._copies.see(key, self._watches[uids].watch.report)
        self._queue.add(key)
