"""The handler's tie to one machine: keeps a connection to its launcher and the last state that it told.

One task for each VMI with a pod on this node, started and cancelled by reconcile.py. It only observes; whenever what
is known changes it says so, and reconcile.py decides. When the connection breaks, what was known becomes unknown.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from kubevirt.launcher.v1 import launcher_pb2
from virt_core import logs
from virt_core.rpc.errors import RpcError

from virt_handler.launchers.connection import Launcher, connect
from virt_handler.launchers.peer_process import NotThePod
from virt_handler.launchers.pod_folders import HostilePath, PodFolders
from virt_handler.machines.allowance import Allowance
from virt_handler.machines.guest_state import GuestState
from virt_handler.network.execute import NetworkFailed, read_pod_network
from virt_handler.network.namespace import run_inside
from virt_handler.network.plan import PodNetwork

_IDLE = 25.0  # seconds; launchers send a heartbeat every 10
_LIFETIME = 31 * 60.0  # the launcher ends the stream after 30 minutes
_BACKOFF_FIRST, _BACKOFF_LAST = 0.05, 1.0
_STEADY = 5.0  # a connection, or a wait for one, that lasted this long was no failure to connect
_HOSTILE_DELAY = 30.0
# A guest's whole life is a dozen changes; its agent is asked less often than this.
_CHANGES_AT_ONCE, _SECONDS_PER_CHANGE = 20, 1.0


class Disconnected(Exception):
    """The launcher is not connected now: what was planned is planned again once it is."""


class MachineLink:
    """Ties VMI `vmi_uid` to pod `pod_uid`.

    Attributes:
        guest: the launcher's last word, None while unknown.
        network: the pod's network, None while unknown.
        refused: whether the connected launcher has refused the machine.
        failures: of actions in a row, for their back-off; reconcile.py counts.
    """

    def __init__(
        self, folders: PodFolders, key: tuple[str, str], vmi_uid: str, pod_uid: str, on_change: Callable[[], None]
    ) -> None:
        self.vmi_uid, self.pod_uid = vmi_uid, pod_uid
        self.guest: GuestState | None = None
        self.network: PodNetwork | None = None
        self.refused = False
        self.failures = 0
        self._folders = folders
        self._name = f"launcher of {key[0]}/{key[1]}"
        self._on_change = on_change
        self._allowance = Allowance(_CHANGES_AT_ONCE, _SECONDS_PER_CHANGE)
        self._launcher: Launcher | None = None
        self._users = 0
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
                self._log.info("connecting again", reason=str(error), delay=delay)
            except Exception:
                delay = _HOSTILE_DELAY
                self._log.error("connecting again after a defect", delay=delay, exc_info=True)
            self.guest = self.network = None
            backoff = _BACKOFF_FIRST if loop.time() - began > _STEADY else min(backoff * 2, _BACKOFF_LAST)
            await self._wait(delay)

    def finish(self) -> None:
        """Nothing more will be asked of this launcher: do not connect again when it goes."""
        self._finished.set()

    @asynccontextmanager
    async def launcher(self) -> AsyncIterator[Launcher]:
        """The connected launcher, which stays connected inside.

        Raises:
            Disconnected: there is none.
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

    async def _follow(self) -> None:
        async with connect(self._folders, self.pod_uid, self._name) as launcher:
            info = launcher.peer.info
            self._log.info("following the launcher", release=info.release if info else "")
            self.network = await run_inside(launcher.network_namespace, read_pod_network)
            self.refused = False
            self._launcher = launcher
            try:
                await self._watch(launcher)
            finally:
                self._launcher = None
                # Closing the channel below a call in flight would cancel its caller.
                await self._unused.wait()

    async def _watch(self, launcher: Launcher) -> None:
        request = launcher_pb2.WatchMachineRequest()
        stream = launcher.peer.stream(launcher.stub.WatchMachine, request, idle=_IDLE, lifetime=_LIFETIME)
        async for response in stream:
            guest = GuestState.from_message(response.state)
            if guest == self.guest:
                continue  # a heartbeat
            self._log.info(
                "seeing the guest",
                phase=launcher_pb2.MachinePhase.Name(guest.phase) if guest.phase in _PHASES else guest.phase,
                instance=response.instance_id[:32],
                revision=response.revision,
            )
            self.guest = guest
            self._on_change()
            # Nothing is read meanwhile, so gRPC's flow control stops a launcher that says too much.
            await asyncio.sleep(self._allowance.take(asyncio.get_running_loop().time()))

    async def _wait(self, delay: float) -> None:
        try:
            async with asyncio.timeout(delay):
                await self._finished.wait()
        except TimeoutError:
            pass


_PHASES = frozenset(launcher_pb2.MachinePhase.values())
