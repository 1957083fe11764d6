"""Live migrations: how long a guest takes to another node, how long nobody answers meanwhile, what the move asks of the
API server, and how long a node with six guests takes to drain. `python -m tests.bench migrations`.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from tests.bench.percentiles import percentile
from tests.e2e.audit import Request, requests
from tests.e2e.claims import shared_claim
from tests.e2e.cluster import kubectl, until
from tests.e2e.draining import drain, drainable, on, remove_migrations
from tests.e2e.guest_shell import Shell, disk
from tests.e2e.guests import Guest, booting_from_disk, disk_manifest, image, observed, running
from tests.e2e.migrations import asked, launchers, migratable, migrate

MOVES, DRAINED = 20, 6
GUEST, CLAIM = "bench-mover", "bench-shared"
# The API server writes a request into its log when it has answered it; the last events and the source's end come later.
_LOG_SECONDS = 3.0
_DOWNTIME = re.compile(r'"downtime_ms": ?(\d+)')

Body = dict[str, Any]


def migrations() -> Body:
    """`MOVES` moves of a guest of 256 MiB, one after the other, whose kernel comes from an image; as many of one that
    boots from a shared claim, as guests that shall move usually do: its pod has no other container. Then a drain."""
    found = {"moves": _moves(_mover(migratable(GUEST)), "whose kernel comes from an image")}
    with _bootable_claim() as body:
        found["moves on a shared claim"] = _moves(_mover(body), "on a shared claim")
    return found | {"drain": _drain()}


def _mover(body: Body) -> Body:
    body["spec"]["domain"]["memory"]["guest"] = "256Mi"
    return body


@contextmanager
def _bootable_claim() -> Iterator[Body]:
    """A guest that boots from a claim that both nodes have; another guest wrote it there."""
    image_disk = {"containerDisk": {"image": image("guest-disk")}}
    claim = {"persistentVolumeClaim": {"claimName": CLAIM}}
    with shared_claim(CLAIM, "256Mi"):
        with running(disk_manifest("bench-writer", {"image": image_disk, "claim": claim})) as (guest,):
            asyncio.run(_write(guest))
        body = booting_from_disk(disk_manifest(GUEST, {"claim": claim}))
        body["metadata"]["labels"] = migratable(GUEST)["metadata"]["labels"]
        yield body


async def _write(guest: Guest) -> None:
    async with Shell.of(guest) as shell:
        await shell.run(f"dd if={disk('image')} of={disk('claim')} bs=1M conv=fsync", 120)


def _moves(body: Body, what: str) -> Body:
    seconds: list[float] = []
    downtimes: list[int] = []
    asks: list[Counter[str]] = []
    with running(body) as (guest,), asked(GUEST) as answers:
        for number in range(MOVES):
            (source,) = launchers(GUEST)  # those of earlier moves have ended
            began, moment = datetime.now(UTC), time.monotonic()
            status = migrate(f"{GUEST}-{number}", GUEST, every=0.02)
            assert status["phase"] == "Succeeded", status
            seconds.append(time.monotonic() - moment)
            until(lambda: len(guest.vmi["status"]["activePods"]) == 1, "the source to end")
            time.sleep(_LOG_SECONDS)
            asks.append(Counter(f"{r.account} {r.verb} {r.resource}" for r in requests(began) if _counts(r)))
            downtimes += [int(found) for found in _DOWNTIME.findall(kubectl("logs", source, "-c", "compute"))[-1:]]
        seen = answers()
        remove_migrations(guest)
    found: Body = {
        "created to Succeeded, s": _spread(seconds),
        "downtime by QEMU, ms": _spread(downtimes),
        "requests": _spread([ask.total() for ask in asks]),
        "longest silence of the Service, s": round(seen.longest_silence, 2),
        "boot ids": len(seen.boots),
    }
    print(f"\n{MOVES} moves of a guest of 256 MiB {what} that a new connection asks through its Service every 100 ms")
    for title, value in found.items():
        print(f"  {title:36} {value}")
    for title, count in sum(asks, Counter()).most_common():
        print(f"    {title:80} {count / MOVES:5.2f}")
    return found


def _counts(request: Request) -> bool:
    return request.namespace == "default" and request.verb not in ("watch", "list")


def _spread(values: list[Any]) -> Body:
    return {
        "n": len(values),
        "median": round(percentile(values, 50), 2),
        "min": round(min(values), 2),
        "max": round(max(values), 2),
    }


def _drain() -> Body:
    """Seconds of `kubectl drain`; two guests move at a time, which is the default for each node."""
    with drainable() as node:
        bodies = [_leaving(f"bench-drained{number}", node) for number in range(DRAINED)]
        with running(*bodies) as guests, observed(*guests) as ticks:
            assert {guest.vmi["status"]["nodeName"] for guest in guests} == {node}
            moment = time.monotonic()
            drain(node)
            took = time.monotonic() - moment
            until(lambda: all(_is_elsewhere(guest.vmi["status"], node) for guest in guests), "every guest to move")
            seen = ticks().values()
            remove_migrations(*guests)
    found = {
        "seconds": round(took, 1),
        "longest gap of a guest, s": round(max(tick.longest_gap for tick in seen), 2),
        "boot ids": max(len(tick.boots) for tick in seen),
    }
    print(f"\n`kubectl drain` of a node with {DRAINED} guests of 128 MiB: {found}")
    return found


def _leaving(name: str, node: str) -> Body:
    body = migratable(name)
    body["spec"] |= {"evictionStrategy": "LiveMigrate", "affinity": on(node)}
    return body


def _is_elsewhere(status: Body, node: str) -> bool:
    return bool(status["phase"] == "Running" and status["nodeName"] != node)
