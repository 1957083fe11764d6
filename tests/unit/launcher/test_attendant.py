"""Programs beside the launcher's container live as long as its supervisor, whatever ends it or them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

LAUNCHER = Path(__file__).parents[3] / "services/launcher"
PATIENCE = 20.0
pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="needs a C compiler")


# Says the PID of each new process, which waits for GATE before it becomes the program.
SLOW_FORK = """
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
static int slow_fork(void)
{
	int child = fork();
	if (child == 0) {
		dprintf(1, "%d\\n", getpid());
		close(open(GATE, O_RDONLY));
	}
	return child;
}
#define fork slow_fork
"""


class Containers:
    """The processes of a pod. Commands are a shell's; what they write comes through one pipe."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.helpers, self._folder, self._stack = folder / "helpers", folder, stack
        self.helpers.mkdir()
        for name in ("supervisor", "attendant"):
            source = LAUNCHER / name / f"{name}.c"
            macros = (f'-DHELPERS="{self.helpers}/"', "-DLAST_S=1")
            subprocess.run(("gcc", *macros, "-o", folder / name, source), check=True)
        reading, writing = os.pipe()
        self._out = stack.enter_context(os.fdopen(reading))
        self._writing = stack.enter_context(os.fdopen(writing, "w"))

    def slow_attendant(self, gate: Path, *command: str) -> subprocess.Popen[bytes]:
        header, source = self._folder / "slow.h", LAUNCHER / "attendant/attendant.c"
        header.write_text(SLOW_FORK)
        macros = (f'-DHELPERS="{self.helpers}/"', f'-DGATE="{gate}"', "-D_GNU_SOURCE=", "-include", header)
        subprocess.run(("gcc", *macros, "-o", self._folder / "slow", source), check=True)
        return self.start("slow", "always", *command)

    def start(self, *argv: str) -> subprocess.Popen[bytes]:
        command = (self._folder / argv[0], *argv[1:])
        process = subprocess.Popen(command, stdout=self._writing, stderr=subprocess.DEVNULL)
        self._stack.enter_context(process)
        self._stack.callback(process.kill)
        return process

    def supervisor(self) -> subprocess.Popen[bytes]:
        return self.start("supervisor", "launcher", *until_sigterm("up"))

    def attendant(self, how: str, *command: str) -> subprocess.Popen[bytes]:
        return self.start("attendant", how, *command)

    def line(self) -> str:
        return self._out.readline().strip()


def until_sigterm(begin: str, end: str = "") -> tuple[str, ...]:
    """Says both words. Ends after a while: nobody ends the services of a supervisor that is killed."""
    program = f"import os, signal; signal.pthread_sigmask(signal.SIG_BLOCK, [15]); os.write(1, f'{begin}\\n'.encode())"
    return sys.executable, "-c", f"{program}; signal.sigtimedwait([15], {PATIENCE}); {end and f'print({end!r})'}"


def shell(command: str) -> tuple[str, ...]:
    return "/bin/sh", "-c", command


@pytest.fixture
def containers(tmp_path: Path) -> Iterator[Containers]:
    with ExitStack() as stack:
        yield Containers(tmp_path, stack)


@pytest.mark.parametrize("death", [signal.SIGKILL, signal.SIGTERM])
def test_they_end_with_the_supervisor_however_it_ends(containers: Containers, death: signal.Signals) -> None:
    supervisor = containers.supervisor()
    assert containers.line() == "up"
    copied = containers.attendant("once", *shell("echo copied"))
    assert containers.line() == "copied"
    serving = containers.attendant("always", *until_sigterm("serves", "last"))
    assert containers.line() == "serves"
    for attendant in (copied, serving):
        attendant.terminate()  # the kubelet, when the pod is deleted: the guest has its grace period
    assert copied.poll() is None and serving.poll() is None
    supervisor.send_signal(death)
    assert (copied.wait(PATIENCE), serving.wait(PATIENCE)) == (0, 0)
    assert containers.line() == "last"


def test_a_program_that_dies_is_started_again(containers: Containers) -> None:
    containers.supervisor()
    assert containers.line() == "up"
    containers.attendant("always", *until_sigterm("{os.getpid()}"))
    first = int(containers.line())
    os.kill(first, signal.SIGKILL)
    assert int(containers.line()) != first


def test_a_program_that_does_not_end_is_left_to_the_container_runtime(containers: Containers) -> None:
    supervisor = containers.supervisor()
    assert containers.line() == "up"
    deaf = "import os, signal, time; signal.signal(15, signal.SIG_IGN); print(os.getpid(), flush=True); time.sleep(60)"
    attendant = containers.attendant("always", sys.executable, "-c", deaf)
    pid = int(containers.line())
    supervisor.kill()
    assert attendant.wait(PATIENCE) == 0
    os.kill(pid, signal.SIGKILL)


def test_a_program_that_is_ended_before_it_begins_does_not_begin(containers: Containers, tmp_path: Path) -> None:
    """It would not end with the supervisor, nor the pod."""
    supervisor = containers.supervisor()
    assert containers.line() == "up"
    os.mkfifo(gate := tmp_path / "gate")
    attendant = containers.slow_attendant(gate, *until_sigterm("begun"))
    os.kill(int(containers.line()), signal.SIGTERM)
    opened = os.open(gate, os.O_RDWR)
    assert containers.line().isdecimal(), "the next attempt"
    assert containers.line() == "begun"
    os.close(opened)
    supervisor.kill()
    assert attendant.wait(PATIENCE) == 0


def test_a_program_that_is_to_succeed_once_and_fails_ends_its_container_with_its_status(containers: Containers) -> None:
    containers.supervisor()
    assert containers.attendant("once", *shell("exit 7")).wait(PATIENCE) == 7
    assert containers.attendant("once", *shell("kill -9 $$")).wait(PATIENCE) == 128 + signal.SIGKILL


def test_one_that_starts_after_the_supervisors_end_ends_at_once(containers: Containers) -> None:
    supervisor = containers.supervisor()
    assert containers.line() == "up"
    supervisor.kill()
    supervisor.wait()
    assert containers.attendant("always", *until_sigterm("unneeded")).wait(PATIENCE) == 0


def test_programs_are_installed_when_the_supervisor_lives_and_others_wait_for_it(containers: Containers) -> None:
    early, unneeded = (
        containers.attendant("once", *shell("echo early")),
        containers.attendant("always", *until_sigterm("unneeded")),
    )
    hook = containers.start("attendant", "install", "/bin/true")
    assert early.poll() is None and hook.poll() is None and list(containers.helpers.iterdir()) == []
    unneeded.terminate()
    assert unneeded.wait(PATIENCE) in (0, -signal.SIGTERM), "a pod without a launcher is deleted at once"
    containers.supervisor()
    assert {containers.line(), containers.line()} == {"up", "early"}
    assert hook.wait(PATIENCE) == 0
    again = containers.start("attendant", "install", "/bin/true")
    assert again.wait(PATIENCE) == 0
    assert sorted(path.name for path in containers.helpers.iterdir()) == ["attendant", "life", "true"]
    assert (containers.helpers / "true").stat().st_mode & 0o777 == 0o555


def test_nothing_can_start_before_everything_is_installed(containers: Containers) -> None:
    """The hook may be ended at any time, and is not repeated: a pod with half of the programs would wait for ever."""
    containers.supervisor()
    assert containers.start("attendant", "install", "/bin/true", "/bin/none").wait(PATIENCE) == 1
    assert not (containers.helpers / "attendant").exists()
