"""Reconciles the machine: observe, plan, execute, publish; again whenever something may have changed.

Started by app.py as a task, the only one that acts on the guest. Woken by libvirt's events, changes of the connection,
and requests. Events only wake the task, which then reads the current state, so no event can be missed.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from google.protobuf.timestamp_pb2 import Timestamp
from kubevirt.launcher.v1 import command_pb2, guest_pb2, machine_pb2, state_pb2
from virt_core import logs

from virt_launcher import passes
from virt_launcher.domain import guest
from virt_launcher.domain.files import DomainFiles
from virt_launcher.domain.host import Host
from virt_launcher.domain.observation import DiskError, DomainPhase, Observation, StallReason
from virt_launcher.errors import CommandRefused, HypervisorRefused, HypervisorUnavailable
from virt_launcher.machine.actions import Action, CreateStanding, Destroy, PressPowerButton, RecordWanted
from virt_launcher.machine.commands import commit, steps
from virt_launcher.machine.execute import execute, now
from virt_launcher.machine.plan import Stop, plan
from virt_launcher.machine.provided import all_provided, missing
from virt_launcher.machine.publication import Publication
from virt_launcher.machine.record import Record, RecordFolder
from virt_launcher.machine.status import state
from virt_launcher.settings import Settings

if TYPE_CHECKING:  # loaded when there is a migration only
    from kubevirt.launcher.v1 import migration_pb2

_log = logs.bound("virt_launcher.machine")

# Seconds.
_OBSERVE_TIMEOUT = 10.0
_DISK_ERRORS_TIMEOUT = 2.0
_RETRY = 1.0
# libvirt sends no event of a hand-over without a start of the CPUs.
_LOOK_FOR_ARRIVAL = 1.0
# libvirt sends no event when it has ended the QEMU of an interrupted start.
_LOOK_FOR_END = 0.5
# Seconds after a connection to libvirtd at which the guest is observed again: a libvirtd that finds after its start
# that QEMU is gone accepts connections before that, and reports no event (libvirt's qemuProcessReconnect).
_LOOKS_AFTER_CONNECTING = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)


_Steps = Callable[..., tuple[Action, ...]]
"""From the record, an observation and `stopping` to the actions of a command. May raise CommandRefused."""


class Keeper:
    """The owner of the machine. `published` is the newest state, `known` is set when there is a machine."""

    def __init__(self, settings: Settings, records: RecordFolder, host: Host) -> None:
        self.published = Publication(state_pb2.MachineState())
        self.known = asyncio.Event()
        self._settings = settings
        self._files = DomainFiles.below(settings.state_folder)
        self._records = records
        self._host = host
        self._wake = asyncio.Event()
        self._stop: Stop | None = None
        self._silent_since: float | None = None
        self._connections = 0
        self._connected_at = -math.inf
        self._requests: deque[_Request] = deque()
        self._agent: guest_pb2.GuestAgent | None = None
        self._credentials: state_pb2.CredentialsState | None = None
        self._disk_errors: tuple[DiskError, ...] | None = None
        if records.record.machine is not None:
            self.known.set()

    @property
    def record(self) -> Record:
        """The machine's history so far."""
        return self._records.record

    def accept(self, machine: machine_pb2.Machine) -> None:
        """Record the machine. From then on it will be started, even after a crash of this process."""
        self._records.write_machine(machine)
        self.known.set()
        self._wake.set()

    def request_stop(self, grace: float) -> None:
        """Request the machine's end within `grace` seconds. A later, shorter request overrides it."""
        deadline = asyncio.get_running_loop().time() + grace
        if self._stop is not None and self._stop.before_arrival:
            self._stop = None  # one that has arrived meanwhile has its time
        if self._stop is None or deadline < self._stop.deadline:
            stop = self._stop or Stop(deadline, self._settings.power_button_interval)
            self._stop = replace(stop, deadline=deadline)
        self._wake.set()

    async def command(self, command: command_pb2.Command) -> None:
        """Execute a command once, in the task that acts on the guest. Returns when its effect is published.

        Raises:
            CommandRefused: the machine's state does not allow it.
            HypervisorRefused: the hypervisor refuses it.
            HypervisorUnavailable: its effect is unknown.
        """
        await self._request(partial(steps, command))

    def await_guest(self, request: migration_pb2.PrepareTargetRequest) -> None:
        """Record the machine and the migration by which it arrives. From then on this launcher starts no guest on its
        own, even after a crash of this process."""
        self._records.write_incoming(request)
        self.accept(request.machine)

    async def commit_arrival(self, *, paused: bool) -> None:
        """Keep a guest that has arrived, whose source had given it up. Raises as `command`."""
        await self._request(partial(commit, paused=paused))

    def abort_arrival(self) -> None:
        """Discard a guest that has not arrived. One that has arrived runs on."""
        if self._stop is None:
            self._stop = Stop(-math.inf, self._settings.power_button_interval, before_arrival=True)
        self._wake.set()

    def record_outgoing(self, request: migration_pb2.StartMigrationRequest) -> None:
        """Record where a migration moves the guest, before its state."""
        self._records.write_outgoing(request)

    def record_migration(self, state: migration_pb2.MigrationState) -> None:
        """Record the state of the migration from here."""
        self._records.write_migration(state)
        self._wake.set()

    async def _request(self, actions: _Steps) -> None:
        request = _Request(actions, asyncio.get_running_loop().create_future())
        self._requests.append(request)
        self._wake.set()
        await request.done

    def tell_agent(self, agent: guest_pb2.GuestAgent | None) -> None:
        """Store the guest agent's report; None: there is no agent."""
        self._agent = agent
        self._wake.set()

    def tell_credentials(self, state: state_pb2.CredentialsState | None) -> None:
        """Store whether the guest has its credentials; None: there is no agent."""
        if state != self._credentials:
            self._credentials = state
            self._wake.set()

    def record_thaw_at(self, when: Timestamp | None) -> None:
        """Record when file systems must be thawed; None: they are thawed."""
        if when is None:
            self._records.forget_thaw()
        else:
            self._records.write_thaw_at(when)

    async def run(self) -> None:
        """Reconcile the machine until cancelled."""
        self._host.subscribe(self._wake.set)
        await passes.repeat(self._wake, self._work)

    async def watch_files(self) -> None:
        """Wake `run` when the pod's other containers have provided all files of the machine."""
        await self.known.wait()
        assert self.record.machine is not None
        await all_provided(self.record.machine)
        self._wake.set()

    async def _work(self) -> float | None:
        """Reconcile the machine and publish its state. Returns the seconds until the next pass; None: wait for an
        event."""
        again_in = math.inf
        seen: Observation | None = None
        try:
            seen = await self._settle()
            while self._requests:
                seen = await self._serve(self._requests.popleft(), seen)
            again_in = min(self._next_stop_step(), self._next_look(seen))
            self._silent_since = None
        except HypervisorUnavailable as error:
            seen = None
            again_in = self._fall_silent(error)
        except HypervisorRefused as error:
            # The guest probably ended between observation and action: the next observation shows it.
            _log.warning("trying again after a refusal", reason=str(error))
            again_in = _RETRY
        await self._tell(seen)
        return again_in if math.isfinite(again_in) else None

    async def _settle(self) -> Observation:
        """Execute actions until the plan is empty."""
        seen = await self._look()
        while (action := plan(self.record, seen, self._stop, _clock())) is not None:
            await self._tell(seen)
            if isinstance(action, CreateStanding) and self.record.machine is not None and missing(self.record.machine):
                break  # until watch_files wakes this task
            self._remember(action)
            await execute(action, self._records, self._host, self._files)
            seen = await self._look()
        return seen

    async def _serve(self, request: _Request, seen: Observation) -> Observation:
        """Execute a command, unless its caller has cancelled it. Publishes the effect before the caller gets the
        result. A refused command is withdrawn: neither a later pass nor another process repeats it."""
        if request.done.done():
            return seen
        paused = self.record.pause_wanted
        try:
            for action in request.steps(self.record, seen, stopping=self._stops):
                await execute(action, self._records, self._host, self._files)
            seen = await self._settle()
            await self._tell(seen)
        except CommandRefused as error:
            request.fail(error)
        except HypervisorRefused as error:
            if self.record.pause_wanted != paused:
                await execute(RecordWanted(paused=paused), self._records, self._host, self._files)
            request.fail(error)
            raise
        except HypervisorUnavailable as error:
            request.fail(error)
            raise
        else:
            request.succeed()
        return seen

    @property
    def _stops(self) -> bool:
        """Whether the machine is to end. An abort of its arrival ends none that has arrived."""
        return self._stop is not None and (self.record.awaited or not self._stop.before_arrival)

    def _remember(self, action: Action) -> None:
        if self._stop is None:
            return
        if isinstance(action, PressPowerButton):
            self._stop = replace(self._stop, pressed=_clock())
        elif isinstance(action, Destroy):
            self._stop = replace(self._stop, destroyed=True)

    async def _look(self) -> Observation:
        if self.record.machine is None or (self.record.ended is not None and not self._host.connected):
            return Observation(DomainPhase.ABSENT)  # libvirt's answer would not matter
        function = guest.observe_incoming if self.record.awaited else guest.observe
        seen = await self._host.call(function, timeout=_OBSERVE_TIMEOUT)
        if seen.stall is not StallReason.IO_ERROR:
            self._disk_errors = None
            return seen
        if self._disk_errors is None:
            self._disk_errors = await self._ask_disk_errors()
        return replace(seen, disk_errors=self._disk_errors)

    async def _ask_disk_errors(self) -> tuple[DiskError, ...]:
        """Query the failed disks, once per stop by QEMU and for the status only. A QEMU that hangs with its disk may
        block the call for ever; nothing waits for it."""
        try:
            return await self._host.call(guest.disk_errors, timeout=_DISK_ERRORS_TIMEOUT)
        except (HypervisorUnavailable, HypervisorRefused) as error:
            _log.warning("which disk failed is not known", reason=str(error))
            return ()

    def _fall_silent(self, error: HypervisorUnavailable) -> float:
        """Seconds until the next pass. Commands wait for a libvirtd that restarts; a longer silence refuses them."""
        clock = _clock()
        if self._silent_since is None:
            _log.info("waiting for libvirtd", reason=str(error))
            self._silent_since = clock - error.waited
        left = self._silent_since + self._settings.hiccup - clock
        while left <= 0 and self._requests:
            refusal = HypervisorUnavailable(f"{error}; nothing was done, try again later")
            self._requests.popleft().fail(refusal)
        if self._host.connected:
            return _RETRY  # a call timed out; without a connection, its return wakes this task
        return left if left > 0 else math.inf

    def _next_look(self, seen: Observation) -> float:
        """Seconds until the guest is observed again without an event."""
        if self._connections != self._host.connections:
            self._connections = self._host.connections
            self._connected_at = _clock() if self.record.running is not None else -math.inf
        if self.record.ended is not None:
            return math.inf
        if self.record.awaited:
            return _LOOK_FOR_ARRIVAL
        if seen.ending and self.record.running is None:
            return _LOOK_FOR_END
        age = _clock() - self._connected_at
        return next((look - age for look in _LOOKS_AFTER_CONNECTING if look > age), math.inf)

    def _next_stop_step(self) -> float:
        if self._stop is None or self.record.machine is None or self.record.ended is not None:
            return math.inf
        if self.record.switched or self._stop.before_arrival:
            return math.inf
        due = min(self._stop.deadline, self._stop.next_press())
        left = max(0.0, due - _clock()) if math.isfinite(due) else 0.0
        # The migration finds out how a guest ended, and wakes this task.
        return max(left, _RETRY) if self.record.copying else left

    async def _tell(self, seen: Observation | None) -> None:
        undecided = self.record.running is not None and self.record.ended is None and seen is None
        if undecided and self._silent_since is not None and _clock() < self._silent_since + self._settings.hiccup:
            return  # libvirtd is probably restarting, and nothing has changed
        new, old = state(self.record, seen, self._agent, self._credentials), self.published.state
        if not new.HasField("since"):
            new.since.CopyFrom(self._since(new, old))
        await self.published.publish(new)

    def _since(self, new: state_pb2.MachineState, old: state_pb2.MachineState) -> Timestamp:
        if self.published.revision and (new.phase, new.message) == (old.phase, old.message):
            return old.since
        if new.phase == state_pb2.MACHINE_PHASE_RUNNING and self.record.running is not None:
            return self.record.running.since
        if new.pause_reason == state_pb2.PAUSE_REASON_BY_USER and (paused := self.record.wanted or self.record.running):
            return paused.since
        return now()


@dataclass(frozen=True, slots=True)
class _Request:
    """The actions of a command, and the future of its caller, who may cancel `done`."""

    steps: _Steps
    done: asyncio.Future[None]

    def succeed(self) -> None:
        if not self.done.done():
            self.done.set_result(None)

    def fail(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)


def _clock() -> float:
    return asyncio.get_running_loop().time()
