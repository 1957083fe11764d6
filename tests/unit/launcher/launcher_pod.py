"""A launcher on the double of the hypervisor: its processes come and go, its files and the hypervisor stay.

Runs everything that app.py runs but the gRPC server, DHCP and the watch of Secrets. In virtual time, unless disks are
prepared.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar, cast

from kubevirt.launcher.v1 import command_pb2, launcher_pb2, machine_pb2, state_pb2, statistics_pb2
from virt_core.rpc.errors import Unavailable
from virt_launcher.agent.keeper import AgentKeeper
from virt_launcher.domain.host import Host
from virt_launcher.machine.keeper import Keeper
from virt_launcher.machine.record import Record, RecordFolder
from virt_launcher.screenshot import Screenshots
from virt_launcher.servicer import LauncherServicer
from virt_launcher.settings import Settings
from virt_launcher.shutdown import stop_guest
from virt_launcher.statistics import Statistics

from tests.support.hypervisor.fake_host import FakeHost, FakeHypervisor

Answer = TypeVar("Answer")
UID = "5f0c1e9e-6a50-4a34-8c6b-0d6f2b1c0a11"


def machine(**changes: Any) -> machine_pb2.Machine:
    """A machine without disks, whose guest gets 30 s to shut down."""
    made = machine_pb2.Machine(
        uid=UID,
        name="demo",
        namespace="default",
        bootloader=machine_pb2.BOOTLOADER_BIOS,
        accelerator=machine_pb2.ACCELERATOR_EMULATION,
        machine_type="q35",
        cpu=machine_pb2.CpuTopology(sockets=1, cores=1, threads=1),
        memory_bytes=128 << 20,
        firmware_uuid=UID,
    )
    made.shutdown_grace_period.FromSeconds(30)
    made.MergeFrom(machine_pb2.Machine(**changes))
    return made


class _Context:
    """What the servicer needs of a gRPC context."""

    def time_remaining(self) -> float:
        return 60.0


class LauncherPod:
    """One pod.

    Attributes:
        terminated: the pod was deleted: each process gets SIGTERM.
        finished: the process has ended with status 0, and so has the pod.
    """

    def __init__(self, folder: Path) -> None:
        (folder / "termination-log").touch()
        self.settings = Settings(state_folder=folder, termination_message=folder / "termination-log")
        self.hypervisor = FakeHypervisor()
        self.terminated = False
        self._tasks: list[asyncio.Task[None]] = []
        self._supervisors: list[asyncio.Task[None]] = []
        self._calls: set[asyncio.Task[Any]] = set()
        self._one_process = asyncio.Lock()
        self.start()

    def start(self) -> None:
        """The supervisor starts the launcher process."""
        self.host: FakeHost = self.hypervisor.connect()
        host = cast(Host, self.host)
        self.keeper = Keeper(self.settings, RecordFolder(self.settings.state_folder), host)
        self.agent = AgentKeeper(self.settings, self.keeper, host, wall_clock=_loop_ns)
        self.finished, self._stopping = asyncio.Event(), asyncio.Event()
        self.servicer = LauncherServicer(
            self.settings,
            "instance",
            self.keeper,
            agent=self.agent,
            screenshots=Screenshots(self.settings, host),
            statistics=Statistics(host),
            finished=self.finished,
        )
        if self.terminated:
            self._stopping.set()
        stop = stop_guest(self._stopping, self.keeper, self.finished, self.settings.termination_message)
        self._tasks = [
            asyncio.create_task(self.keeper.run(), name="machine"),
            asyncio.create_task(self.keeper.watch_files(), name="files of other containers"),
            asyncio.create_task(self.agent.run(), name="guest agent"),
            asyncio.create_task(stop, name="signals"),
        ]

    def terminate(self) -> None:
        """The kubelet sends SIGTERM."""
        self.terminated = True
        self._stopping.set()

    async def kill(self) -> None:
        """The launcher process dies, and with it what it was called for."""
        calls = list(self._calls)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Exception):
                raise result

    async def restart(self) -> None:
        """The launcher process dies, and the supervisor starts another."""
        await self._replace(self.host)

    def die_at(self, call: int, *, after_effect: bool) -> None:
        """The process dies at one of its next calls of the hypervisor, and the supervisor starts another."""
        self.host.dies_in, self.host.dies_after_effect = call, after_effect
        self._supervisors.append(asyncio.create_task(self._supervise(self.host), name="supervisor"))

    async def _supervise(self, host: FakeHost) -> None:
        await host.died.wait()
        await self._replace(host)

    async def _replace(self, host: FakeHost) -> None:
        async with self._one_process:
            if host is self.host:
                await self.kill()
                self.start()

    async def end(self) -> None:
        """Leave no task. Raises what a task has raised."""
        for supervisor in self._supervisors:
            supervisor.cancel()
        await asyncio.gather(*self._supervisors, return_exceptions=True)
        await self.kill()

    # --- what the handler does and sees ---

    @property
    def record(self) -> Record:
        return self.keeper.record

    @property
    def state(self) -> state_pb2.MachineState:
        return self.keeper.published.state

    async def start_machine(self, made: machine_pb2.Machine | None = None) -> state_pb2.MachineState:
        """StartMachine."""
        request = launcher_pb2.StartMachineRequest(machine=made or machine())
        return (await self._call(self.servicer.StartMachine(request, _Context()))).state

    async def command(self, **command: Any) -> state_pb2.MachineState:
        """CommandMachine."""
        request = launcher_pb2.CommandMachineRequest(machine_uid=UID, command=command_pb2.Command(**command))
        return (await self._call(self.servicer.CommandMachine(request, _Context()))).state

    async def measure(self) -> statistics_pb2.MachineStatistics:
        """GetStatistics."""
        request = launcher_pb2.GetStatisticsRequest(machine_uid=UID)
        return (await self._call(self.servicer.GetStatistics(request, _Context()))).statistics

    async def acknowledge(self, end: state_pb2.MachineEnd.ValueType) -> None:
        """AcknowledgeEnd."""
        await self.servicer.AcknowledgeEnd(launcher_pb2.AcknowledgeEndRequest(machine_uid=UID, end=end), _Context())

    async def _call(self, answering: Coroutine[Any, Any, Answer]) -> Answer:
        """What the process answers, unless it dies meanwhile."""
        call = asyncio.create_task(answering, name="call")
        self._calls.add(call)
        try:
            await asyncio.wait([call])
        finally:
            self._calls.discard(call)
            call.cancel()  # the caller has given up
        if call.cancelled():
            raise Unavailable("the launcher has died")
        return call.result()

    async def phase(self, phase: state_pb2.MachinePhase.ValueType) -> state_pb2.MachineState:
        """Wait until the machine is in `phase`, whichever process reports it."""
        async with asyncio.timeout(600):
            # Processes are replaced, and so are their publications.
            while self.keeper.published.revision == 0 or self.state.phase != phase:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        return self.state


def _loop_ns() -> int:
    return int(asyncio.get_running_loop().time() * 1e9)
