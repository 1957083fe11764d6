"""`make test` as a list of stages, run one after the other: prints how long each took and how busy the machine was
meanwhile, so that everybody sees where the time goes and which stage only waits.

A stage is a target of the Makefile, or several that run side by side: "builds+check". Run by the Makefile, before
anything else is installed: needs Python alone. Ends at the first stage that fails, with its status.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

STAT = Path("/proc/stat")  # absent: not Linux, and nothing of the machine's work is known
_IDLE = (3, 4)  # columns idle and iowait of the line "cpu", proc_stat(5)
NICE = 15  # of 19: the first target of a stage may measure how long something takes
_COUNTED = 8  # what follows is time of virtual machines, which the first two columns hold already


@dataclass(frozen=True)
class Moment:
    """`busy` and `idle` are ticks of all processors since the machine started."""

    seconds: float
    busy: int
    idle: int

    @classmethod
    def now(cls) -> Moment:
        return cls.read(STAT.read_text() if STAT.exists() else "cpu 0 0 0 0 0", time.monotonic())

    @classmethod
    def read(cls, stat: str, seconds: float) -> Moment:
        ticks = [int(column) for column in stat.splitlines()[0].split()[1 : _COUNTED + 1]]
        idle = sum(ticks[column] for column in _IDLE)
        return cls(seconds, sum(ticks) - idle, idle)


@dataclass(frozen=True)
class Stage:
    """Targets of the Makefile that were made."""

    name: str
    began: Moment
    ended: Moment
    passed: bool = True

    @property
    def seconds(self) -> float:
        return self.ended.seconds - self.began.seconds

    @property
    def busy(self) -> float:
        """Share of all processors' time that somebody used."""
        busy, idle = self.ended.busy - self.began.busy, self.ended.idle - self.began.idle
        return busy / (busy + idle) if busy + idle else 0.0


def table(stages: list[Stage]) -> str:
    """What took how long; the rest of a stage's share of the processors is waiting."""
    rows = [f"{'stage':<26} {'seconds':>8}  processors busy"]
    rows += [
        f"{stage.name:<26} {stage.seconds:8.1f}  {stage.busy:4.0%}{'' if stage.passed else '  FAILED'}"
        for stage in stages
    ]
    whole = Stage("all", stages[0].began, stages[-1].ended)
    return "\n".join([*rows, f"{whole.name:<26} {whole.seconds:8.1f}  {whole.busy:4.0%}"])


def make(targets: list[str]) -> int:
    """Make all of them side by side; the first status that is not 0. The output of the first one is seen as it comes,
    that of the others when it is complete. The others have the processors while the first one leaves them."""
    first, *others = targets
    with ExitStack() as stack:
        running = []
        for target in others:
            output = stack.enter_context(tempfile.TemporaryFile())
            running.append((stack.enter_context(_beside(target, output)), output))
        statuses = [subprocess.run(_command(first), check=False).returncode]
        for process, output in running:
            statuses.append(process.wait())
            output.seek(0)
            print(output.read().decode(errors="replace"), end="", flush=True)
    return next((status for status in statuses if status), 0)


@contextmanager
def _beside(target: str, output: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """The target in a session of its own, for Linux shares the processors among sessions first, autogroup in sched(7):
    a nice process of this one would still have as much as a program of the cluster."""
    command = ["nice", "-n", str(NICE), *_command(target)]
    process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
    with suppress(OSError):  # no autogroups here
        Path(f"/proc/{process.pid}/autogroup").write_text(str(NICE))
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):  # Ctrl-C does not reach another session
            os.killpg(process.pid, signal.SIGTERM)


def _command(target: str) -> list[str]:
    return ["make", "--no-print-directory", target]


def main(names: list[str]) -> int:
    """Run the stages; the status of the one that failed, or 0."""
    stages: list[Stage] = []
    status = 0
    for name in names:
        began = Moment.now()
        status = make(name.split("+"))
        stages.append(Stage(name, began, Moment.now(), passed=status == 0))
        if status:
            break
    print(f"\n{table(stages)}", flush=True)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
