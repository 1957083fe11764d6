"""The measured life of a cluster: machines are created and run, nodes fail, virt-controller restarts, all is deleted.
Called by the command; each run has a control plane of its own."""

from __future__ import annotations

import asyncio
import json
import math
import os
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from localcluster.settings import Cluster
from virt_core.conventions import components
from virt_core.kube.client import KubeClient
from virt_core.kube.resource import NODES, VIRTUAL_MACHINE_INSTANCES, VIRTUAL_MACHINES

from tests.bench.percentiles import summary
from tests.bench.scale import control_plane, kwok, suite
from tests.bench.scale.audit import Audit, per
from tests.bench.scale.control_plane import BENCH, ControlPlane
from tests.bench.scale.controller import Controller
from tests.bench.scale.crowd import each
from tests.bench.scale.fleet import Fleet
from tests.bench.scale.latency import Buckets, quantile, since

PER_NODE, FAILING_IN = 80, 20
"""Machines on a node, and of how many nodes one fails."""

_LONG, _QUIET = 1800.0, 5.0
_AFTER_RESTART = 20.0
_METRICS_KEPT = 6.0  # virt-controller gives the same answer for 5 s
Measured = dict[str, Any]


@dataclass
class Site:
    """What a run works with."""

    plane: ControlPlane
    client: KubeClient
    controller: Controller
    fleet: Fleet
    audit: Audit
    nodes: int

    async def waits(self) -> dict[str, Buckets]:
        """By queue, how long keys have waited until now."""
        await asyncio.sleep(_METRICS_KEPT)
        return await self.controller.waits()

    async def requests(self, machines: int) -> Measured:
        """Since the last call, per machine: those of virt-controller in sum and one by one, and those that play
        virt-handler."""
        await asyncio.sleep(_QUIET)
        counted = await self.audit.counted()
        own, other = (counted.get(name, Counter()) for name in (components.CONTROLLER, components.HANDLER))
        return {
            "virt-controller": round(own.total() / machines, 2),
            "virt-handler": round(other.total() / machines, 2),
            "of virt-controller": per(own, machines),
        }


@asynccontextmanager
async def site(machines: int) -> AsyncIterator[Site]:
    """A cluster with enough fake nodes, and virt-controller."""
    cluster, nodes = Cluster.load(), max(2, math.ceil(machines / PER_NODE))
    with control_plane.running(cluster) as plane:
        os.environ["KUBECONFIG"] = str(plane.kubeconfig(BENCH))
        async with KubeClient.connect(BENCH) as client:
            await suite.install(client)
            kwok.start(plane, cluster)
            await kwok.create_nodes(client, nodes)
            plane.parts.start(
                components.HANDLER,
                [sys.executable, "-m", "tests.bench.scale.handlers"],
                {"KUBECONFIG": str(plane.kubeconfig(components.HANDLER))},
            )
            controller = Controller(plane)
            await controller.start()
            async with asyncio.TaskGroup() as group, Fleet.followed(client) as fleet:
                beside = [
                    group.create_task(kwok.heartbeats(client, nodes), name="heartbeats"),
                    group.create_task(plane.parts.end(), name="end of a part"),
                ]
                await asyncio.sleep(_QUIET)
                yield Site(plane, client, controller, fleet, Audit(plane.audit_log), nodes)
                for task in beside:
                    task.cancel()


