"""Polls the guest agent and reports its state; freezes file systems and thaws them in time; has credentials set.

Started by app.py as a task, called by servicer.py for commands that only an agent can execute. All calls to the agent
have a timeout and a separate thread, so that a hanging agent blocks nothing else. Acts on the guest only through its
agent; machine/keeper.py does the rest.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from kubevirt.launcher.v1 import guest_pb2, launcher_pb2
from virt_core import logs

from virt_launcher import passes
from virt_launcher.agent import replies
from virt_launcher.credentials.synchronize import CredentialsSync
from virt_launcher.domain import guest_agent
from virt_launcher.domain.host import Host
from virt_launcher.errors import AgentRefused, AgentUnavailable, HypervisorRefused, HypervisorUnavailable
from virt_launcher.machine.commands import require_settled
from virt_launcher.machine.keeper import Keeper
from virt_launcher.settings import Settings

_log = logs.bound("virt_launcher.agent")

# Seconds.
_LOOK_TIMEOUT = 10.0
# A response takes milliseconds; an emulated guest on a busy node needs more.
_ANSWER = 10
# A freeze first writes the guest's dirty pages.
_FREEZE = 60
# libvirt's own wait in addition to the agent's: for the handshake that precedes each command.
_MARGIN = 10.0
# How long an agent may take to refuse a reboot.
_REBOOT_REFUSAL = 5.0
_DEFAULT_THAW_AFTER = 5 * 60.0  # the contract's default
_THAW_RETRY = 5.0
# An agent that has just opened its channel may not listen yet.
_FIRST_WORD_RETRY = 10.0


class AgentKeeper:
    """The agent of the guest. `wall_clock` returns nanoseconds since the epoch: thaw times outlive this process."""

    def __init__(
        self, settings: Settings, keeper: Keeper, host: Host, *, wall_clock: Callable[[], int] = time.time_ns
    ) -> None:
        self._settings = settings
        self._keeper = keeper
        self._host = host
        self._wall_clock = wall_clock
        self._wake = asyncio.Event()
        self._reported: guest_pb2.GuestAgent | None = None
        self._filesystems: list[guest_pb2.GuestFilesystem] | None = None  # until somebody measures the guest
        self._ask_again_at = 0.0
        self._one_at_a_time = asyncio.Lock()
        self._credentials = CredentialsSync(self._ask, keeper.tell_credentials)

    def secret_changed(self) -> None:
        """Set the machine's credentials again."""
        self._credentials.secret_changed()
        self._wake.set()

    async def run(self) -> None:
        """Poll the agent until cancelled."""
        await self._keeper.known.wait()
        self._host.subscribe(self._wake.set)
        await passes.repeat(self._wake, self._work)

    async def details(self) -> launcher_pb2.GetGuestDetailsResponse:
        """The agent's current details.

        Raises:
            AgentUnavailable: there is no agent, or it does not answer.
            AgentRefused: its response is invalid.
        """
        async with self._one_at_a_time:
            info = await self._ask("guest-info")
            self._report(await self._portrait(info))
            response = launcher_pb2.GetGuestDetailsResponse(agent=self._reported, commands=replies.commands(info))
            response.timezone = replies.timezone(await self._ask_if_known("guest-get-timezone"))
            response.users.extend(replies.users(await self._ask_if_known("guest-get-users")))
            response.filesystems.extend(replies.filesystems(await self._ask_if_known("guest-get-fsinfo")))
            return response

    def filesystems(self) -> list[guest_pb2.GuestFilesystem]:
        """The mounted file systems as they were reported last. They are asked for with each poll from the first call
        on, so that whoever measures the guest does not wait for it."""
        if self._filesystems is None:
            self._filesystems, self._ask_again_at = [], 0.0
            self._wake.set()
        return self._filesystems

    async def freeze(self, thaw_after: float) -> None:
        """Freeze the guest's file systems. They are thawed automatically after `thaw_after` seconds, 0: 5 minutes. A
        guest may have no file system that can be frozen.

        Raises:
            AgentUnavailable: there is no agent, or it does not answer; frozen file systems are thawed automatically.
            AgentRefused: nothing is frozen.
            CommandRefused: the guest is being migrated.
        """
        async with self._one_at_a_time:
            already = replies.frozen(await self._ask("guest-fsfreeze-status"))
            require_settled(self._keeper.record)  # a copy may have begun since the agent was asked
            when = Timestamp()
            when.FromNanoseconds(self._wall_clock() + int((thaw_after or _DEFAULT_THAW_AFTER) * 1e9))
            self._keeper.record_thaw_at(when)
            self._wake.set()  # to schedule the thaw, whatever becomes of this call; the poll waits for its end
            if not already:
                _log.info("freezing the guest's file systems", thaw_at=when.ToJsonString())
                try:
                    await self._ask("guest-fsfreeze-freeze", timeout=_FREEZE)
                except AgentRefused:
                    self._keeper.record_thaw_at(None)
                    raise
            frozen = replies.frozen(await self._ask("guest-fsfreeze-status"))
            if not frozen:
                self._keeper.record_thaw_at(None)
            self._tell_frozen(frozen=frozen)

    async def unfreeze(self) -> None:
        """Thaw the guest's file systems.

        Raises:
            AgentUnavailable: there is no agent, or it does not answer; the thaw is retried if this launcher froze them.
            AgentRefused: the agent refuses.
        """
        async with self._one_at_a_time:
            await self._thaw()

    async def reboot(self) -> bool:
        """Have the agent reboot the guest. False if there is no agent, or it refuses."""
        async with self._one_at_a_time:
            try:
                await self._ask("guest-ping")
                _log.info("requesting a reboot from the guest agent")
                await self._host.call_agent(guest_agent.reboot, timeout=_REBOOT_REFUSAL)
            except (AgentUnavailable, AgentRefused, HypervisorRefused) as error:
                _log.info("doing without the guest's agent", reason=str(error))
                return False
            except HypervisorUnavailable:
                return self._host.connected  # the reboot is in progress: the agent has not refused
            return True

    async def _work(self) -> float | None:
        """Poll once. Returns the seconds until the next poll; None: wait for an event."""
        record = self._keeper.record
        gone = record.ended is not None or record.switched
        if record.running is None or gone or not self._host.connected:
            return None  # an event or the connection's return wakes this task
        try:
            connected = await self._host.call(guest_agent.is_connected, timeout=_LOOK_TIMEOUT)
        except (HypervisorUnavailable, HypervisorRefused) as error:
            _log.info("not knowing whether there is a guest agent", reason=str(error))
            interval, thaw_in = self._settings.agent_interval, self._seconds_to_thaw()
            return interval if thaw_in is None else min(interval, max(_THAW_RETRY, thaw_in))
        async with self._one_at_a_time:
            if not connected:
                self._ask_again_at = 0.0
                self._report(None)
                if self._filesystems is not None:
                    self._filesystems = []
                self._credentials.agent_gone()
                return None
            thaw_in = await self._thaw_if_due()
            if (left := self._ask_again_at - _clock()) <= 0:
                left = self._settings.agent_interval if await self._refresh() else _FIRST_WORD_RETRY
                self._ask_again_at = _clock() + left
            credentials_in = await self._set_credentials()
        return min(due for due in (left, thaw_in, credentials_in) if due is not None)

    async def _set_credentials(self) -> float | None:
        """Returns the seconds until the next attempt. An agent that does not answer is not asked for more."""
        machine = self._keeper.record.machine
        if machine is None or self._reported is None:
            return None
        return await self._credentials.synchronize(machine.access_credentials)

    async def _refresh(self) -> bool:
        """Query the agent again. Returns whether its state is known."""
        try:
            self._report(await self._portrait(await self._ask("guest-info")))
            if self._filesystems is not None and (found := await self._ask_if_known("guest-get-fsinfo")) is not None:
                self._filesystems = replies.filesystems(found)
        except (AgentUnavailable, AgentRefused) as error:
            _log.info("hearing nothing from the guest's agent", reason=str(error))
        return self._reported is not None

    async def _portrait(self, info: Any) -> guest_pb2.GuestAgent:
        """The agent's report on the guest. While file systems are frozen the agent refuses most queries, so the other
        fields keep their last values."""
        portrait = guest_pb2.GuestAgent(version=replies.version(info))
        portrait.filesystems_frozen = replies.frozen(await self._ask_if_known("guest-fsfreeze-status"))
        if portrait.filesystems_frozen and self._reported is not None:
            portrait.hostname, known = self._reported.hostname, self._reported
            portrait.os.CopyFrom(known.os)
            portrait.interfaces.extend(known.interfaces)
            return portrait
        portrait.hostname = replies.host_name(await self._ask_if_known("guest-get-host-name"))
        portrait.os.CopyFrom(replies.operating_system(await self._ask_if_known("guest-get-osinfo")))
        portrait.interfaces.extend(replies.interfaces(await self._ask_if_known("guest-network-get-interfaces")))
        return portrait

    async def _thaw_if_due(self) -> float | None:
        """Thaw file systems whose time is over. Returns the seconds until the next check."""
        left = self._seconds_to_thaw()
        if left is None or left > 0:
            return left
        try:
            await self._thaw()
        except (AgentUnavailable, AgentRefused) as error:
            _log.warning("trying to thaw again", reason=str(error))
            return _THAW_RETRY
        return None

    def _seconds_to_thaw(self) -> float | None:
        """Until file systems must be thawed; None: they are not frozen."""
        thaw_at = self._keeper.record.thaw_at
        return None if thaw_at is None else (thaw_at.ToNanoseconds() - self._wall_clock()) / 1e9

    async def _thaw(self) -> None:
        _log.info("thawing the guest's file systems")
        await self._ask("guest-fsfreeze-thaw", timeout=_FREEZE)
        self._keeper.record_thaw_at(None)
        self._tell_frozen(frozen=False)

    def _tell_frozen(self, *, frozen: bool) -> None:
        if self._reported is not None:
            changed = guest_pb2.GuestAgent()
            changed.CopyFrom(self._reported)
            changed.filesystems_frozen = frozen
            self._report(changed)

    def _report(self, agent: guest_pb2.GuestAgent | None) -> None:
        if agent == self._reported:
            return
        if (agent is None) != (self._reported is None):
            _log.info("reporting whether there is a guest agent", connected=agent is not None)
        self._reported = agent
        self._keeper.tell_agent(agent)

    async def _ask_if_known(self, command: str) -> Any:
        """The response; None if the agent does not know or does not permit the command."""
        try:
            return await self._ask(command)
        except AgentRefused:
            return None

    async def _ask(self, command: str, arguments: Mapping[str, Any] | None = None, timeout: int = _ANSWER) -> Any:
        request = json.dumps({"execute": command, "arguments": arguments} if arguments else {"execute": command})
        try:
            reply = await self._host.call_agent(guest_agent.ask, request, timeout, timeout=timeout + _MARGIN)
        except (HypervisorUnavailable, HypervisorRefused) as error:
            raise AgentUnavailable(str(error)) from error
        return replies.returned(reply)


def _clock() -> float:
    return asyncio.get_running_loop().time()
