"""The contract launcher/v1 on the machine's keeper. Called by gRPC; knows no libvirt.

Calls may be repeated and may end half-way: all that lasts is done by keeper.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from kubevirt.launcher.v1 import launcher_pb2 as pb
from kubevirt.launcher.v1 import launcher_pb2_grpc
from virt_core import logs
from virt_core.rpc.errors import Refused

from virt_launcher.machine.keeper import Keeper
from virt_launcher.machine.validation import validate
from virt_launcher.settings import Settings

_log = logs.bound("virt_launcher.servicer")

# How much of a caller's deadline is left for the way back of a reply that says "still starting".
_REPLY_MARGIN_S = 0.5
_LONGEST_START_WAIT_S = 60.0
_SETTLED = frozenset({pb.MACHINE_PHASE_RUNNING, pb.MACHINE_PHASE_PAUSED, pb.MACHINE_PHASE_ENDED})


class LauncherServicer(launcher_pb2_grpc.LauncherServiceServicer):
    """One guest, for one handler. `finished` is set when the handler has taken note of the end."""

    def __init__(self, settings: Settings, instance_id: str, keeper: Keeper, finished: asyncio.Event) -> None:
        self._settings = settings
        self._instance_id = instance_id
        self._keeper = keeper
        self._finished = finished

    async def StartMachine(  # noqa: N802 - the contract's name
        self, request: pb.StartMachineRequest, context: Any
    ) -> pb.StartMachineResponse:
        machine = request.machine
        validate(machine)
        known = self._keeper.record.machine
        if known is None:
            _log.info("accepting the machine", machine_uid=machine.uid, machine=f"{machine.namespace}/{machine.name}")
            self._keeper.accept(machine)
        else:
            self._require_uid(machine.uid, "machine.uid")
        remaining = context.time_remaining()
        wait_s = min(_LONGEST_START_WAIT_S, _LONGEST_START_WAIT_S if remaining is None else remaining - _REPLY_MARGIN_S)
        try:
            async with asyncio.timeout(max(0.0, wait_s)):
                await self._keeper.published.until(lambda state: state.phase in _SETTLED)
        except TimeoutError:
            _log.info("answering before the guest runs", machine_uid=machine.uid)
        return pb.StartMachineResponse(state=self._keeper.published.state)

    async def StopMachine(  # noqa: N802 - the contract's name
        self, request: pb.StopMachineRequest, context: Any
    ) -> pb.StopMachineResponse:
        self._require_uid(request.machine_uid, "machine_uid")
        if self._keeper.record.ended is not None:
            _log.info("ending, the handler has recorded the machine's end", machine_uid=request.machine_uid)
            self._finished.set()
        else:
            self._keeper.request_stop(max(0.0, request.grace_period.ToNanoseconds() / 1e9))
        return pb.StopMachineResponse(state=self._keeper.published.state)

    async def WatchMachine(  # noqa: N802 - the contract's name
        self, request: pb.WatchMachineRequest, context: Any
    ) -> AsyncIterator[pb.WatchMachineResponse]:
        loop = asyncio.get_running_loop()
        published, end = self._keeper.published, loop.time() + self._settings.watch_lifetime_s
        await published.newer_than(0)
        while loop.time() < end:
            revision = published.revision
            yield pb.WatchMachineResponse(instance_id=self._instance_id, revision=revision, state=published.state)
            try:
                async with asyncio.timeout(min(self._settings.heartbeat_s, max(0.0, end - loop.time()))):
                    await published.newer_than(revision)
            except TimeoutError:
                continue

    async def CommandMachine(  # noqa: N802 - the contract's name
        self, request: pb.CommandMachineRequest, context: Any
    ) -> pb.CommandMachineResponse:
        raise Refused("this launcher takes no commands yet", reason="NOT_SUPPORTED")

    async def GetGuestDetails(  # noqa: N802 - the contract's name
        self, request: pb.GetGuestDetailsRequest, context: Any
    ) -> pb.GetGuestDetailsResponse:
        raise Refused("this launcher asks no guest agent yet", reason="NO_GUEST_AGENT")

    async def TakeScreenshot(  # noqa: N802 - the contract's name
        self, request: pb.TakeScreenshotRequest, context: Any
    ) -> pb.TakeScreenshotResponse:
        raise Refused("this launcher attaches no display yet", reason="NO_DISPLAY")

    def _require_uid(self, uid: str, field: str) -> None:
        known = self._keeper.record.machine
        if known is None:
            raise Refused("this launcher has no machine yet", reason="NO_MACHINE")
        if known.uid != uid:
            raise Refused(f"this launcher runs machine {known.uid}", reason="ANOTHER_MACHINE", field=field)