async def vmis(count: int, deleted: int) -> Measured:
    """VirtualMachineInstances from created to deleted, half of them and `deleted` at most, and the failure of nodes."""
    names = [f"vmi{number:05}" for number in range(count)]
    async with site(count) as here:
        found = await _life(here, names, here.fleet.create_vmis(names))
        gone = names[: min(count // 2, deleted)]
        found["deleted"] = _say("deleted", await _deleted(here, VIRTUAL_MACHINE_INSTANCES, gone))
        found["node failures"] = await _nodes_fail(here)
    return found


async def vms(count: int, deleted: int) -> Measured:
    """VirtualMachines that run from their creation until they are deleted, `deleted` of them at most."""
    names = [f"vm{number:05}" for number in range(count)]
    async with site(count) as here:
        found = await _life(here, names, here.fleet.create_vms(names))
        found["deleted"] = _say("deleted", await _deleted(here, VIRTUAL_MACHINES, names[:deleted]))
    return found


async def _life(here: Site, names: list[str], creation: Any) -> Measured:
    """Create them, and restart virt-controller when all run."""
    found: Measured = {"machines": len(names), "nodes": here.nodes, "memory_mb": {"none": here.controller.memory}}
    await here.audit.counted()
    found |= _say("created", await _created(here, names, creation))
    found["memory_mb"]["all run"] = here.controller.memory
    found["restart"] = _say("restart", await _restarted(here))
    found["memory_mb"]["restarted"] = here.controller.memory
    return found


async def _created(here: Site, names: list[str], creation: Any) -> Measured:
    """Create them; measured until all run."""
    waits = await here.waits()
    processors, began = here.plane.parts.processor_seconds(), time.monotonic()
    own = time.process_time()
    reporting = asyncio.create_task(_report(here.fleet, len(names)), name="report")
    try:
        await creation
        created = time.monotonic() - began
        await here.fleet.until(lambda: here.fleet.phases["Running"] == len(names), "all to run", _LONG)
    finally:
        reporting.cancel()
    took = time.monotonic() - began
    used = {name: seconds - processors.get(name, 0.0) for name, seconds in here.plane.parts.processor_seconds().items()}
    used[BENCH] = time.process_time() - own
    waited = since(waits, await here.waits())
    return {
        "seconds": {"created": round(created, 1), "all run": round(took, 1)},
        "per second": round(len(names) / took, 1),
        "seconds to Running": summary(here.fleet.starts),
        "processor_ms_per_machine": {name: round(seconds * 1000 / len(names), 2) for name, seconds in used.items()},
        "queue_p99_seconds": {name: round(quantile(found, 0.99), 4) for name, found in waited.items()},
        "requests": await here.requests(len(names)),
    }


def _say(what: str, found: Measured) -> Measured:
    """Print what is known already: a run takes minutes."""
    print(f"  {what}: {json.dumps(found)}", flush=True)
    return found


async def _report(fleet: Fleet, count: int) -> None:
    while True:
        await asyncio.sleep(10)
        print(f"  {count}: {dict(+fleet.phases)}", flush=True)


async def _restarted(here: Site) -> Measured:
    """Kill the controller: until the next one has read everything, and what it then writes."""
    seconds = await here.controller.restart()
    await asyncio.sleep(_AFTER_RESTART)
    own = (await here.audit.counted()).get(components.CONTROLLER, Counter())
    return {"seconds to synced": round(seconds, 2), "requests": dict(own)}


async def _deleted(here: Site, resource: Any, names: list[str]) -> Measured:
    before, waits = here.fleet.size, await here.waits()
    began = time.monotonic()
    await here.fleet.delete(resource, names)
    await here.fleet.until(lambda: here.fleet.size <= before - len(names), "them to go", _LONG)
    took = time.monotonic() - began
    waited = since(waits, await here.waits())
    return {
        "machines": len(names),
        "seconds": round(took, 1),
        "per second": round(len(names) / took, 1),
        "queue_p99_seconds": {name: round(quantile(found, 0.99), 4) for name, found in waited.items()},
        "requests": await here.requests(len(names)),
    }


async def _nodes_fail(here: Site) -> Measured:
    """Some kubelets die, with their nodes' handlers; then these nodes are deleted."""
    here.plane.start_manager()
    await asyncio.sleep(_QUIET)
    failing = [kwok.node_name(number) for number in range(0, here.nodes, FAILING_IN)]
    nodes, fleet = set(failing), here.fleet
    affected = fleet.on(nodes)
    waits = await here.waits()
    await here.audit.counted()
    await kwok.abandon(here.client, failing)
    first = await fleet.until(lambda: bool(fleet.on(nodes, ready=False)), "a node to fail", 120)
    reported = await fleet.until(lambda: not fleet.on(nodes, ready=True), "all to be not ready", 300)
    requests = await here.requests(max(1, len(affected)))

    async def delete(name: str) -> None:
        await here.client.delete(NODES, None, name)

    await each(delete, failing)
    failed = await fleet.until(lambda: all(fleet.phase(name) == "Failed" for name in affected), "them to fail", 300)
    waited = since(waits, await here.waits())
    return {
        "nodes": len(failing),
        "machines": len(affected),
        "seconds until the first is reported": round(first, 1),
        "seconds from the first to the last": round(reported, 1),
        "seconds until all have failed, nodes deleted": round(failed, 1),
        "queue_p99_seconds": {name: round(quantile(found, 0.99), 4) for name, found in waited.items()},
        "requests until reported": requests,
        "requests until failed": await here.requests(max(1, len(affected))),
        "alive": Counter(fleet.phases),
    }
