"""A double of what two libvirtds do in a live migration with VIR_MIGRATE_PAUSED, and of the connections to them.

The job belongs to the source's libvirtd: it goes on without a launcher. What each side does when a libvirtd or a QEMU
dies in the middle is libvirt's qemuProcessRecoverMigrationOut and qemuProcessRecoverMigrationIn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from virt_launcher.domain.observation import DomainPhase, ShutoffReason
from virt_launcher.errors import HypervisorRefused, HypervisorUnavailable
from virt_launcher.migration.calls import Order, Progress

from tests.support.hypervisor.fake_host import FakeHypervisor

COPY, SWITCH, STEP = 3.0, 0.25, 0.125  # seconds; binary fractions, so that virtual time has no remainders


class FakeJob:
    """A migration in the source's libvirtd."""

    def __init__(self, source: FakeHypervisor, target: FakeHypervisor) -> None:
        self.source, self.target = source, target
        self.aborted = False
        self.left = COPY
        self.ended = asyncio.Event()
        self.error = ""
        self.paused_before = source.phase is DomainPhase.STANDING
        self._task = asyncio.create_task(self._run(), name="libvirt job")

    async def _run(self) -> None:
        try:
            await self._move()
        except HypervisorRefused as error:
            self.error = str(error)
        self.ended.set()

    async def _move(self) -> None:
        source, target = self.source, self.target
        if target.phase is not DomainPhase.ABSENT or not target.answers:
            raise HypervisorRefused("operation failed: domain is already active")
        target.domain, target._executed = source.domain, False
        target._become(DomainPhase.MIGRATING)
        while self.left > 0:
            await asyncio.sleep(STEP)
            self.left -= STEP
            self._require_both()
        if source.phase is DomainPhase.RUNNING:
            source._become(DomainPhase.MIGRATING)
        await asyncio.sleep(SWITCH)
        self._require_both()
        target._become(DomainPhase.STANDING)
        await asyncio.sleep(SWITCH)
        if not source.answers:  # it leaves its QEMU stopped: it does not know the target's answer
            raise HypervisorRefused("libvirtd died")
        if not target.answers or not target.has_qemu:  # its answer is lost
            self._resume()
            raise HypervisorRefused("End of file while reading data")
        source._end(ShutoffReason.MIGRATED)

    def _require_both(self) -> None:
        source, target = self.source, self.target
        well = source.answers and target.answers and source.has_qemu and target.phase is DomainPhase.MIGRATING
        if well and not self.aborted:
            return
        if target.phase is DomainPhase.MIGRATING:  # libvirtd ends it when the source's connection is lost
            target.phase = DomainPhase.ABSENT
            target.notify()
        if source.answers:
            self._resume()
        raise HypervisorRefused("operation aborted" if self.aborted else "migration failed")

    def _resume(self) -> None:
        if self.source.phase is DomainPhase.MIGRATING and not self.paused_before:
            self.source._become(DomainPhase.RUNNING)

    async def end(self) -> None:
        """Leave no task."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


class FakeNetwork:
    """Hypervisors by address, and the jobs between them. `downtime_limits` are in milliseconds."""

    def __init__(self, hypervisors: Mapping[str, FakeHypervisor]) -> None:
        self.hypervisors = hypervisors
        self.jobs: list[FakeJob] = []
        self.downtime_limits: list[int] = []

    def connections(self, source: FakeHypervisor) -> Callable[[str], FakeConnections]:
        """As engine.py makes them."""
        return lambda address: FakeConnections(self, source, self.hypervisors[address])

    def job_of(self, source: FakeHypervisor) -> FakeJob | None:
        """The job that runs."""
        running = [job for job in self.jobs if job.source is source and not job.ended.is_set()]
        return running[0] if running else None

    async def end(self) -> None:
        """Leave no task."""
        for job in self.jobs:
            await job.end()


class FakeConnections:
    """As Connections."""

    def __init__(self, network: FakeNetwork, source: FakeHypervisor, target: FakeHypervisor) -> None:
        self.copy, self.control = FakeConnection(network, source), FakeConnection(network, source)
        self.target = FakeConnection(network, target)

    def close(self) -> None:
        """As Connections."""


class FakeConnection:
    """As Connection: the functions of calls.py, and those of guest.py that FakeHypervisor has."""

    def __init__(self, network: FakeNetwork, hypervisor: FakeHypervisor) -> None:
        self._network = network
        self._hypervisor = hypervisor

    async def call(self, function: Callable[..., Any], *arguments: object, timeout: float | None) -> Any:
        """As Connection."""
        await asyncio.sleep(0)
        if not self._hypervisor.answers:
            raise HypervisorUnavailable("unable to connect")
        name = function.__name__
        if name in self._hypervisor.refusals:
            raise HypervisorRefused(self._hypervisor.refusals[name])
        double = getattr(self, f"_{name}", None)
        result = double(*arguments) if double is not None else getattr(self._hypervisor, name)(*arguments)
        if asyncio.iscoroutine(result):
            result = await result
        await asyncio.sleep(0)
        return result

    async def _migrate(self, order: Order) -> None:
        if self._network.job_of(self._hypervisor) is not None or not self._hypervisor.has_qemu:
            raise HypervisorRefused("Requested operation is not valid")
        self._limit_downtime(order.downtime_limit)
        job = FakeJob(self._hypervisor, self._network.hypervisors[order.address])
        self._network.jobs.append(job)
        await job.ended.wait()
        if not self._hypervisor.answers:
            raise HypervisorUnavailable("libvirtd died")
        if job.error:
            raise HypervisorRefused(job.error)

    def _progress(self) -> Progress | None:
        job = self._network.job_of(self._hypervisor)
        passes = 1 + int(COPY - job.left) * 2 if job is not None else 0
        return None if job is None else Progress(total=30, remaining=max(0, int(10 * job.left)), passes=passes)

    def _limit_downtime(self, milliseconds: int) -> None:
        if not self._hypervisor.has_qemu:
            raise HypervisorRefused("Requested operation is not valid: domain is not running")
        self._network.downtime_limits.append(milliseconds)

    def _downtime(self) -> int:
        return 42

    def _abort_copy(self) -> None:
        job = self._network.job_of(self._hypervisor)
        if job is None:
            raise HypervisorRefused("no job is active on the domain")
        job.aborted = True

    def _hand_over(self, migration_uid: str, paused: bool) -> None:
        target = self._hypervisor
        if target.domain is None or target.phase is DomainPhase.ABSENT:
            raise HypervisorRefused("libvirt has no domain")
        if target.phase is DomainPhase.STANDING and not paused:
            target.start_cpus()
        target.description = migration_uid
