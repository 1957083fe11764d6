"""VirtualMachines: how long a start takes for its user and until the guest runs, what each part of a life asks of the
API server, and what a thousand of them cost. `python -m tests.bench vm-lives vms`.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from tests.bench.memory import pss
from tests.bench.percentiles import milliseconds, summary
from tests.e2e.audit import Request, requests
from tests.e2e.cluster import NAMESPACE, get, process
from tests.e2e.controller_restart import restarted_controllers
from tests.e2e.vm_fleet import Fleet, guestless_vm

LIVES = 20
MANY, MANY_STARTED = 1000, 20
_WEIGHED = 100
# The API server writes a request into its log when it has answered it.
_LOG_SECONDS = 3.0
_REVIEWS = "subjectaccessreviews"
LIFE = ("created", "started", "stopped", "deleted")
SECOND_LIFE = ("started again", "stopped again")
RUNNING_LIFE = ("created, runs", "deleted, ran")
TOTALS = {
    "created, started, stopped, deleted": LIFE,
    "created with runStrategy Always until it runs": RUNNING_LIFE[:1],
    "created with runStrategy Always, deleted": RUNNING_LIFE,
}
"""What is added up, by the phases of a life."""

Body = dict[str, Any]


def vm_lives() -> Body:
    """`LIVES` machines, all created, then each started, then each stopped, the same again, then each deleted. Then as
    many that run from their creation until they are deleted."""
    return asyncio.run(_lives())


async def _lives() -> Body:
    began = datetime.now(UTC)
    names = [f"life{number}" for number in range(LIVES)]
    others = [f"runs{number}" for number in range(LIVES)]
    async with Fleet.in_namespace("bench-vms") as fleet:
        moments: dict[str, datetime] = {}
        answered: dict[str, list[float]] = {"start": [], "stop": []}
        running: list[float] = []

        async def create(name: str) -> None:
            await fleet.create(guestless_vm(name))
            await fleet.until_reported([name], "Stopped")

        async def start(name: str) -> None:
            requested = time.monotonic()
            await fleet.request(name, "start")
            answered["start"].append(time.monotonic() - requested)
            await fleet.until_reported([name], "Running")
            running.append(fleet.ran[fleet.uids[name][-1]] - requested)

        async def stop(name: str) -> None:
            requested = time.monotonic()
            await fleet.request(name, "stop")
            answered["stop"].append(time.monotonic() - requested)
            await fleet.until(lambda: name not in fleet.vmis, f"{name} to stop")
            await fleet.until_reported([name], "Stopped")

        async def delete(name: str) -> None:
            await fleet.delete(name)

        async def create_running(name: str) -> None:
            await fleet.create(guestless_vm(name, "Always"))
            await fleet.until_reported([name], "Running")

        *lives, last = LIFE
        phases = (*lives, *SECOND_LIFE, last)
        for phase, act in zip(phases, (create, start, stop, start, stop, delete), strict=True):
            moments[phase] = await _each(names, act)
        for phase, act in zip(RUNNING_LIFE, (create_running, delete), strict=True):
            moments[phase] = await _each(others, act)
    found = {f"{verb} answered": summary(values) for verb, values in answered.items()}
    found["start to Running"] = summary(running)
    print(f"\nVirtualMachines, guestless, 64 Mi, {LIVES} in sequence, milliseconds")
    for what, values in found.items():
        print(f"  {what:20} {milliseconds(values)}")
    return {"seconds": found, "requests": _requests(fleet.namespace, began, moments)}


async def _each(names: list[str], act: Callable[[str], Awaitable[None]]) -> datetime:
    """One after the other; returns the moment when everything about the last is said."""
    for name in names:
        await act(name)
    await asyncio.sleep(_LOG_SECONDS)
    return datetime.now(UTC)


def _requests(namespace: str, began: datetime, moments: dict[str, datetime]) -> dict[str, dict[str, float]]:
    """Requests of our components per machine in each phase, watches and lists left out."""
    table: dict[str, dict[str, float]] = {}
    for phase, until in moments.items():
        counts = Counter(_what(request) for request in requests(began, until) if _is_about(namespace, request))
        table[phase] = {what: count / LIVES for what, count in counts.most_common()}
        began = until
    print("requests of our components per VirtualMachine")
    for what, phases in TOTALS.items():
        counted = [(text, count) for phase in phases for text, count in table[phase].items()]
        events = sum(count for text, count in counted if text.endswith(" create events"))
        print(f"  {what}: {sum(count for _, count in counted):.1f}, of which events {events:.1f}")
    for phase, row in table.items():
        print(f"  {phase}: {sum(row.values()):.1f}")
        for what, count in row.items():
            print(f"    {what:74} {count:5.2f}")
    return table


def _is_about(namespace: str, request: Request) -> bool:
    """A review of access has no namespace of its own; nobody else uses subresources during a bench."""
    is_review = request.resource == _REVIEWS and request.account == "kubevirt-apiserver"
    return is_review or (request.namespace == namespace and request.verb not in ("watch", "list"))


def _what(request: Request) -> str:
    refused = f" answered {request.code}" if request.code >= 300 else ""
    return f"{request.account} {request.verb} {request.resource}{refused}"


def vms() -> Body:
    """`MANY` halted machines, of which `MANY_STARTED` are started; the controller starts again."""
    return asyncio.run(_many())


async def _many() -> Body:
    print(f"{MANY} VirtualMachines, {MANY_STARTED} of them started: a few minutes", flush=True)
    found: Body = {"machines": MANY, "pss_mib": {"before": await asyncio.to_thread(_weights)}}
    names = [f"many{number:04}" for number in range(MANY)]
    async with Fleet.in_namespace("bench-many-vms") as fleet:
        began, moment = datetime.now(UTC), time.monotonic()
        await fleet.create(*(guestless_vm(name) for name in names[:_WEIGHED]))
        await fleet.until_reported(names[:_WEIGHED], "Stopped")
        found["pss_mib"][f"{_WEIGHED} halted"] = await asyncio.to_thread(_weights)
        weighed = time.monotonic()
        await fleet.create(*(guestless_vm(name) for name in names[_WEIGHED:]))
        found["seconds"] = {f"{MANY - _WEIGHED} created": time.monotonic() - weighed}
        await fleet.until_reported(names, "Stopped", 300)
        found["seconds"][f"{MANY - _WEIGHED} created and reported"] = time.monotonic() - weighed
        found["seconds"][f"all {MANY}"] = time.monotonic() - moment
        print(f"  all are there after {found['seconds'][f'all {MANY}']:.0f} s", flush=True)
        await asyncio.sleep(_LOG_SECONDS)
        counts = Counter(_what(request) for request in requests(began) if _is_about(fleet.namespace, request))
        found["requests per machine created"] = {what: count / MANY for what, count in counts.items()}
        found["pss_mib"][f"{MANY} halted"] = await asyncio.to_thread(_weights)
        started = names[:MANY_STARTED]
        moment = time.monotonic()
        await asyncio.gather(*(fleet.request(name, "start") for name in started))
        await fleet.until_reported(started, "Running", 300)
        found["seconds"][f"{MANY_STARTED} started at once, Running"] = time.monotonic() - moment
        print(f"  {MANY_STARTED} run after {time.monotonic() - moment:.1f} s", flush=True)
        await asyncio.sleep(10.0)  # the last events about their starts
        found["pss_mib"][f"{MANY} of which {MANY_STARTED} run"] = await asyncio.to_thread(_weights)
        began = datetime.now(UTC)
        found["seconds"]["controller killed, next one synced"] = await asyncio.to_thread(restarted_controllers)
        await asyncio.sleep(30.0)
        written = [request for request in requests(began) if request.namespace == fleet.namespace]
        found["requests after its restart"] = [str(request) for request in written]
        found["pss_mib"]["after its restart"] = await asyncio.to_thread(_weights)
        print(f"  PSS, MiB: {found['pss_mib']}", flush=True)
        print(f"  requests after a restart of virt-controller: {len(written)}, deleting all", flush=True)
        moment = time.monotonic()
        await fleet.delete()
        found["seconds"]["all deleted"] = time.monotonic() - moment
    _print_many(found)
    return found


def _print_many(found: Body) -> None:
    print(f"\n{MANY} halted VirtualMachines, {MANY_STARTED} of them started on two nodes")
    for what, seconds in found["seconds"].items():
        print(f"  {what:40} {seconds:7.1f} s")
    for what, count in found["requests per machine created"].items():
        print(f"  {what:70} {count:5.2f} for each that is created")
    for when, weights in found["pss_mib"].items():
        print(f"  PSS, MiB, {when:28} " + "  ".join(f"{name} {weight:.1f}" for name, weight in weights.items()))
    print(
        f"  requests about them in 30 s after a restart of virt-controller: {len(found['requests after its restart'])}"
    )
    for request in found["requests after its restart"][:20]:
        print(f"    {request}")


def _weights() -> dict[str, float]:
    """PSS of the heaviest replica of virt-api and of virt-controller, and of the leading controller."""
    leader = get("lease", "virt-controller", "-n", NAMESPACE)["spec"]["holderIdentity"]
    found: dict[str, float] = {}
    for component in ("virt-api", "virt-controller"):
        for pod in get("pods", "-n", NAMESPACE, "-l", f"kubevirt.io={component}")["items"]:
            if running := process(pod["metadata"]["uid"], component.replace("-", "_")):
                name = f"{component} leading" if pod["metadata"]["name"] == leader else component
                found[name] = max(found.get(name, 0.0), pss(running.pid))
    return found
