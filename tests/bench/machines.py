"""How long machines take: created to Running stage by stage, deleted to gone, ten at once; and what our components ask
of the API server for one. `python -m tests.bench starts burst`.

Moments come from one watch (arrival at this client) and from the handler's log (its own clock, the same machine).
"""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from virt_core.kube.client import KubeClient
from virt_core.kube.resource import PODS, VIRTUAL_MACHINE_INSTANCES, Resource

from tests.e2e.audit import Request, requests
from tests.e2e.cluster import NAMESPACE, kubectl

ROUNDS = 10
STAGES = ("scheduled", "launcher answers", "network ready", "guest runs", "Running", "deleted to gone")
_DEADLINE = 120.0
# The API server writes a request into its log when it has answered it.
_LOG_SECONDS = 2.0

Event = dict[str, Any]


def guestless(name: str) -> dict[str, Any]:
    """A machine without disk or kernel, 64 Mi: KubeVirt's guestless VMI."""
    domain = {"devices": {}, "memory": {"guest": "64Mi"}}
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachineInstance",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"terminationGracePeriodSeconds": 0, "domain": domain},
    }


class Moments:
    """When events that hold arrived by watch."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Callable[[Event], bool], asyncio.Future[float]]] = []

    def first(self, holds: Callable[[Event], bool]) -> asyncio.Future[float]:
        """The moment of the first event from now on that holds."""
        future: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._waiting.append((holds, future))
        return future

    def arrived(self, event: Event) -> None:
        for holds, future in self._waiting:
            if not future.done() and holds(event):
                future.set_result(time.time())
        self._waiting = [waiter for waiter in self._waiting if not waiter[1].done()]


@asynccontextmanager
async def watched(client: KubeClient, resource: Resource) -> AsyncIterator[Moments]:
    """Follow `resource` in the default namespace."""
    moments, open_ = Moments(), asyncio.Event()

    async def follow() -> None:
        query = {"watch": "1", "resourceVersion": "0"}
        async with client.stream(resource.path("default"), query, deadline=900.0) as body:
            open_.set()
            while line := await body.readline():
                moments.arrived(json.loads(line))

    task = asyncio.create_task(follow(), name=f"watch of {resource.plural}")
    await open_.wait()
    try:
        yield moments
    finally:
        task.cancel()
        await asyncio.wait([task])


def _scheduled(name: str) -> Callable[[Event], bool]:
    def holds(event: Event) -> bool:
        pod = event["object"]
        return pod["metadata"].get("annotations", {}).get("kubevirt.io/domain") == name and "nodeName" in pod["spec"]

    return holds


def _running(name: str) -> Callable[[Event], bool]:
    def holds(event: Event) -> bool:
        vmi = event["object"]
        return bool(vmi["metadata"]["name"] == name and vmi.get("status", {}).get("phase") == "Running")

    return holds


def _gone(name: str) -> Callable[[Event], bool]:
    return lambda event: event["type"] == "DELETED" and event["object"]["metadata"]["name"] == name


async def _once(client: KubeClient, vmis: Moments, pods: Moments, name: str) -> dict[str, float]:
    """Seconds from creation to each stage, and from deletion to gone."""
    scheduled, is_running, gone = pods.first(_scheduled(name)), vmis.first(_running(name)), vmis.first(_gone(name))
    created = time.time()
    await client.create(VIRTUAL_MACHINE_INSTANCES, "default", guestless(name))
    async with asyncio.timeout(_DEADLINE):
        found = {"Running": await is_running - created, "scheduled": await scheduled - created}
        found |= await asyncio.to_thread(_seen_by_handler, name, created)
        deleted = time.time()
        await client.delete(VIRTUAL_MACHINE_INSTANCES, "default", name)
        found["deleted to gone"] = await gone - deleted
    return found


def _seen_by_handler(name: str, created: float) -> dict[str, float]:
    names = {
        "following the launcher": "launcher answers",
        "starting the machine": "network ready",
        "writing the status": "guest runs",
    }
    return {
        names[line["msg"]]: datetime.fromisoformat(line["timestamp"]).timestamp() - created
        for line in _handler_log()
        if line.get("vmi") == f"default/{name}" and line["msg"] in names
    }


def _handler_log() -> list[dict[str, Any]]:
    """The last lines of all handlers."""
    text = kubectl("-n", NAMESPACE, "logs", "-l", "kubevirt.io=virt-handler", "--since=120s", "--tail=-1")
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


async def _in_sequence() -> list[dict[str, float]]:
    async with (
        KubeClient.connect("bench") as client,
        watched(client, VIRTUAL_MACHINE_INSTANCES) as vmis,
        watched(client, PODS) as pods,
    ):
        return [await _once(client, vmis, pods, f"bench{number}") for number in range(ROUNDS)]


def starts() -> dict[str, Any]:
    """`ROUNDS` machines, one after the other."""
    began = datetime.now(UTC)
    found = asyncio.run(_in_sequence())
    print(f"\nVMI created → stage, guestless, 64 Mi, {ROUNDS} in sequence, seconds")
    table: dict[str, Any] = {}
    for stage in STAGES:
        values = sorted(start[stage] for start in found if stage in start)
        table[stage] = {"min": values[0], "median": statistics.median(values), "max": values[-1]}
        print(f"  {stage:18} min {values[0]:5.2f}  median {statistics.median(values):5.2f}  max {values[-1]:5.2f}")
    time.sleep(_LOG_SECONDS)
    return {**table, "requests": requests_for_machines(began, ROUNDS)}


def requests_for_machines(began: datetime, machines: int) -> dict[str, float]:
    """Requests of our components since `began` per machine, including events."""
    counts = Counter(
        f"{request.account} {request.verb} {request.resource}" for request in requests(began) if of_machine(request)
    )
    print(f"requests of our components per VMI created and deleted: {sum(counts.values()) / machines:.1f}")
    for what, count in counts.most_common():
        print(f"  {what:70} {count / machines:5.1f}")
    return {what: count / machines for what, count in counts.items()}


def of_machine(request: Request) -> bool:
    """Whether a request is about somebody's machine; watches and lists are about all of them."""
    return request.namespace not in ("", NAMESPACE) and request.verb not in ("watch", "list")


