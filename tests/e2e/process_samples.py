"""Memory, descriptors and threads of each process of the suite and of launcher pods, each minute. Used by test_soak.py.

A series is of one process: a container that starts again, or another pod, begins a new one. asyncio's tasks are not
among it: no component exports their number.
"""

from __future__ import annotations

import os
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from tests.e2e.cluster import NAMESPACE, get
from tests.support.flatness import Sample
from tests.support.process_age import started

_PERIOD = 60.0  # seconds
_POD = re.compile(r"pod([0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12})")
_LAUNCHER = "virt-launcher"
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(slots=True)
class Series:
    """Of one process."""

    component: str
    program: str
    pod: str
    samples: list[Sample] = field(default_factory=list)


@dataclass(slots=True)
class Samples:
    """Everything that was seen."""

    series: dict[tuple[str, int, int], Series] = field(default_factory=dict)
    """By the pod's UID, PID and start."""

    leaves: dict[str, set[str]] = field(default_factory=dict)
    """Certificates that each Secret has had, as digests: whether they rotated."""

    missed: int = 0
    """Times that the API server did not answer."""

    def all(self) -> list[Series]:
        """A copy, which no later sample changes in size."""
        return list(self.series.values())

    def take(self) -> None:
        """One sample of each process."""
        try:
            pods = get("pods", "-A", "-l", "kubevirt.io")["items"]
            secrets = get("secrets", "-n", NAMESPACE)["items"]
        except (AssertionError, OSError):
            self.missed += 1
            return
        for secret in secrets:
            if leaf := (secret.get("data") or {}).get("tls.crt"):
                self.leaves.setdefault(secret["metadata"]["name"], set()).add(sha256(leaf.encode()).hexdigest())
        by_uid = {pod["metadata"]["uid"]: pod for pod in pods}
        loads = _loads(pods)
        for uid, pid in _processes():
            if uid in by_uid:
                with suppress(OSError, IndexError):  # it ended while we looked
                    self._add(by_uid[uid], pid, loads)

    def _add(self, pod: dict[str, Any], pid: int, loads: Counter[str]) -> None:
        component, name = pod["metadata"]["labels"]["kubevirt.io"], pod["metadata"]["name"]
        program = _program(Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"))
        if program == "pause":
            return
        start = started(pid)
        match component:
            case "virt-launcher":
                load = 1
            case "virt-handler":
                load = loads[pod["spec"]["nodeName"]]
            case _:
                load = loads.total()
        key = (pod["metadata"]["uid"], pid, start)
        series = self.series.setdefault(key, Series(component, program, name))
        series.samples.append(_sample(pid, start, load))


@contextmanager
def sampling(on_sample: Callable[[Samples], None]) -> Iterator[Samples]:
    """A sample each minute meanwhile, and one at the end. `on_sample` is called in the thread that samples."""
    samples, over = Samples(), threading.Event()

    def sample() -> None:
        while not over.wait(_PERIOD):
            samples.take()
            on_sample(samples)

    thread = threading.Thread(target=sample, name="samples")
    thread.start()
    try:
        yield samples
    finally:
        over.set()
        thread.join()
        samples.take()


def _loads(pods: list[dict[str, Any]]) -> Counter[str]:
    """Launcher pods that have not ended, by node."""
    launchers = (pod for pod in pods if pod["metadata"]["labels"]["kubevirt.io"] == _LAUNCHER)
    return Counter(
        pod["spec"].get("nodeName", "")
        for pod in launchers
        if pod["status"].get("phase") not in ("Succeeded", "Failed")
    )


def _processes() -> Iterator[tuple[str, int]]:
    """Pod UID and PID of all processes in pods."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                if found := _POD.search((entry / "cgroup").read_text()):
                    yield found[1].replace("_", "-"), int(entry.name)


def _program(argv: list[bytes]) -> str:
    """The program of a command line; of Python, the module. Raises IndexError for a process that ends."""
    words = [word.decode(errors="replace") for word in argv]
    program = Path(words[0].split(" ")[0]).name
    if not program:
        raise IndexError
    return words[words.index("-m") + 1] if program.startswith("python") and "-m" in words else program


def _sample(pid: int, start: int, load: int) -> Sample:
    proc = Path(f"/proc/{pid}")
    memory = dict.fromkeys(("Pss", "Anonymous"), 0.0)
    for line in (proc / "smaps_rollup").read_text().splitlines()[1:]:
        name, _, rest = line.partition(":")
        if name in memory:
            memory[name] = int(rest.split()[0]) / 1024
    status = re.search(r"^Threads:\s+(\d+)", (proc / "status").read_text(), re.M)
    assert status is not None
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    descriptors = len(list((proc / "fd").iterdir()))
    return Sample(uptime - start / _TICKS, load, memory["Pss"], memory["Anonymous"], descriptors, int(status[1]))
