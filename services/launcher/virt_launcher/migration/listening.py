"""Has this pod's libvirtd listen for the source of one migration, and stop it afterwards. Called by the engine at the
target.

libvirtd reads its listeners when it starts. So this module leaves the address in a file that session/libvirtd-session
reads, ends libvirtd, which the supervisor starts again, and waits for the port. A running guest does not notice.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from pathlib import Path

from virt_core import logs

from virt_launcher.errors import HypervisorUnavailable

_log = logs.bound("virt_launcher.migration")

LIBVIRT_PORT, MEMORY_PORT, DISKS_PORT = 16514, 49152, 49153
"""libvirt's over TLS, and those of QEMU: its state, and its disks over NBD (session/qemu.conf has the same)."""

_PATIENCE = 10.0  # seconds until another libvirtd has to run
_TERMINATION = 3.0  # seconds that libvirtd has for its end
_LOOK = 0.02  # seconds between two looks at the ports
_ESTABLISHED, _LISTEN = "01", "0A"  # TCP_ESTABLISHED and TCP_LISTEN of include/net/tcp_states.h


class ListeningFailed(HypervisorUnavailable):
    """libvirtd did not start again in time."""


class Listening:
    """The listener of the libvirtd whose private folder is `folder`."""

    def __init__(self, folder: Path, patience: float = _PATIENCE) -> None:
        self._patience = patience
        self._wanted = folder / "config/libvirt/migration-address"
        self._pid_file = folder / "run/libvirt/libvirtd.pid"

    @property
    def address(self) -> str | None:
        """The address on which libvirtd listens or is about to; None: on none."""
        with contextlib.suppress(FileNotFoundError):
            return self._wanted.read_text().strip() or None
        return None

    @property
    def connected(self) -> bool:
        """Whether anybody is connected to libvirtd's listener."""
        address = self.address
        return address is not None and is_connected(_table(address), address, LIBVIRT_PORT)

    async def open(self, address: str) -> None:
        """Listen on `address`. The certificates must be there.

        Raises:
            ListeningFailed: libvirtd does not listen; it is restarted without.
        """
        if self.address == address and _listens(address):
            return
        _log.info("having libvirtd listen", address=address)
        unfinished = self._wanted.with_suffix(".part")
        unfinished.write_text(f"{address}\n")
        unfinished.replace(self._wanted)
        try:
            await self._restart(address)
        except ListeningFailed:
            with contextlib.suppress(ListeningFailed):
                await self.close()
            raise

    async def close(self) -> None:
        """Stop listening.

        Raises:
            ListeningFailed: libvirtd has not started again.
        """
        if self.address is None:
            return
        _log.info("having libvirtd stop listening", address=self.address)
        self._wanted.unlink()
        await self._restart(None)

    async def _restart(self, address: str | None) -> None:
        """End the libvirtd that runs, and wait until another one listens as it should."""
        began, before = time.monotonic(), self._pid()
        try:
            async with asyncio.timeout(self._patience):
                if before is not None:
                    await _end(before)
                while not self._runs(before, address):  # noqa: ASYNC110 - nobody reports a new listener
                    await asyncio.sleep(_LOOK)
        except TimeoutError:
            raise ListeningFailed(f"libvirtd did not restart within {self._patience:.0f} s", self._patience) from None
        _log.info("libvirtd has restarted", address=address, seconds=round(time.monotonic() - began, 3))

    def _runs(self, before: int | None, address: str | None) -> bool:
        """Whether a libvirtd of after the change runs."""
        pid = self._pid()
        return pid is not None and pid != before and (address is None or _listens(address))

    def _pid(self) -> int | None:
        """The PID of the running libvirtd; the file of a killed one stays."""
        try:
            pid = int(self._pid_file.read_text())
            program = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0]
        except (OSError, ValueError):
            return None
        return pid if program.endswith(b"/libvirtd") else None


async def _end(pid: int) -> None:
    """End a process by SIGTERM, or by SIGKILL if it does not end in time. Returns when it has ended."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(process, ended.set)
    try:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(process, number)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_TERMINATION):
                    await ended.wait()
                    return
    finally:
        loop.remove_reader(process)
        os.close(process)


def _listens(address: str) -> bool:
    """Whether a process of this pod listens on libvirt's port. A connection would be in libvirtd's log."""
    return listens(_table(address), address, LIBVIRT_PORT)


def _table(address: str) -> str:
    """The kernel's table of this pod's sockets, proc_pid_net(5)."""
    return Path("/proc/self/net/tcp6" if ":" in address else "/proc/self/net/tcp").read_text()


def listens(table: str, address: str, port: int) -> bool:
    """Whether a socket listens on the address, from the kernel's table."""
    return _has(table, address, port, _LISTEN)


def is_connected(table: str, address: str, port: int) -> bool:
    """Whether somebody is connected to the address, from the kernel's table."""
    return _has(table, address, port, _ESTABLISHED)


def _has(table: str, address: str, port: int, state: str) -> bool:
    """Whether a socket is in the state: 32-bit words of the address as hexadecimal numbers in the order of the host."""
    packed = socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)
    words = (int.from_bytes(packed[start : start + 4], sys.byteorder) for start in range(0, len(packed), 4))
    local = "".join(f"{word:08X}" for word in words) + f":{port:04X}"
    return any(line.split()[1:4:2] == [local, state] for line in table.splitlines())
