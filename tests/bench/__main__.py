"""`make bench`: how long the suite takes to be installed, how long a VMI takes from created to Running, stage by stage,
what each process weighs, and what an idle suite asks of the API server. `python -m tests.bench idle` is one of them.

Moments come from one watch (arrival at this client) and from the handler's log (its own clock, the same machine).
Prints tables, writes build/bench.json. Nothing here passes or fails.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from virt_core.kube.client import KubeClient
from virt_core.kube.resource import PODS, VIRTUAL_MACHINE_INSTANCES, Resource

from tests.bench.idle import idle
from tests.bench.installation import installation
from tests.e2e.cluster import NAMESPACE, get, kubectl, processes
from tests.e2e.guests import running

ROUNDS = 10
OUT = Path("build/bench.json")
STAGES = ("scheduled", "launcher answers", "network ready", "guest runs", "Running")


def guestless(name: str) -> dict[str, Any]:
    """A machine without disk or kernel, 64 Mi: KubeVirt's guestless VMI."""
    domain = {"devices": {}, "memory": {"guest": "64Mi"}}
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachineInstance",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"terminationGracePeriodSeconds": 0, "domain": domain},
    }


async def first_moment(client: KubeClient, resource: Resource, holds: Callable[[dict[str, Any]], bool]) -> float:
    """When the first object that holds arrived by watch."""
    path = resource.path("default")
    async with client.stream(path, {"watch": "1", "resourceVersion": "0"}, deadline=120.0) as body:
        while line := await body.readline():
            if holds(json.loads(line)["object"]):
                return time.time()
    raise AssertionError(f"the watch of {resource.plural} ended")


async def start_once(client: KubeClient, name: str) -> dict[str, float]:
    """Seconds from creation to each stage."""

    def scheduled(pod: dict[str, Any]) -> bool:
        return pod["metadata"].get("annotations", {}).get("kubevirt.io/domain") == name and "nodeName" in pod["spec"]

    def is_running(vmi: dict[str, Any]) -> bool:
        return vmi["metadata"]["name"] == name and vmi.get("status", {}).get("phase") == "Running"

    async with asyncio.TaskGroup() as group:
        pod = group.create_task(first_moment(client, PODS, scheduled), name="pod")
        vmi = group.create_task(first_moment(client, VIRTUAL_MACHINE_INSTANCES, is_running), name="vmi")
        created = time.time()
        body = guestless(name)
        await client.create(VIRTUAL_MACHINE_INSTANCES, "default", body)
    moments = {"scheduled": pod.result() - created, "Running": vmi.result() - created}
    names = {
        "following the launcher": "launcher answers",
        "starting the machine": "network ready",
        "writing the status": "guest runs",
    }
    for line in handler_log():
        if line.get("vmi") == f"default/{name}" and line["msg"] in names:
            moments[names[line["msg"]]] = datetime.fromisoformat(line["timestamp"]).timestamp() - created
    await asyncio.to_thread(kubectl, "delete", "vmi", name, "--wait", "--timeout=60s")
    return moments


def handler_log() -> list[dict[str, Any]]:
    """The last lines of all handlers."""
    text = kubectl("-n", NAMESPACE, "logs", "-l", "kubevirt.io=virt-handler", "--since=120s", "--tail=-1")
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


async def start_all() -> list[dict[str, float]]:
    """`ROUNDS` machines, one after the other."""
    async with KubeClient.connect("bench") as client:
        return [await start_once(client, f"bench{number}") for number in range(ROUNDS)]


def memory() -> dict[str, float]:
    """PSS in MiB by process: of the suite's pods, and the mean of four launcher pods on one node."""
    bodies = [guestless(f"weight{number}") for number in range(4)]
    for body in bodies:
        body["spec"]["nodeSelector"] = {"kubernetes.io/hostname": "node1"}
    weights: dict[str, list[float]] = {}
    with running(*bodies):
        pods = get("pods", "-n", NAMESPACE)["items"] + get("pods", "-l", "kubevirt.io=virt-launcher")["items"]
        for pod in pods:
            component = pod["metadata"]["labels"].get("kubevirt.io", pod["metadata"]["name"])
            for process in processes(pod["metadata"]["uid"]):
                weights.setdefault(f"{component}: {short(process.command)}", []).append(pss(process.pid))
    return {name: round(statistics.mean(values), 1) for name, values in sorted(weights.items())}


def short(command: str) -> str:
    """The program of a command line."""
    words = command.split()
    program = Path(words[0]).name
    return f"{program} {words[2]}" if program.startswith("python") and len(words) > 2 else program


def pss(pid: int) -> float:
    """Proportional set size in MiB."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return 0.0


def starts() -> dict[str, dict[str, float]]:
    """Each stage of a VMI's start."""
    found = asyncio.run(start_all())
    print(f"\nVMI created → stage, guestless, 64 Mi, {ROUNDS} in sequence, seconds")
    table = {}
    for stage in STAGES:
        values = sorted(start[stage] for start in found if stage in start)
        table[stage] = {"min": values[0], "median": statistics.median(values), "max": values[-1]}
        print(f"  {stage:18} min {values[0]:5.2f}  median {statistics.median(values):5.2f}  max {values[-1]:5.2f}")
    return table


def weights() -> dict[str, float]:
    """Memory by process."""
    found = memory()
    print("PSS by process, four VMs on the node, MiB")
    for name, weight in found.items():
        print(f"  {name:48} {weight:7.1f}")
    return found


PARTS = ("installation", "starts", "weights", "idle")


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; default all")
    parser.add_argument("--idle-seconds", type=float, default=600.0)
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - set(PARTS):
        parser.error(f"PART: {sorted(unknown)} is not among {', '.join(PARTS)}")
    measure: dict[str, Callable[[], Any]] = {
        "installation": installation,
        "starts": starts,
        "weights": weights,
        "idle": lambda: idle(arguments.idle_seconds),
    }
    names = {"installation": "installation_seconds", "starts": "start_seconds", "weights": "pss_mib", "idle": "idle"}
    OUT.parent.mkdir(exist_ok=True)
    measured = json.loads(OUT.read_text()) if OUT.exists() else {}
    for part in arguments.parts or PARTS:
        measured[names[part]] = measure[part]()
        OUT.write_text(json.dumps(measured, indent=1))


if __name__ == "__main__":
    main()
