"""The source of a live migration: copies the guest, records that it has switched, hands it over to the target.

Called by servicer.py; `run` is a task of engine.py. The record defines the state: after a crash of this process, the
copy goes on in libvirtd, and `run` waits for its end. Never starts or ends the guest here: machine/keeper.py does, by
the record.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace

from google.protobuf.timestamp_pb2 import Timestamp
from kubevirt.launcher.v1 import migration_pb2 as pb
from virt_core import logs
from virt_core.rpc.errors import Refused

from virt_launcher.domain import guest
from virt_launcher.domain.disks_xml import copied_disks
from virt_launcher.domain.host import Host
from virt_launcher.domain.observation import DomainPhase
from virt_launcher.errors import HypervisorRefused, HypervisorUnavailable
from virt_launcher.machine.execute import now
from virt_launcher.machine.keeper import Keeper
from virt_launcher.machine.publication import Publication
from virt_launcher.migration import calls
from virt_launcher.migration.certificates import Certificates
from virt_launcher.migration.connections import Connections
from virt_launcher.migration.limits import Abort, Course, downtime_limit, misses_writes, verdict
from virt_launcher.migration.outcome import Outcome, at_source, at_target
from virt_launcher.migration.reachability import unreachable

_log = logs.bound("virt_launcher.migration")

# Seconds.
_LOOK = 1.0
_FIRST_RETRY = 0.0625  # doubled until _LOOK
_TIMEOUT = 10.0
CANCELED = "Live migration aborted "
"""KubeVirt's words."""

Connect = Callable[[str], Connections]
"""Makes the connections of a migration to the target with that address."""
Reach = Callable[[str, Iterable[int]], Awaitable[str]]
"""Why the target's ports cannot be reached; empty if they can."""


