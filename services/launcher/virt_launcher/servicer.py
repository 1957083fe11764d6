"""Implements the contract launcher/v1 with the machine's keeper. Called by gRPC; knows no libvirt.

Calls may be repeated or cancelled at any point: keeper.py makes all lasting changes.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from kubevirt.launcher.v1 import command_pb2, launcher_pb2, launcher_pb2_grpc, machine_pb2, state_pb2
from virt_core import logs
from virt_core.rpc.errors import InvalidField, Refused

from virt_launcher.agent.keeper import AgentKeeper
from virt_launcher.contract_errors import as_contract_says
from virt_launcher.machine.commands import require_settled
from virt_launcher.machine.keeper import Keeper
from virt_launcher.machine.provided import missing
from virt_launcher.machine.validation.machine import validate
from virt_launcher.screenshot import Screenshots
from virt_launcher.settings import Settings
from virt_launcher.statistics import Statistics

_log = logs.bound("virt_launcher.servicer")

# Seconds of the caller's deadline that are reserved for a response with the state STARTING.
_REPLY_MARGIN = 0.5
_LONGEST_START_WAIT = 60.0  # seconds
_TIME_ZONES = Path("/usr/share/zoneinfo")  # of Debian's package tzdata
_LONGEST_FREEZE = 24 * 3600  # seconds
_SETTLED = frozenset(
    {
        state_pb2.MACHINE_PHASE_RUNNING,
        state_pb2.MACHINE_PHASE_PAUSED,
        state_pb2.MACHINE_PHASE_INCOMING,
        state_pb2.MACHINE_PHASE_MIGRATED,
        state_pb2.MACHINE_PHASE_ENDED,
    }
)


def _require_known_timezone(name: str) -> None:
    """QEMU passes the name to the C library, which silently uses UTC for an unknown one."""
    if name and not (_TIME_ZONES / name).is_file():
        raise InvalidField("machine.clock.timezone", name, "a name of the time zone database")


def _thaw_after(freeze: command_pb2.Freeze) -> float:
    """In seconds; 0 means the default."""
    seconds = freeze.unfreeze_after.ToNanoseconds() / 1e9
    if not 0 <= seconds <= _LONGEST_FREEZE:
        raise InvalidField("command.freeze.unfreeze_after", f"{seconds:.0f}s", f"0 to {_LONGEST_FREEZE} seconds")
    return seconds


class LauncherServicer(launcher_pb2_grpc.LauncherServiceServicer):
    """The servicer. `finished` is set when the handler has acknowledged the end."""

    def __init__(
        self,
        settings: Settings,
        instance_id: str,
        keeper: Keeper,
        *,
        agent: AgentKeeper,
        screenshots: Screenshots,
        statistics: Statistics,
        finished: asyncio.Event,
    ) -> None:
        self._settings = settings
        self._instance_id = instance_id
        self._keeper = keeper
        self._agent = agent
        self._screenshots = screenshots
        self._statistics = statistics
        self._finished = finished

    async def StartMachine(  # noqa: N802 - the contract's name
        self, request: launcher_pb2.StartMachineRequest, context: Any
    ) -> launcher_pb2.StartMachineResponse:
        machine = request.machine
        validate(machine)
        _require_known_timezone(machine.clock.timezone)
        known = self._keeper.record.machine
        if known is None:
            _log.info("accepting the machine", machine_uid=machine.uid, machine=f"{machine.namespace}/{machine.name}")
            self._keeper.accept(machine)
        else:
            self._require_uid(machine.uid, "machine.uid")
        # Images may take minutes to be pulled: the handler learns from its watch what follows.
        settled = _SETTLED | {state_pb2.MACHINE_PHASE_STARTING} if missing(machine) else _SETTLED
        remaining = context.time_remaining()
        wait = min(_LONGEST_START_WAIT, _LONGEST_START_WAIT if remaining is None else remaining - _REPLY_MARGIN)
        try:
            async with asyncio.timeout(max(0.0, wait)):
                await self._keeper.published.until(lambda state: state.phase in settled)
        except TimeoutError:
            _log.info("responding before the guest runs", machine_uid=machine.uid)
        return launcher_pb2.StartMachineResponse(state=self._keeper.published.state)

    async def StopMachine(  # noqa: N802 - the contract's name
        self, request: launcher_pb2.StopMachineRequest, context: Any
    ) -> launcher_pb2.StopMachineResponse:
        self._require_uid(request.machine_uid, "machine_uid")
        if self._keeper.record.ended is None:
            self._keeper.request_stop(max(0.0, request.grace_period.ToNanoseconds() / 1e9))
        return launcher_pb2.StopMachineResponse(state=self._keeper.published.state)

    async def AcknowledgeEnd(  # noqa: N802 - the contract's name
        self, request: launcher_pb2.AcknowledgeEndRequest, context: Any
    ) -> launcher_pb2.AcknowledgeEndResponse:
        self._require_uid(request.machine_uid, "machine_uid")
        ended = self._keeper.record.ended
        migrated = self._keeper.record.switched and request.end == state_pb2.MACHINE_END_MIGRATED
        if migrated:
            _log.info("exiting, the guest has been migrated", machine_uid=request.machine_uid)
        elif ended is None or ended.end != request.end:
            found = "has not ended" if ended is None else f"ended as {state_pb2.MachineEnd.Name(ended.end)}"
            raise Refused(f"the machine {found}", reason="NOT_ENDED", field="end")
        else:
            _log.info("exiting, the machine's end is recorded", machine_uid=request.machine_uid)
        self._finished.set()
        return launcher_pb2.AcknowledgeEndResponse()

    async def WatchMachine(  # noqa: N802 - the contract's name
        self, request: launcher_pb2.WatchMachineRequest, context: Any
    ) -> AsyncIterator[launcher_pb2.WatchMachineResponse]:
        published, settings = self._keeper.published, self._settings
        revisions = published.revisions(heartbeat=settings.heartbeat, lifetime=settings.watch_lifetime)
        async with contextlib.aclosing(revisions):
            async for revision in revisions:
                yield launcher_pb2.WatchMachineResponse(
                    instance_id=self._instance_id, revision=revision, state=published.state
                )

    async def CommandMachine(  # noqa: N802 - the contract's name
        self, request: launcher_pb2.CommandMachineRequest, context: Any
    ) -> launcher_pb2.CommandMachineResponse:
        self._require_guest(request.machine_uid)
        command = request.command
        kind = command.WhichOneof("command")
        if kind is None:
            raise InvalidField("command", "", "one of the contract's commands")
        _log.info("commanding", machine_uid=request.machine_uid, command=kind)
        async with as_contract_says():
            if kind != "unfreeze":
                require_settled(self._keeper.record)
            if kind == "freeze":
                await self._agent.freeze(_thaw_after(command.freeze))
            elif kind == "unfreeze":
                await self._agent.unfreeze()
            elif not (kind == "soft_reboot" and await self._agent.reboot()):
                await self._keeper.command(command)
        return launcher_pb2.CommandMachineResponse(state=self._keeper.published.state)

    async def GetGuestDetails(  # noqa: N802 - the contract's name
        self, request: launcher_pb2.GetGuestDetailsRequest, context: Any
    ) -> launcher_pb2.GetGuestDetailsResponse:
        self._require_guest(request.machine_uid)
        async with as_contract_says():
            return await self._agent.details()

    async def TakeScreenshot(  # noqa: N802 - the contract's name
        self, request: launcher_pb2.TakeScreenshotRequest, context: Any
    ) -> launcher_pb2.TakeScreenshotResponse:
        if not self._require_guest(request.machine_uid).HasField("display"):
            raise Refused("the machine has no display", reason="NO_DISPLAY")
        async with as_contract_says():
            return launcher_pb2.TakeScreenshotResponse(png=await self._screenshots.take())

    async def GetStatistics(  # noqa: N802 - the contract's name
        self, request: launcher_pb2.GetStatisticsRequest, context: Any
    ) -> launcher_pb2.GetStatisticsResponse:
        machine = self._require_guest(request.machine_uid)
        async with as_contract_says():
            statistics = await self._statistics.take(machine)
        statistics.filesystems.extend(self._agent.filesystems())
        return launcher_pb2.GetStatisticsResponse(statistics=statistics)

    def _require_guest(self, uid: str) -> machine_pb2.Machine:
        """The machine, if its guest was started and has not ended."""
        self._require_uid(uid, "machine_uid")
        record = self._keeper.record
        assert record.machine is not None
        if record.running is None or record.ended is not None or record.switched:
            raise Refused("the machine does not run", reason="NOT_RUNNING")
        return record.machine

    def _require_uid(self, uid: str, field: str) -> None:
        known = self._keeper.record.machine
        if known is None:
            raise Refused("this launcher has no machine yet", reason="NO_MACHINE")
        if known.uid != uid:
            raise Refused(f"this launcher runs machine {known.uid}", reason="ANOTHER_MACHINE", field=field)
