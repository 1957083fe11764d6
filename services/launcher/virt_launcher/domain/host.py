"""The connection to this launcher's libvirtd. Reconnects on failure.

Started by ``__main__`` before gRPC is imported. Threads: one imports libvirt and reconnects, one runs libvirt's event
loop and only enqueues (`_notify`), a small pool makes blocking calls, and one makes calls to the guest agent.
Everything else runs on the asyncio loop. Decides nothing about the guest.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import Any, TypeVar

from virt_core import logs

from virt_launcher.domain.guest import warm
from virt_launcher.errors import HypervisorRefused, HypervisorUnavailable

Result = TypeVar("Result")
_log = logs.bound("virt_launcher.domain.host")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 1.0  # seconds
# Calls at a time. Three may hang with QEMU, one of each kind: a picture, statistics and disk errors. The others are the
# machine's, which has to be observed and ended all the same.
_CALLS = 5
# The client's keepalive detects a hanging libvirtd after about 20 s.
KEEPALIVE = 5, 3  # seconds, count


class InCall:
    """Set by a thread for the time of its call, also when nobody waits for it any more."""

    def __init__(self) -> None:
        self.busy = False

    def __enter__(self) -> None:
        self.busy = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.busy = False


class Host:
    """libvirt, asynchronously.

    `uri` is the connection's URI, `connections` how many connections to libvirtd there have been.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.connections = 0
        self._pool = ThreadPoolExecutor(_CALLS, thread_name_prefix="libvirt-call")
        # Calls to the agent have a separate thread and connection: on a shared connection, libvirt's client delays
        # other calls while a call waits for its response (5 to 10 s with libvirt 9.0).
        self._agent_pool = ThreadPoolExecutor(1, thread_name_prefix="libvirt-agent")
        self._agent_connection: Any = None
        self._connection: Any = None
        self._event_ids: list[int] = []
        self._lost = threading.Event()
        self._subscribers: tuple[Callable[[], None], ...] = ()
        threading.Thread(target=self._keep_connected, name="libvirt-connection", daemon=True).start()

    def subscribe(self, changed: Callable[[], None]) -> None:
        """Call `changed` on the running asyncio loop after each event of the domain or its guest agent, and after each
        connection and disconnection."""
        loop = asyncio.get_running_loop()

        def enqueue() -> None:
            try:
                loop.call_soon_threadsafe(changed)
            except RuntimeError:  # the loop is closed: the process is ending
                return

        self._subscribers = (*self._subscribers, enqueue)
        changed()

    @property
    def connected(self) -> bool:
        """Whether the connection to libvirtd was open at the last event."""
        return self._connection is not None

    async def call(self, function: Callable[..., Result], *arguments: object, timeout: float) -> Result:
        """Run a function of guest.py on the connection, for at most `timeout` seconds.

        Raises:
            HypervisorUnavailable: no connection, or it broke or timed out; the effect of the call is unknown.
            HypervisorRefused: libvirt returned an error.
        """
        return await self._call(self._pool, function, *arguments, timeout=timeout)

    async def call_agent(self, function: Callable[..., Result], *arguments: object, timeout: float) -> Result:
        """Like `call`, for a function of guest_agent.py. Such calls run one at a time and block no other call."""
        import libvirt

        def on_own_connection(_connection: Any) -> Result:
            if self._agent_connection is None or not is_alive(self._agent_connection):
                self._agent_connection = libvirt.open(self.uri)
            return function(self._agent_connection, *arguments)

        return await self._call(self._agent_pool, on_own_connection, timeout=timeout)

    async def _call(
        self, pool: ThreadPoolExecutor, function: Callable[..., Result], *arguments: object, timeout: float
    ) -> Result:
        import libvirt

        _log.debug("calling libvirt", function=function.__qualname__)
        connection = self._connection
        if connection is None:
            raise HypervisorUnavailable("no connection to libvirtd")
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout):
                return await loop.run_in_executor(pool, lambda: function(connection, *arguments))
        except TimeoutError as error:
            raise HypervisorUnavailable(f"libvirtd took longer than {timeout:.0f} s", timeout) from error
        except libvirt.libvirtError as error:
            if self._connection is not connection or not is_alive(connection):
                raise HypervisorUnavailable(str(error)) from error
            raise HypervisorRefused(str(error)) from error

    def close(self, patience: float) -> None:
        """Close the connections if libvirtd answers in time: it logs an error for a client that only disappears.
        Nothing may be called afterwards."""
        closing = threading.Thread(target=self._close, name="libvirt-close", daemon=True)
        closing.start()
        closing.join(patience)

    # --- the threads ---

    def _close(self) -> None:
        import libvirt

        connection, self._connection = self._connection, None
        with contextlib.suppress(libvirt.libvirtError):
            if self._agent_connection is not None:
                self._agent_connection.close()
        if connection is not None:
            self._release(connection)

    def _release(self, connection: Any) -> None:
        """Close the connection. Each registration holds a reference, with which it would stay open."""
        import libvirt

        deregistrations = [partial(connection.domainEventDeregisterAny, event) for event in self._event_ids]
        for end in (*deregistrations, connection.unregisterCloseCallback, connection.close):
            with contextlib.suppress(libvirt.libvirtError):
                end()

    def _notify(self) -> None:
        for enqueue in self._subscribers:
            enqueue()

    def _keep_connected(self) -> None:
        import libvirt

        libvirt.registerErrorHandler(lambda _context, _error: None, None)  # errors arrive as exceptions
        libvirt.virEventRegisterDefaultImpl()
        threading.Thread(target=self._run_events, name="libvirt-events", daemon=True).start()
        while True:
            self._lost.clear()
            connection = self._connect()
            self._connection = connection
            if not is_alive(connection):  # closed before it was stored, so its close callback did not reset it
                self._connection = None
                continue
            self.connections += 1
            self._notify()
            self._pool.submit(warm, self._connection)
            self._lost.wait()

    def _run_events(self) -> None:
        import libvirt

        while True:
            libvirt.virEventRunDefaultImpl()

    def _connect(self) -> Any:
        """Connect, without a time limit. Events in the meantime are not lost: an observation follows a connection."""
        import libvirt

        pause = _FIRST_PAUSE
        while True:
            connection, self._event_ids = None, []
            try:
                connection = libvirt.open(self.uri)
                self._set_up(connection)
            except libvirt.libvirtError:
                if connection is not None:
                    self._release(connection)
                time.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
                continue
            return connection

    def _set_up(self, connection: Any) -> None:
        import libvirt

        connection.registerCloseCallback(self._on_close, None)
        for event in (libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, libvirt.VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE):
            self._event_ids.append(connection.domainEventRegisterAny(None, event, self._on_event, None))
        connection.setKeepAlive(*KEEPALIVE)

    def _on_event(self, *_event: object) -> None:
        self._notify()

    def _on_close(self, connection: Any, _reason: int, _opaque: object) -> None:
        """Called by the thread that notices the close: the event loop's, or that of a broken call. A replaced
        connection may close late; it must not reset the current one."""
        if connection is not self._connection:
            return
        self._connection = None
        self._lost.set()
        self._notify()


def is_alive(connection: Any) -> bool:
    """Whether the connection to libvirtd is open."""
    import libvirt

    try:
        return bool(connection.isAlive())
    except libvirt.libvirtError:
        return False
