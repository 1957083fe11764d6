"""The connection to this launcher's libvirtd, made again whenever it breaks.

Started by ``__main__`` before gRPC is imported. One thread imports libvirt and keeps connected, one runs libvirt's
event loop and may only enqueue (`_notify`), a small pool does the blocking calls and one thread those that wait for
the guest's agent; everything else happens on the asyncio loop. Decides nothing about the guest.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from virt_core import logs

from virt_launcher.domain.guest import warm
from virt_launcher.errors import HypervisorRefused, HypervisorUnavailable

Result = TypeVar("Result")
_log = logs.bound("virt_launcher.domain.host")

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.02, 1.0
# A libvirtd that hangs, rather than dies, is given up by the client's keepalive after about 20 s.
_KEEPALIVE_INTERVAL_S, _KEEPALIVE_COUNT = 5, 3


class Host:
    """libvirt, asynchronously.

    Attributes:
        uri: what is connected to.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="libvirt-call")
        # An agent that hangs holds a thread and a connection of its own: on one connection, libvirt's client leaves a
        # second call lying while a first one waits for its answer (5 to 10 s were seen with libvirt 9.0).
        self._agent_pool = ThreadPoolExecutor(1, thread_name_prefix="libvirt-agent")
        self._agent_connection: Any = None
        self._connection: Any = None
        self._event_ids: list[int] = []
        self._lost = threading.Event()
        self._subscribers: tuple[Callable[[], None], ...] = ()
        threading.Thread(target=self._keep_connected, name="libvirt-connection", daemon=True).start()

    def subscribe(self, changed: Callable[[], None]) -> None:
        """Have `changed`, too, called on the running asyncio loop after each event of the domain or of its guest agent,
        each connection and disconnection."""
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
        """Whether libvirtd was there when last heard of."""
        return self._connection is not None

    async def call(self, function: Callable[..., Result], *arguments: object, timeout: float) -> Result:
        """Run one function of guest.py on the connection, for at most `timeout` seconds.

        Raises:
            HypervisorUnavailable: no connection, or it broke or took too long; what the call did is unknown.
            HypervisorRefused: libvirt said no.
        """
        return await self._call(self._pool, function, *arguments, timeout=timeout)

    async def call_agent(self, function: Callable[..., Result], *arguments: object, timeout: float) -> Result:
        """The same for a function of guest_agent.py: one at a time, and in the way of nothing else."""
        import libvirt

        def on_own_connection(_connection: Any) -> Result:
            if self._agent_connection is None or not _is_alive(self._agent_connection):
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
            raise HypervisorUnavailable(f"libvirtd took longer than {timeout:.0f} s") from error
        except libvirt.libvirtError as error:
            if self._connection is not connection or not _is_alive(connection):
                raise HypervisorUnavailable(str(error)) from error
            raise HypervisorRefused(str(error)) from error

    def close(self, patience_s: float) -> None:
        """Close the connections if libvirtd answers in time: it logs an error for a client that only disappears.
        Nothing may be called afterwards."""
        closing = threading.Thread(target=self._close, name="libvirt-close", daemon=True)
        closing.start()
        closing.join(patience_s)

    # --- the threads ---

    def _close(self) -> None:
        import libvirt

        connection, self._connection = self._connection, None
        with contextlib.suppress(libvirt.libvirtError):
            if self._agent_connection is not None:
                self._agent_connection.close()
            if connection is not None:
                # Each registration holds a reference, without which the connection would stay open.
                for event in self._event_ids:
                    connection.domainEventDeregisterAny(event)
                connection.unregisterCloseCallback()
                connection.close()

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
            if not _is_alive(connection):  # closed before it was stored: its callback found another here
                self._connection = None
                continue
            self._notify()
            self._pool.submit(warm, self._connection)
            self._lost.wait()

    def _run_events(self) -> None:
        import libvirt

        while True:
            libvirt.virEventRunDefaultImpl()

    def _connect(self) -> Any:
        """Connect, however long it takes. No event is missed meanwhile: connecting is followed by a look."""
        import libvirt

        pause = _FIRST_PAUSE_S
        while True:
            try:
                connection = libvirt.open(self.uri)
                connection.registerCloseCallback(self._on_close, None)
                events = (libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, libvirt.VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE)
                self._event_ids = [
                    connection.domainEventRegisterAny(None, event, self._on_event, None) for event in events
                ]
                connection.setKeepAlive(_KEEPALIVE_INTERVAL_S, _KEEPALIVE_COUNT)
            except libvirt.libvirtError:
                time.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE_S)
                continue
            return connection

    def _on_event(self, *_event: object) -> None:
        self._notify()

    def _on_close(self, connection: Any, _reason: int, _opaque: object) -> None:
        """Called by whichever thread notices: the one that runs events, or one whose call broke. A connection that was
        replaced may close late: the one in use stays."""
        if connection is not self._connection:
            return
        self._connection = None
        self._lost.set()
        self._notify()


def _is_alive(connection: Any) -> bool:
    import libvirt

    try:
        return bool(connection.isAlive())
    except libvirt.libvirtError:
        return False