async def _at_once() -> dict[str, float]:
    names = [f"burst{number}" for number in range(ROUNDS)]
    async with KubeClient.connect("bench") as client, watched(client, VIRTUAL_MACHINE_INSTANCES) as vmis:
        is_running, gone = [vmis.first(_running(name)) for name in names], [vmis.first(_gone(name)) for name in names]
        created = time.time()
        await asyncio.gather(*(client.create(VIRTUAL_MACHINE_INSTANCES, "default", guestless(name)) for name in names))
        async with asyncio.timeout(_DEADLINE):
            found = {"all Running": max(await asyncio.gather(*is_running)) - created}
            deleted = time.time()
            await asyncio.gather(*(client.delete(VIRTUAL_MACHINE_INSTANCES, "default", name) for name in names))
            found["all gone"] = max(await asyncio.gather(*gone)) - deleted
    return found


def burst() -> dict[str, float]:
    """`ROUNDS` machines at once."""
    found = asyncio.run(_at_once())
    print(f"{ROUNDS} guestless VMIs at once, seconds: " + ", ".join(f"{what} {s:.2f}" for what, s in found.items()))
    return found


def idle_machine(seconds: float) -> dict[str, Any]:
    """Requests of our components for an idle running machine."""
    kubectl("apply", "-f", "-", stdin=json.dumps(guestless("idle")))
    try:
        kubectl("wait", "vmi", "idle", "--for=jsonpath={.status.phase}=Running", "--timeout=60s")
        time.sleep(5.0)  # the last words about its start
        began = datetime.now(UTC)
        print(f"counting the requests for an idle machine for {seconds:.0f} s", flush=True)
        time.sleep(seconds + _LOG_SECONDS)
        found = [request for request in requests(began, began + timedelta(seconds=seconds)) if of_machine(request)]
    finally:
        kubectl("delete", "vmi", "idle", "--wait", "--timeout=60s")
    print(f"requests of our components for an idle VMI in {seconds:.0f} s: {len(found)}")
    for request in found:
        print(f"  {request}")
    return {"seconds": seconds, "requests": len(found)}