class Source:
    """Migrations from here, one at a time. `published` is the state of the last one; `qemu` is the version of QEMU."""

    def __init__(
        self,
        keeper: Keeper,
        host: Host,
        certificates: Certificates,
        connect: Connect,
        reach: Reach = unreachable,
        *,
        qemu: str,
    ) -> None:
        self.published = Publication(keeper.record.migration or pb.MigrationState())
        self._keeper = keeper
        self._host = host
        self._certificates = certificates
        self._connect = connect
        self._reach = reach
        self._qemu = qemu
        self._connections: Connections | None = None
        self._begun: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()
        self._wake = asyncio.Event()
        self._target_ended = False
        self._reason = ""
        self._downtime_limit: int | None = None  # None: a process before this one has set it

    async def identify(self, request: pb.GetMigrationIdentityRequest) -> str:
        """This side's certificate authority for the migration."""
        known = self._keeper.record.migration
        if known is None or known.migration_uid != request.migration_uid:
            if self._busy():
                raise Refused(f"migration {known.migration_uid if known else ''} is not over", reason="MIGRATING")
            await self._publish(
                pb.MigrationState(migration_uid=request.migration_uid, phase=pb.MIGRATION_PHASE_PREPARED)
            )
        return await self._certificates.identity(request.migration_uid, request.address)

    async def begin(self, request: pb.StartMigrationRequest) -> pb.MigrationState:
        """Begin to copy the guest, unless the migration was begun or canceled before."""
        async with self._starting:
            if self._known(request.migration_uid) is None:
                if self._busy():
                    raise Refused("another migration of the machine is not over", reason="MIGRATING")
                await self._begin(request)
        known = self._known(request.migration_uid)
        assert known is not None
        return known

    async def cancel(self, request: pb.CancelMigrationRequest) -> pb.MigrationState:
        """Abort the copy, or forbid that it begins."""
        known = self._known(request.migration_uid)
        if known is None:
            if self._busy():
                raise Refused("another migration of the machine is not over", reason="MIGRATING")
            _log.info("forbidding a migration", migration=request.migration_uid)
            known = _aborted(request.migration_uid, CANCELED, canceled=True)
            prepared = self.published.state.migration_uid
            await self._record(known)
            if prepared in ("", request.migration_uid):  # otherwise the certificates are another migration's
                self._certificates.forget()
        elif known.phase == pb.MIGRATION_PHASE_COPYING:
            _log.info("canceling a migration", migration=request.migration_uid)
            self._target_ended = self._target_ended or request.target_ended
            known = _changed(known, canceled=True)
            await self._record(known)
        return known

    async def run(self) -> None:
        """Move the guest, as often as the record has a migration that is not over, until cancelled."""
        if (known := self._keeper.record.migration) is not None:
            await self._publish(known)
        while True:
            self._wake.clear()
            if self._busy():
                await self._move()
            else:
                await self._wake.wait()

    def _busy(self) -> bool:
        record = self._keeper.record
        return record.copying or (record.switched and not record.committed)

    def _known(self, uid: str) -> pb.MigrationState | None:
        known = self._keeper.record.migration
        return known if known is not None and known.migration_uid == uid else None

    # --- until the copy begins ---

    async def _begin(self, request: pb.StartMigrationRequest) -> None:
        uid, target = request.migration_uid, request.target
        reason = self._unfit() or await self._reach(target.address, target.ports)
        if not reason and self._known(uid) is None:
            self._certificates.trust(target.certificate_authority)
            reason = await self._refusal_of(target.address)
        if self._known(uid) is not None:  # canceled meanwhile
            self._close()
            return
        if not reason:
            reason = self._unfit()
        if reason:
            await self._end(_aborted(uid, reason))
            return
        _log.info("copying the guest", migration=uid, target=target.address)
        self._keeper.record_outgoing(request)
        self._target_ended, self._reason = False, ""
        state = pb.MigrationState(migration_uid=uid, phase=pb.MIGRATION_PHASE_COPYING, started=now())
        state.mode = pb.MIGRATION_MODE_PRE_COPY
        assert self._connections is not None
        copy = self._connections.copy.call(calls.migrate, self._order(request), timeout=None)
        self._begun = asyncio.create_task(copy, name="migration copy")  # begins after the record
        self._begun.add_done_callback(self._copied)
        await self._record(state)

    def _copied(self, copy: asyncio.Task[None]) -> None:
        if not copy.cancelled():
            copy.exception()  # asyncio need not report it: _copy reads it, or the process after this one looks itself
        self._wake.set()

    def _unfit(self) -> str:
        """Why the guest cannot be moved now; empty if it can."""
        record = self._keeper.record
        if record.running is None or record.ended is not None:
            return "the guest does not run"
        return "the guest's file systems are frozen, thaw them first" if record.thaw_at is not None else ""

    async def _refusal_of(self, address: str) -> str:
        """Connect to the target's libvirtd, where nothing may be yet."""
        self._close()
        self._connections = self._connect(address)
        try:
            seen = await self._connections.target.call(guest.observe_incoming, timeout=_TIMEOUT)
        except (HypervisorUnavailable, HypervisorRefused) as error:
            return f"the target's hypervisor does not take the guest: {error}"
        return "" if seen.phase is DomainPhase.ABSENT else "the target has a guest already"

    def _limit_of(self, passes: int) -> int:
        """For how many milliseconds the guest may be stopped, after so many passes."""
        machine = self._keeper.record.machine
        assert machine is not None
        return downtime_limit(passes, one_pass=misses_writes(machine.accelerator, self._qemu))

    def _order(self, request: pb.StartMigrationRequest) -> calls.Order:
        machine, options = self._keeper.record.machine, request.options
        assert machine is not None
        self._downtime_limit = self._limit_of(0)
        return calls.Order(
            address=request.target.address,
            disks=tuple(copied_disks(machine.disks).values()),
            bandwidth=options.bandwidth_bytes_per_second,
            auto_converge=options.auto_converge,
            encrypted=options.tls,
            downtime_limit=self._downtime_limit,
        )

    # --- while the guest is copied ---

    async def _move(self) -> None:
        """From the record's phase to the end of the migration."""
        state, request = self._keeper.record.migration, self._keeper.record.outgoing
        assert state is not None and request is not None
        if self._connections is None:
            self._connections = self._connect(request.target.address)
        if state.phase == pb.MIGRATION_PHASE_COPYING:
            outcome = await self._copy(request, self._connections)
            self._begun, state = None, self.published.state
            if outcome is Outcome.ABORTED:
                reason = CANCELED if state.canceled else self._reason or "the guest was not moved"
                await self._end(_changed(state, phase=pb.MIGRATION_PHASE_ABORTED, reason=reason, ended=now()))
                return
            state = _changed(state, phase=pb.MIGRATION_PHASE_SWITCHED, reason="")
            await self._record(state)
        await self._hand_over(state, self._connections)

    async def _copy(self, request: pb.StartMigrationRequest, connections: Connections) -> Outcome:
        """Watch the copy until its outcome is known."""
        clock = asyncio.get_running_loop().time
        course = Course(clock() - _age(self.published.state))
        while True:
            self._wake.clear()
            try:
                if self._begun is not None and self._begun.done() and self._succeeded(self._begun):
                    return Outcome.SWITCHED
                progress = await connections.control.call(calls.progress, timeout=_TIMEOUT)
                if progress is not None:
                    await self._show(progress)
                    course = course.after(progress.remaining, clock(), memory=progress.memory)
                    course = await self._limit(course, request.options, connections)
                    await self._limit_downtime(progress.passes, connections)
                elif self._begun is None or self._begun.done():
                    outcome = await self._outcome(connections)
                    if outcome is not Outcome.ASK_TARGET:
                        return outcome
            except (HypervisorUnavailable, HypervisorRefused) as error:
                _log.info("not knowing how far the migration is", reason=str(error))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK):
                    await self._wake.wait()

    async def _limit_downtime(self, passes: int, connections: Connections) -> None:
        """For as long as the guest may be stopped after so many passes."""
        wanted = self._limit_of(passes)
        if wanted != self._downtime_limit:
            _log.info("limiting for how long the end of the copy may stop the guest", milliseconds=wanted)
            await connections.control.call(calls.limit_downtime, wanted, timeout=_TIMEOUT)
            self._downtime_limit = wanted

    def _succeeded(self, begun: asyncio.Task[None]) -> bool:
        error = begun.exception()
        if error is None:
            return True
        if not isinstance(error, HypervisorRefused | HypervisorUnavailable):
            raise error
        self._reason = self._reason or str(error)
        return False

    async def _outcome(self, connections: Connections) -> Outcome:
        outcome = at_source(await self._host.call(guest.observe, timeout=_TIMEOUT))
        if outcome is not Outcome.ASK_TARGET:
            return outcome
        if self._target_ended:
            return Outcome.ABORTED
        return at_target(await connections.target.call(guest.observe_incoming, timeout=_TIMEOUT))

    async def _show(self, progress: calls.Progress) -> None:
        await self._publish(
            _changed(
                self.published.state,
                total_bytes=progress.total,
                remaining_bytes=progress.remaining,
                processed_bytes=progress.processed,
                memory_rate_bytes=progress.memory_rate,
                disk_rate_bytes=progress.disk_rate,
                dirty_rate_bytes=progress.dirty_rate,
                downtime_ms=progress.downtime,
            )
        )

    async def _limit(self, course: Course, options: pb.MigrationOptions, connections: Connections) -> Course:
        """Abort or suspend a copy that was canceled or takes too long."""
        decision = verdict(course, options, asyncio.get_running_loop().time())
        if self.published.state.canceled or isinstance(decision, Abort):
            if isinstance(decision, Abort):
                self._reason = decision.reason
            _log.info("aborting the copy", reason=self._reason or CANCELED)
            await connections.control.call(calls.abort_copy, timeout=_TIMEOUT)
            return course
        if decision is None:
            return course
        _log.info("stopping the guest's CPUs until it is copied")
        await self._record(_changed(self.published.state, mode=pb.MIGRATION_MODE_PAUSED))
        await connections.control.call(guest.stop_cpus, timeout=_TIMEOUT)
        return replace(course, suspended=True)

    # --- after it ---

    async def _hand_over(self, state: pb.MigrationState, connections: Connections) -> None:
        """Start the guest at the target, however long the target does not answer."""
        paused = self._keeper.record.pause_wanted
        _log.info("handing over the guest", migration=state.migration_uid, paused=paused)
        pause = _FIRST_RETRY
        while True:
            try:
                await connections.target.call(calls.hand_over, state.migration_uid, paused, timeout=_TIMEOUT)
            except (HypervisorUnavailable, HypervisorRefused) as error:
                _log.warning("handing over the guest again", reason=str(error))
                await self._publish(_changed(state, reason=f"the target does not start the guest: {error}"))
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LOOK)
            else:
                break
        downtime = self.published.state.downtime_ms
        with contextlib.suppress(HypervisorUnavailable, HypervisorRefused):
            downtime = await connections.control.call(calls.downtime, timeout=_TIMEOUT) or downtime
        await self._end(_changed(state, phase=pb.MIGRATION_PHASE_COMMITTED, downtime_ms=downtime, ended=now()))

    async def _end(self, state: pb.MigrationState) -> None:
        phase = pb.MigrationPhase.Name(state.phase)
        _log.info("ending a migration", phase=phase, reason=state.reason, downtime_ms=state.downtime_ms)
        await self._record(state)
        self._close()
        if state.phase == pb.MIGRATION_PHASE_ABORTED:
            self._certificates.forget()

    def _close(self) -> None:
        connections, self._connections = self._connections, None
        if connections is not None:
            connections.close()

    async def _record(self, state: pb.MigrationState) -> None:
        """On disk before anybody knows of it."""
        self._keeper.record_migration(state)
        self._wake.set()
        await self._publish(state)

    async def _publish(self, state: pb.MigrationState) -> None:
        await self.published.publish(state)


def _aborted(uid: str, reason: str, *, canceled: bool = False) -> pb.MigrationState:
    state = pb.MigrationState(migration_uid=uid, phase=pb.MIGRATION_PHASE_ABORTED, reason=reason, canceled=canceled)
    state.ended.CopyFrom(now())
    return state


def _changed(state: pb.MigrationState, **fields: object) -> pb.MigrationState:
    """A copy: a published state is never changed."""
    changed = pb.MigrationState()
    changed.CopyFrom(state)
    for name, value in fields.items():
        if isinstance(value, Timestamp):
            getattr(changed, name).CopyFrom(value)
        else:
            setattr(changed, name, value)
    return changed


def _age(state: pb.MigrationState) -> float:
    """Seconds since the copy began, also in another process."""
    return max(0.0, (now().ToNanoseconds() - state.started.ToNanoseconds()) / 1e9)
