"""Connection to one VM's launcher. Reconnects on failure and caches the last reported state.

A task per launcher pod of a VMI on this node, started and cancelled by reconcile.py. It only observes: it calls back
when the state changes, and reconcile.py decides. When the connection breaks, the state becomes unknown, except a
reported end, which is final.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager

from kubevirt.info.v1 import info_pb2
from kubevirt.launcher.v1 import launcher_pb2, state_pb2
from virt_core import logs
from virt_core.conventions import launcher_features
from virt_core.rpc.errors import RpcError

from virt_handler.launchers.peer_process import NotThePod
from virt_handler.launchers.pod_folders import HostilePath
from virt_handler.machines.allowance import Allowance
from virt_handler.machines.guest_state import GuestState
from virt_handler.machines.hostile_text import MESSAGE_LENGTH, TEXT_LENGTH, printable
from virt_handler.machines.observe import LauncherRefusal
from virt_handler.machines.pod import ConnectedLauncher, ConnectLauncher
from virt_handler.network.execute import NetworkFailed
from virt_handler.network.plan import PodNetwork

_IDLE = 25.0  # seconds; launchers send a heartbeat every 10
_LIFETIME = 31 * 60.0  # the launcher ends the stream after 30 minutes
_BACKOFF_FIRST, _BACKOFF_LAST = 0.05, 1.0
_STEADY = 5.0  # a connection attempt that lasted this long resets the back-off
_HOSTILE_DELAY = 30.0
# Of a stream's messages. A guest's life has about a dozen changes; the guest agent reports less often than this.
_CHANGES_AT_ONCE, _SECONDS_PER_CHANGE = 20, 1.0


class Disconnected(Exception):
    """The launcher is not connected: plan again once it is."""


class MachineLink:
    """The connection between VMI `vmi_uid` and pod `pod_uid`."""

    def __init__(
        self, connect: ConnectLauncher, key: tuple[str, str], vmi_uid: str, pod_uid: str, on_change: Callable[[], None]
    ) -> None:
        self.vmi_uid, self.pod_uid = vmi_uid, pod_uid
        self.guest: GuestState | None = None
        """The last state that the launcher reported; None while unknown."""
        self.network: PodNetwork | None = None
        """The pod's network; None while unknown."""
        self.launcher_release = ""
        """Of the connected launcher."""
        self.launcher_migrates = False
        """Whether the connected launcher can be a side of a migration."""
        self.refusal: LauncherRefusal | None = None
        """Why the connected launcher has refused the machine; reconcile.py sets it."""
        self.forwards_to: str | None = None
        """Where the pod's network passes on what arrives, as far as this process has set it; migration/ sets it."""
        self.left_since: float | None = None
        """When this process saw that the guest has left for good, by the loop's clock; reconcile.py sets it."""
        self._connect = connect
        self._name = f"launcher of {key[0]}/{key[1]}"
        self._on_change = on_change
        self._allowance = Allowance(_CHANGES_AT_ONCE, _SECONDS_PER_CHANGE)
        self._launcher: ConnectedLauncher | None = None
        self._users = 0
        self._streams: set[asyncio.Timeout] = set()
        self._unused = asyncio.Event()
        self._unused.set()
        self._finished = asyncio.Event()
        self._log = logs.bound("virt_handler.machines.link", vmi=f"{key[0]}/{key[1]}", pod_uid=pod_uid)

    async def run(self) -> None:
        """Stay connected until cancelled, or until `finish`."""
        loop = asyncio.get_running_loop()
        backoff = _BACKOFF_FIRST
        while not self._finished.is_set():
            began, delay = loop.time(), backoff
            try:
                await self._follow()
            except (HostilePath, NotThePod) as error:
                delay = _HOSTILE_DELAY
                self._log.error("distrusting the launcher's folder", reason=str(error), delay=delay)
            except (RpcError, NetworkFailed, OSError) as error:
                self._log.info("connecting again", reason=printable(str(error), MESSAGE_LENGTH), delay=delay)
            except Exception:
                delay = _HOSTILE_DELAY
                self._log.error("connecting again after a defect", delay=delay, exc_info=True)
            self._forget()
            backoff = _BACKOFF_FIRST if loop.time() - began > _STEADY else min(backoff * 2, _BACKOFF_LAST)
            await self._wait(delay)

    def finish(self) -> None:
        """Do not reconnect when the launcher exits."""
        self._finished.set()

    def _forget(self) -> None:
        """Reset the state, but keep a reported end: the launcher exits soon after it has reported it."""
        self.network = None
        if self.guest is not None and self.guest.phase != state_pb2.MACHINE_PHASE_ENDED:
            self.guest = None

    @property
    def launcher_info(self) -> info_pb2.GetInfoResponse | None:
        """What the connected launcher has answered to GetInfo last; None if none is connected."""
        return self._launcher.peer.info if self._launcher is not None else None

    @asynccontextmanager
    async def launcher(self) -> AsyncIterator[ConnectedLauncher]:
        """The connected launcher. The connection stays open inside the context.

        Raises:
            Disconnected: no launcher is connected.
        """
        if self._launcher is None:
            raise Disconnected(f"{self._name} is not connected")
        self._users += 1
        self._unused.clear()
        try:
            yield self._launcher
        finally:
            self._users -= 1
            if self._users == 0:
                self._unused.set()

    @asynccontextmanager
    async def while_connected(self) -> AsyncIterator[ConnectedLauncher]:
        """Like `launcher`, for streams: the context ends with the connection.

        Raises:
            Disconnected: no launcher is connected, or it is no longer connected.
        """
        async with self.launcher() as launcher:
            try:
                async with asyncio.timeout(None) as limit:
                    self._streams.add(limit)
                    try:
                        yield launcher
                    finally:
                        self._streams.discard(limit)
            except TimeoutError as error:
                if not limit.expired():
                    raise
                raise Disconnected(f"{self._name} is no longer connected") from error

    async def _follow(self) -> None:
        async with self._connect(self.pod_uid, self._name) as launcher:
            info = launcher.peer.info
            self._log.info("following the launcher", release=printable(info.release, TEXT_LENGTH) if info else "")
            self.network = await launcher.pod.read_network()
            self.launcher_release = info.release if info is not None else ""
            self.launcher_migrates = info is not None and launcher_features.MIGRATION in info.features
            self.refusal = None  # a new launcher process may support the machine
            self._launcher = launcher
            try:
                await self._watch(launcher)
            finally:
                self._launcher = None
                for limit in self._streams:
                    limit.reschedule(asyncio.get_running_loop().time())
                # Closing the channel below a call in flight would cancel its caller.
                await self._unused.wait()

    async def _watch(self, launcher: ConnectedLauncher) -> None:
        request, known = launcher_pb2.WatchMachineRequest(), False
        stream = launcher.peer.stream(launcher.stub.WatchMachine, request, idle=_IDLE, lifetime=_LIFETIME)
        # After a cancellation or a defect the stream must end here, not at some later garbage collection.
        async with aclosing(stream):
            async for response in stream:
                guest = GuestState.from_message(response.state)
                if guest != self.guest or not known:
                    known = True
                    self._see(guest, response)
                # Also after a heartbeat: a hostile launcher may send them without a pause. Without reads, gRPC's flow
                # control stops a launcher that sends too much.
                await asyncio.sleep(self._allowance.take(asyncio.get_running_loop().time()))

    def _see(self, guest: GuestState, response: launcher_pb2.WatchMachineResponse) -> None:
        self._log.info(
            "seeing the guest",
            phase=state_pb2.MachinePhase.Name(guest.phase) if guest.phase in _PHASES else guest.phase,
            instance=printable(response.instance_id, 32),
            revision=response.revision,
        )
        self.guest = guest
        self._on_change()

    async def _wait(self, delay: float) -> None:
        try:
            async with asyncio.timeout(delay):
                await self._finished.wait()
        except TimeoutError:
            pass


_PHASES = frozenset(state_pb2.MachinePhase.values())
