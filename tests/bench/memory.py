"""Memory of each process of the suite, of all of them, and of launcher pods with their containerd shims.
`python -m tests.bench weights`."""

from __future__ import annotations

import re
import statistics
from pathlib import Path

from tests.bench.machines import guestless
from tests.e2e.cluster import NAMESPACE, get, processes
from tests.e2e.guests import running

MACHINES = 10
BESIDES = "virt-launcher pod besides QEMU, shim included"
SUITE = "the suite's {} processes, sum"
_NOT_OURS = re.compile(": (pause|containerd-shim)")


def weights() -> dict[str, float]:
    """Memory by process, half of `MACHINES` guestless machines being on each of two nodes."""
    found = _measure()
    print(f"PSS by process, {MACHINES} VMs on two nodes, MiB: mean")
    for name, weight in found.items():
        print(f"  {name:48} {weight:7.1f}")
    return found


def _measure() -> dict[str, float]:
    bodies = [guestless(f"weight{number}") for number in range(MACHINES)]
    for number, body in enumerate(bodies):
        body["spec"]["nodeSelector"] = {"kubernetes.io/hostname": f"node{1 + number % 2}"}
    weighed: dict[str, list[float]] = {}
    suite: list[float] = []
    with running(*bodies):
        launchers = get("pods", "-l", "kubevirt.io=virt-launcher")["items"]
        for pod in get("pods", "-n", NAMESPACE)["items"] + launchers:
            component = pod["metadata"]["labels"].get("kubevirt.io", pod["metadata"]["name"])
            parts = {f"{component}: {name}": weight for name, weight in _parts(pod["metadata"]["uid"])}
            if component == "virt-launcher":
                parts[BESIDES] = sum(weight for name, weight in parts.items() if "qemu-system" not in name)
            else:
                suite += [weight for name, weight in parts.items() if not _NOT_OURS.search(name)]
            for name, weight in parts.items():
                weighed.setdefault(name, []).append(weight)
    means = {name: round(statistics.mean(values), 1) for name, values in sorted(weighed.items())}
    return {**means, SUITE.format(len(suite)): round(sum(suite), 1)}


def _parts(pod_uid: str) -> list[tuple[str, float]]:
    """Name and weight of each process of a pod, of its pause process and its shim."""
    found = {process.pid: process.command for process in processes(pod_uid)}
    parents = {_parent(pid) for pid in found}
    shims = {pid for pid in parents if "containerd-shim" in _command(pid)}
    found |= {pid: _command(pid) for pid in shims}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and _parent(int(entry.name)) in shims:
            found.setdefault(int(entry.name), _command(int(entry.name)))
    return [(_short(command), pss(pid)) for pid, command in found.items()]


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _short(command: str) -> str:
    """The program of a command line; of Python, the module."""
    words = command.split()
    program = Path(words[0]).name if words else "?"
    if program.startswith("python") and "-m" in words:
        return f"python -m {words[words.index('-m') + 1]}"
    return program


def pss(pid: int) -> float:
    """Proportional set size in MiB."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return 0.0
