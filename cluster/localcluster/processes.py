"""The processes of the cluster: start detached, tell whether alive, stop. Knows nothing of Kubernetes.

A part is known by its PID file, which holds PID and start time, so that a PID used anew is never taken for ours.
Each process also carries the variable MARK in its environment, by which strays without a PID file are found.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from localcluster.settings import Cluster

MARK = "LOCAL_CLUSTER_PART_OF"
PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Identity:
    """A process, for ever: start_time is in clock ticks since boot (proc_pid_stat(5), field 22)."""

    pid: int
    start_time: int


def parse_stat(stat: str) -> tuple[str, int]:
    """State letter and start time from /proc/PID/stat; the command's name in it may hold blanks and brackets."""
    fields = stat.rpartition(")")[2].split()
    return fields[0], int(fields[19])


def parent(stat: str) -> int:
    """The parent's PID from /proc/PID/stat."""
    return int(stat.rpartition(")")[2].split()[1])


def identify(pid: int) -> Identity | None:
    """Who has this PID now; None when nobody or only a zombie has."""
    try:
        state, start_time = parse_stat((PROC / str(pid) / "stat").read_text())
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if state in "ZX" else Identity(pid, start_time)


def alive(cluster: Cluster, part: str) -> Identity | None:
    """The part's process if it runs."""
    try:
        pid, start_time = map(int, cluster.pid_file(part).read_text().split())
    except (FileNotFoundError, ValueError):
        return None
    found = identify(pid)
    return found if found == Identity(pid, start_time) else None


def record(cluster: Cluster, part: str, pid: int) -> None:
    """Write the part's PID file; a process that is gone already leaves none."""
    found = identify(pid)
    if found is not None:
        cluster.pid_file(part).write_text(f"{found.pid} {found.start_time}\n")


def environment(cluster: Cluster) -> dict[str, str]:
    """Ours plus the mark."""
    return {**os.environ, MARK: str(cluster.state)}


def start(cluster: Cluster, part: str, argv: Sequence[str]) -> None:
    """Start a part in a session of its own, its output in its log; the log before is kept as *.log.1."""
    log = cluster.log(part)
    if log.exists():
        log.replace(log.with_suffix(".log.1"))
    with log.open("wb") as output:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            cwd=cluster.state,
            env=environment(cluster),
        )
    _await_environment(process.pid)
    record(cluster, part, process.pid)


def _await_environment(pid: int) -> None:
    """Return when the process can be found by its mark: the kernel shows its environment a moment after exec begins."""
    while identify(pid) is not None and not _environment_of(pid):
        os.sched_yield()


def _environment_of(pid: int) -> bytes:
    try:
        return (PROC / str(pid) / "environ").read_bytes()
    except OSError:
        return b""


def kill(found: Sequence[Identity], signal_number: int = signal.SIGKILL, seconds: float = 10) -> None:
    """Signal all at once and wait until each has ended. Raises TimeoutError when one does not."""
    handles: dict[int, Identity] = {}
    try:
        for identity in found:
            try:
                handle = os.pidfd_open(identity.pid)
            except ProcessLookupError:
                continue
            handles[handle] = identity
            if identify(identity.pid) == identity:
                with suppress(ProcessLookupError):  # ended with another that was signalled before
                    signal.pidfd_send_signal(handle, signal_number)
        waiter = select.poll()
        for handle in handles:
            waiter.register(handle, select.POLLIN)
        left = dict(handles)
        while left:
            ended = waiter.poll(seconds * 1000)
            if not ended:
                raise TimeoutError(f"processes {sorted(i.pid for i in left.values())} did not end in {seconds} s")
            for handle, _ in ended:
                waiter.unregister(handle)
                del left[handle]
    finally:
        for handle in handles:
            os.close(handle)


def marked(cluster: Cluster) -> list[Identity]:
    """Every process of this cluster that the host sees by its mark, strays included."""
    mark = f"{MARK}={cluster.state}".encode()
    found = []
    for entry in PROC.iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        environ = _environment_of(int(entry.name)).split(b"\0")
        identity = identify(int(entry.name)) if mark in environ else None
        if identity is not None:
            found.append(identity)
    return found
