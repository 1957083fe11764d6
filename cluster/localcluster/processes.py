"""The cluster's processes: starts them detached, checks whether they are alive, stops them. Knows no Kubernetes.

A part has a PID file with PID and start time, so that a reused PID is recognized. Each process also has the variable
MARK in its environment, by which strays without a PID file are found.
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
    """A process, unique in time: start_time is in clock ticks since boot (proc_pid_stat(5), field 22)."""

    pid: int
    start_time: int


def parse_stat(stat: str) -> tuple[str, int]:
    """State letter and start time from /proc/PID/stat, whose command name may contain blanks and parentheses."""
    fields = stat.rpartition(")")[2].split()
    return fields[0], int(fields[19])


def parent(stat: str) -> int:
    """The parent's PID from /proc/PID/stat."""
    return int(stat.rpartition(")")[2].split()[1])


def identify(pid: int) -> Identity | None:
    """The process with this PID; None if there is none or it is a zombie."""
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
    """Write the part's PID file, unless the process has ended already."""
    found = identify(pid)
    if found is not None:
        cluster.pid_file(part).write_text(f"{found.pid} {found.start_time}\n")


def environment(cluster: Cluster) -> dict[str, str]:
    """This process's environment with the mark added."""
    return {**os.environ, MARK: str(cluster.state)}


def start(cluster: Cluster, part: str, argv: Sequence[str]) -> None:
    """Start a part in a new session, with its output in its log; the previous log is kept as *.log.1."""
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
    """Signal all processes and wait until they have ended. Raises TimeoutError if one does not."""
    handles: dict[int, Identity] = {}
    try:
        for identity in found:
            try:
                handle = os.pidfd_open(identity.pid)
            except ProcessLookupError:
                continue
            handles[handle] = identity
            if identify(identity.pid) == identity:
                with suppress(ProcessLookupError):  # ended together with a process that was signalled before
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
    """Every process of this cluster by its mark, including strays."""
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
