"""Progress output: a short line before each step, and its duration after it. Used by every command."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class PartFailed(Exception):
    """A part of the cluster failed. The command shows the reason and the end of the log, and exits."""

    def __init__(self, part: str, reason: str, log: Path | None = None) -> None:
        super().__init__(f"{part}: {reason}")
        self.log = log

    def log_end(self, lines: int = 20) -> list[str]:
        """The last lines of the part's log."""
        if self.log is None or not self.log.exists():
            return []
        return self.log.read_text(errors="replace").splitlines()[-lines:]


def say(text: str) -> None:
    print(text, flush=True)


@contextmanager
def step(doing: str, done: str = "done") -> Iterator[None]:
    """Print the step's name, and its duration after it has succeeded."""
    say(doing)
    began = time.monotonic()
    yield
    say(f"{doing}: {done} after {time.monotonic() - began:.1f} s")
