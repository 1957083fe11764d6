"""Which of several processes is older. PIDs do not say it: after the largest one, the kernel begins at 300 again."""

from __future__ import annotations

from pathlib import Path

_START = 19  # field 22 of proc_pid_stat(5), counted behind the name, which may contain spaces


def started(pid: int) -> int:
    """When the process was started, in clock ticks since the machine was. Raises OSError if it is gone."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[_START])
