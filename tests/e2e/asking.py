"""Somebody who creates machines, as a dry run, all the time while a test does something else."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.e2e.guests import manifest

_PERIOD = 0.5  # seconds


@dataclass(slots=True)
class Tally:
    """What came of it."""

    tries: int = 0
    refusals: list[str] = field(default_factory=list)


@contextmanager
def asking() -> Iterator[Tally]:
    """Create a machine twice a second. It goes through every webhook, and is not stored."""
    tally, over = Tally(), threading.Event()
    thread = threading.Thread(target=_ask, args=(tally, over), name="asking")
    thread.start()
    try:
        yield tally
    finally:
        over.set()
        thread.join()


def _ask(tally: Tally, over: threading.Event) -> None:
    body = json.dumps(manifest("asked"))
    command = ["kubectl", "create", "--dry-run=server", "-f", "-"]
    while not over.wait(_PERIOD):
        done = subprocess.run(command, input=body, capture_output=True, text=True, timeout=240, check=False)
        tally.tries += 1
        if done.returncode:
            tally.refusals.append(done.stderr.strip())
