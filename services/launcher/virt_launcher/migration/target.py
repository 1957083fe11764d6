"""The target of a live migration: prepares this pod for the guest, and cleans up when it is here.

Called by servicer.py; `run` is a task of engine.py. libvirtd starts the guest's QEMU for the source; machine/keeper.py
records the guest's arrival and decides what becomes of it.
"""

from __future__ import annotations

import asyncio
import contextlib

from kubevirt.launcher.v1 import migration_pb2 as pb
from kubevirt.launcher.v1 import state_pb2
from virt_core import logs
from virt_core.rpc.errors import Refused

from virt_launcher.domain import guest
from virt_launcher.domain.files import DomainFiles
from virt_launcher.domain.host import Host
from virt_launcher.domain.observation import DomainPhase
from virt_launcher.errors import HypervisorRefused, HypervisorUnavailable, UnusableDisk
from virt_launcher.machine.keeper import Keeper
from virt_launcher.machine.provided import all_provided
from virt_launcher.migration.certificates import Certificates, CertificatesFailed
from virt_launcher.migration.listening import DISKS_PORT, LIBVIRT_PORT, MEMORY_PORT, Listening

_log = logs.bound("virt_launcher.migration")

# Seconds.
_TIMEOUT = 10.0
_RETRY = 1.0
# The source uses its connection for the hand-over; it is to get its answer before libvirtd stops listening. A source
# that dies meanwhile does not close it in a way that is seen here.
_FAREWELL, _LOOK = 5.0, 0.25
_ABORT = 5.0
# A process that died between the two files of the request leaves no machine: the handler repeats the call.
_BEFORE_ARRIVAL = frozenset({state_pb2.MACHINE_PHASE_ABSENT, state_pb2.MACHINE_PHASE_INCOMING})
_ARRIVED = frozenset({state_pb2.MACHINE_PHASE_RUNNING, state_pb2.MACHINE_PHASE_PAUSED})


