"""The processes of the bench: started with their output in a log, measured, and ended by their own handles."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_SECONDS = 10.0
_PAUSE = 1.0


class Parts:
    """Processes by name."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    @classmethod
    @contextmanager
    def running(cls, folder: Path) -> Iterator[Parts]:
        """None yet; all that were started are ended at the end of the block, the last one first."""
        parts = cls(folder)
        try:
            yield parts
        finally:
            for name in reversed(list(parts._processes)):
                parts.kill(name)

    def start(self, name: str, argv: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        """Start a process in the background."""
        with self.log(name).open("ab") as output:
            self._processes[name] = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **(environment or {})},
            )

    def kill(self, name: str) -> None:
        """SIGKILL, and wait until it is gone."""
        process = self._processes.pop(name)
        process.kill()
        process.wait(_SECONDS)

    def log(self, name: str) -> Path:
        """Its output."""
        return self._folder / f"{name}.log"

    def all_alive(self) -> bool:
        """Whether none has ended."""
        return all(process.poll() is None for process in self._processes.values())

    async def end(self) -> None:
        """Return never; raise RuntimeError soon after a process has ended that nobody has killed."""
        while True:
            for name, process in self._processes.items():
                if (status := process.poll()) is not None:
                    raise RuntimeError(f"{name} has ended with status {status}, see {self.log(name)}")
            await asyncio.sleep(_PAUSE)

    def processor_seconds(self) -> dict[str, float]:
        """Of each process since it was started, user and system."""
        return {name: _processor_seconds(process.pid) for name, process in self._processes.items()}

    def memory(self, name: str) -> dict[str, float]:
        """MB of 10⁶ bytes: resident now, and at most so far."""
        lines = Path(f"/proc/{self._processes[name].pid}/status").read_text().splitlines()
        found = dict(line.split(":", 1) for line in lines)
        return {key: int(found[field].split()[0]) * 1024 / 1e6 for key, field in (("rss", "VmRSS"), ("peak", "VmHWM"))}


def _processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS
