"""Connections to libvirtd that belong to a migration: to this pod's for the copy and for its control, and to the
target's. Called by source.py.

Each has a thread of its own, because a copy takes minutes: the machine's calls never wait for it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from virt_core import logs

from virt_launcher.domain.host import KEEPALIVE, is_alive
from virt_launcher.errors import HypervisorRefused, HypervisorUnavailable

_log = logs.bound("virt_launcher.migration")
Result = TypeVar("Result")


class Connection:
    """One connection, opened by the first call, and again after it was lost."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="libvirt-migration")
        self._connection: Any = None

    async def call(self, function: Callable[..., Result], *arguments: object, timeout: float | None) -> Result:
        """Run a function of guest.py or calls.py. Calls run one after the other.

        Raises:
            HypervisorUnavailable: no connection, or it broke or timed out; the effect of the call is unknown.
            HypervisorRefused: libvirt returned an error.
        """
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout):
                return await loop.run_in_executor(self._thread, self._run, function, arguments)
        except TimeoutError as error:
            raise HypervisorUnavailable(f"{self._uri} took longer than {timeout:.0f} s") from error

    def close(self) -> None:
        """Close the connection when its call has ended."""
        self._thread.submit(self._close)
        self._thread.shutdown(wait=False)

    def _run(self, function: Callable[..., Result], arguments: tuple[object, ...]) -> Result:
        import libvirt

        try:
            connection = self._open()
        except libvirt.libvirtError as error:
            raise HypervisorUnavailable(str(error)) from error
        _log.debug("calling libvirt", uri=self._uri, function=function.__qualname__)
        try:
            return function(connection, *arguments)
        except libvirt.libvirtError as error:
            if not is_alive(connection):
                raise HypervisorUnavailable(str(error)) from error
            raise HypervisorRefused(str(error)) from error

    def _open(self) -> Any:
        import libvirt

        if self._connection is None or not is_alive(self._connection):
            self._close()
            self._connection = libvirt.open(self._uri)
            self._connection.setKeepAlive(*KEEPALIVE)  # of a node that has vanished, too
        return self._connection

    def _close(self) -> None:
        import libvirt

        connection, self._connection = self._connection, None
        with contextlib.suppress(libvirt.libvirtError):
            if connection is not None:
                connection.close()


class Connections:
    """Those of one migration: `copy` and `control` to the source, `target` to the target."""

    def __init__(self, source: str, target: str) -> None:
        self.copy, self.control, self.target = Connection(source), Connection(source), Connection(target)

    def close(self) -> None:
        """Close all."""
        for connection in (self.copy, self.control, self.target):
            connection.close()