class Target:
    """What waits for a guest."""

    def __init__(
        self, files: DomainFiles, keeper: Keeper, host: Host, certificates: Certificates, listening: Listening
    ) -> None:
        self._files = files
        self._keeper = keeper
        self._host = host
        self._certificates = certificates
        self._listening = listening
        self._disks: contextlib.AsyncExitStack | None = None
        self._is_ready = False  # everything of _make_ready was made by this process
        self._preparing = asyncio.Lock()
        self._wake = asyncio.Event()
        self._hurry, self._over = asyncio.Event(), asyncio.Event()

    async def prepare(self, request: pb.PrepareTargetRequest) -> pb.PrepareTargetResponse:
        """Record that the guest arrives, and make everything ready for it."""
        record = self._keeper.record
        if record.machine is not None and not self._is_for(request):
            raise Refused("this launcher has a machine already", reason="HAS_MACHINE")
        if record.ended is not None:
            raise Refused(f"the machine has ended: {record.ended.message}", reason="ENDED")
        if record.machine is None:
            _log.info("awaiting a guest", migration=request.migration_uid, source=request.peer_address)
            self._keeper.await_guest(request)
        authority = await self._make_ready(request)
        self._wake.set()
        await self._keeper.published.until(lambda state: state.phase != state_pb2.MACHINE_PHASE_ABSENT)
        return pb.PrepareTargetResponse(
            certificate_authority=authority,
            address=request.address,
            ports=[LIBVIRT_PORT, MEMORY_PORT, DISKS_PORT],
        )

    async def commit(self, uid: str) -> None:
        """Start a guest that has arrived, whose source had given it up and has ended."""
        incoming = self._keeper.record.incoming
        if incoming is None or incoming.migration_uid != uid:
            raise Refused("this launcher does not await the guest", reason="NOT_ARRIVED")
        if self._keeper.record.awaited:
            _log.info("keeping the guest of a source that has ended", migration=uid)
            await self._keeper.commit_arrival(paused=incoming.machine.start_paused)

    async def abort(self) -> None:
        """Discard what has arrived. Returns when this process may end: with it ends whatever runs in the pod, and the
        source may have started the guest.

        Raises:
            HypervisorUnavailable: it is not known what has arrived.
        """
        record = self._keeper.record
        if record.running is not None:
            raise Refused("the guest was started here", reason="ARRIVED")
        if record.machine is None:
            return
        _log.info("discarding a guest that arrives")
        self._keeper.abort_arrival()
        try:
            async with asyncio.timeout(_ABORT):
                await self._keeper.published.until(
                    lambda state: state.phase == state_pb2.MACHINE_PHASE_ENDED or state.phase in _ARRIVED
                )
        except TimeoutError:
            raise HypervisorUnavailable("libvirtd has not said yet whether the guest was started here") from None
        if self._keeper.record.running is not None:
            raise Refused("the guest was started here", reason="ARRIVED")

    async def finish(self) -> None:
        """Clean up now after a guest that has arrived, if that is not done: another migration needs the certificates'
        place, and a libvirtd that is not about to restart."""
        if self._keeper.record.incoming is not None and not self._keeper.record.awaited:
            self._hurry.set()
            await self._over.wait()

    async def run(self) -> None:
        """Clean up after the arrival. A process that starts before it makes everything ready again."""
        while (incoming := self._keeper.record.incoming) is None:
            self._wake.clear()
            await self._wake.wait()
        while self._keeper.record.awaited and self._keeper.record.ended is None and not self._is_ready:
            try:
                await self._make_ready(incoming)
                break
            except (UnusableDisk, HypervisorUnavailable, HypervisorRefused, CertificatesFailed) as error:
                _log.warning("making ready for the guest again", reason=str(error))
                await asyncio.sleep(_RETRY)
        await self._keeper.published.until(lambda state: state.phase not in _BEFORE_ARRIVAL)
        await self._release()
        if self._listening.address is not None:  # else a process before this one has cleaned up
            await self._stop_listening()
        self._over.set()

    async def _stop_listening(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FAREWELL):
                while not (self._hurry.is_set() or await self._has_answered()):
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(_LOOK):
                            await self._hurry.wait()
        self._certificates.forget()
        try:
            await self._listening.close()
        except HypervisorUnavailable as error:
            _log.warning("not knowing whether libvirtd has stopped listening", reason=str(error))

    async def _has_answered(self) -> bool:
        """Whether the source has the answer to its last call, which leaves the migration's UID in the domain."""
        incoming = self._keeper.record.incoming
        if incoming is None or self._listening.connected:
            return False
        try:
            return await self._host.call(guest.handed_over_by, timeout=_TIMEOUT) == incoming.migration_uid
        except (HypervisorUnavailable, HypervisorRefused):
            return False

    def _is_for(self, request: pb.PrepareTargetRequest) -> bool:
        known = self._keeper.record.incoming
        return (
            known is not None
            and known.migration_uid == request.migration_uid
            and known.machine.uid == request.machine.uid
        )

    async def _make_ready(self, request: pb.PrepareTargetRequest) -> str:
        """Make what is missing: certificates, disks, listeners. Returns the own certificate authority."""
        async with self._preparing:
            authority = await self._certificates.identity(request.migration_uid, request.address)
            self._certificates.trust(request.certificate_authority)
            if self._disks is None and await self._is_absent():
                await self._prepare_disks(request)
            if self._keeper.record.awaited:
                await self._listening.open(request.address)
            self._is_ready = True
            return authority

    async def _is_absent(self) -> bool:
        """Whether there is no QEMU: the disks of one that arrives are not to be touched."""
        seen = await self._host.call(guest.observe_incoming, timeout=_TIMEOUT)
        return self._keeper.record.awaited and seen.phase is DomainPhase.ABSENT

    async def _prepare_disks(self, request: pb.PrepareTargetRequest) -> None:
        """Hold the disks open until QEMU has them."""
        from virt_launcher.storage.prepare import prepared_disks

        await all_provided(request.machine)
        sizes = {disk.name: disk.bytes for disk in request.copied_disks}
        async with contextlib.AsyncExitStack() as held:
            await held.enter_async_context(prepared_disks(request.machine.disks, self._files.disks, sizes))
            self._disks = held.pop_all()

    async def _release(self) -> None:
        held, self._disks = self._disks, None
        if held is not None:
            await held.aclose()
