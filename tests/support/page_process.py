"""`virtadm ui` as a process, and where it listens."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.patience import PATIENCE

_LISTENS = "0A"  # a state in /proc/net/tcp


@dataclass(frozen=True, slots=True)
class PageProcess:
    """It runs."""

    pid: int
    url: str
    code: str

    def listens_on(self) -> set[str]:
        """Addresses, in hexadecimal as in /proc/net/tcp: "0100007F" is 127.0.0.1."""
        links = {str(descriptor.readlink()) for descriptor in Path(f"/proc/{self.pid}/fd").iterdir()}
        found = set()
        for table in ("tcp", "tcp6", "udp", "udp6"):
            for line in Path(f"/proc/{self.pid}/net/{table}").read_text().splitlines()[1:]:
                _, local, _, state, *_, inode = line.split()[:10]
                if f"socket:[{inode}]" in links and (state == _LISTENS or table.startswith("udp")):
                    found.add(local.partition(":")[0])
        return found


@asynccontextmanager
async def page_process(kubeconfig: str) -> AsyncIterator[PageProcess]:
    """With that kubeconfig. SIGINT ends it with status 0."""
    command = [sys.executable, "-m", "virt_admin", "--kubeconfig", kubeconfig, "ui", "--no-browser"]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            url = (await process.stdout.readline()).decode().strip()
            code = (await process.stdout.readline()).decode().rpartition(" ")[2].strip()
        yield PageProcess(process.pid, url, code)
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(PATIENCE):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
