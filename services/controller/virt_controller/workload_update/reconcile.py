"""Connects caches, plan and executor for workload updates. Created and run by app.py.

It looks at all guests at once, a few seconds after a change. When guests were last evicted is not stored: a new leader
waits a whole interval before its first batch.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from virt_core.kube.client import KubeClient
from virt_core.kube.events import EventRecorder
from virt_core.kube.queue import WorkQueue
from virt_core.objects.duration import parse_duration
from virt_core.objects.kubevirt import KubeVirt
from virt_core.validation.refusal import Refusal
from virt_core.vmi.instance import VirtualMachineInstance

from virt_controller.caches import Caches
from virt_controller.launcher_default import known_default
from virt_controller.migration.status import takes_place_first
from virt_controller.pod.containers import LauncherSettings
from virt_controller.pod.launcher import launcher_of
from virt_controller.pod.template import LAUNCHER_IMAGE
from virt_controller.vmi.observe import current_pod
from virt_controller.workload_update.actions import Evict
from virt_controller.workload_update.execute import Executor
from virt_controller.workload_update.observe import Observed, Strategy, Workload
from virt_controller.workload_update.plan import count, plan

_KEY = "workloads"
_THROTTLE = 5.0  # seconds after a change, KubeVirt's
_BATCH_SIZE, _BATCH_INTERVAL = 10, timedelta(minutes=1)  # KubeVirt's defaults
_DEPLOYED = "Deployed"
_AT_ONCE = 200  # guests that are looked at before others have their turn: a few milliseconds


class WorkloadUpdater:
    """Replaces outdated launchers."""

    def __init__(self, client: KubeClient, caches: Caches, events: EventRecorder, launcher: LauncherSettings) -> None:
        self._caches = caches
        self._launcher = launcher
        self._queue: WorkQueue[str] = WorkQueue("workload update")
        self._executor = Executor(client, events, caches.vmis.wrote, caches.migrations.wrote)
        caches.migrations_of_vmis.subscribe(lambda _: self._look_soon())
        self._clock = asyncio.get_running_loop().time
        self._last_batch = self._clock()
        self._reported: tuple[str, int] | None = None
        caches.vmis.subscribe(lambda _: self._look_soon())
        caches.namespaces.subscribe(lambda _: self._look_soon())
        caches.configuration.subscribe(lambda: self._queue.add(_KEY))

    @property
    def outdated(self) -> int | None:
        """How many guests have an outdated launcher; None: this replica does not lead, or has not counted yet."""
        return self._reported[1] if self._reported is not None else None

    async def work(self) -> None:
        """Work until cancelled, starting when every cache is complete."""
        await self._caches.wait()
        self._last_batch, self._reported = self._clock(), None
        await self._queue.run(lambda _: self.look(), workers=1, first=[_KEY])

    async def look(self) -> float | None:
        """A pass: observe, plan, execute. Returns the seconds after which to look again, or None."""
        kubevirt = self._caches.configuration.kubevirt
        if kubevirt is None:
            return None
        observed = await self._observe(kubevirt)
        actions = plan(observed)
        if any(isinstance(action, Evict) for action in actions):
            self._last_batch = self._clock()
        again = await self._executor.execute(actions)
        found = kubevirt.metadata.uid, count(observed)
        if found != self._reported:
            await self._executor.count(kubevirt.metadata, found[1])
            self._reported = found
        return again

    async def _observe(self, kubevirt: KubeVirt) -> Observed:
        settings, status = kubevirt.spec.configuration.migrations.resolved(), kubevirt.status
        same = status.observed_deployment_id == status.target_deployment_id
        workloads = []
        for number, vmi in enumerate(self._caches.vmis, 1):
            workloads.append(self._workload(vmi))
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)
        running = sum(map(takes_place_first, self._caches.unfinished_migrations))
        return Observed(
            strategy_of(kubevirt),
            status.phase == _DEPLOYED and same,
            tuple(workloads),
            running,
            settings.parallel_migrations_per_cluster or 0,
            timedelta(seconds=self._clock() - self._last_batch),
            datetime.now(UTC),
        )

    def _workload(self, vmi: VirtualMachineInstance) -> Workload:
        pod = current_pod(vmi, self._caches.pods.of(vmi)) if vmi.status.active_pods else None
        migrations = self._caches.migrations_of_vmis.of(vmi.key)
        default = known_default(self._caches.namespaces, vmi.metadata.namespace)
        found = launcher_of(vmi.metadata, default, self._launcher)
        wanted, refusal = ("", str(found)) if isinstance(found, Refusal) else (found.image, "")
        if pod is None:
            return Workload(vmi, "", "", wanted, migrations, refusal)
        image = pod.metadata.annotations.get(LAUNCHER_IMAGE, "")
        return Workload(vmi, image, pod.metadata.name, wanted, migrations, refusal)

    def _look_soon(self) -> None:
        self._queue.add_after(_KEY, _THROTTLE)


def strategy_of(kubevirt: KubeVirt) -> Strategy:
    """The strategy with KubeVirt's defaults. The operator refuses invalid values."""
    stored = kubevirt.spec.workload_update_strategy
    interval = parse_duration(stored.batch_eviction_interval) if stored.batch_eviction_interval else None
    size = _BATCH_SIZE if stored.batch_eviction_size is None else stored.batch_eviction_size
    return Strategy(tuple(stored.workload_update_methods), size, _BATCH_INTERVAL if interval is None else interval)
