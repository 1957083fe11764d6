"""Guests migrate while what takes part dies at random: each runs in exactly one place, and nothing is left behind.

`make chaos`. MIGRATION_KILLS: how many migrations; MIGRATION_KILLS_SEED: of an earlier run; MIGRATION_KILLS_SECONDS:
after how many no other begins.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

import pytest
from virt_core.conventions.labels import CREATED_BY
from virt_core.kube.errors import KubeError
from virt_core.kube.resource import VIRTUAL_MACHINE_INSTANCE_MIGRATIONS

from tests.e2e.claims import shared_claim
from tests.e2e.cluster import NAMESPACE, apply, get, kubectl
from tests.e2e.guests import disk_manifest
from tests.e2e.left_behind import left_behind, unfinished
from tests.e2e.migration_faults import KINDS, NODES, Fault, Faults, keep_log, may_end_the_guest
from tests.e2e.migrations import migration
from tests.e2e.move_watch import FINAL, Moment, Move, MoveWatch
from tests.e2e.witness import ran_at_once

pytestmark = pytest.mark.chaos

MIGRATIONS = int(os.environ.get("MIGRATION_KILLS", "20"))
SECONDS = float(os.environ.get("MIGRATION_KILLS_SECONDS", "inf"))
GUESTS = ("kills1", "kills2", "kills3", "kills4")  # which move at once
WITH_CLAIM = GUESTS[2:]
BANDWIDTH = "24Mi"  # so that a copy takes seconds
POLICY = {
    "apiVersion": "migrations.kubevirt.io/v1alpha1",
    "kind": "MigrationPolicy",
    "metadata": {"name": "migration-kills"},
    "spec": {
        "bandwidthPerMigration": BANDWIDTH,
        "selectors": {"virtualMachineInstanceSelector": {"moves": "migration-kills"}},
    },
}
MONITOR = """
import libvirt, libvirt_qemu
domain = libvirt.open("qemu:///session").listAllDomains()[0]
net = "/machine/peripheral/net0/virtio-backend"
queues = (f"info virtio-queue-status {net} {queue}" for queue in range(3))
for command in ("info status", "info registers", "info migrate", f"info virtio-status {net}", *queues):
    print(command, libvirt_qemu.qemuMonitorCommand(domain, command, 1)[:1500])
"""
"""What QEMU shows of a guest that does not answer."""

MIGRATED_WITHIN, SETTLED_WITHIN, WELL_WITHIN, RUNS_WITHIN = 240.0, 60.0, 180.0, 120.0
EVERY = 0.5  # seconds between two looks
TOO_LATE = "nobody, too late"
TOO = ", too"  # with another guest's migration, at an unknown moment of this one


def guest_manifest(name: str) -> dict[str, Any]:
    """A guest; some have a disk on a claim that all nodes share."""
    claim = {"persistentVolumeClaim": {"claimName": name}}
    body = disk_manifest(name, {"data": claim} if name in WITH_CLAIM else {})
    body["metadata"]["labels"] = {"moves": "migration-kills"}
    return body


def deck(chance: random.Random) -> Iterator[str]:
    """All kinds in turn, shuffled; nodes, which take longest to come back, every third time."""
    turn = 0
    while True:
        kinds = [kind for kind in KINDS if kind not in NODES or turn % 3 == 0]
        chance.shuffle(kinds)
        yield from kinds
        turn += 1


@dataclass
class Record:
    """Of what happened, for the table and for the end."""

    rows: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    def problem(self, text: str) -> None:
        print(f"PROBLEM {time.strftime('%H:%M:%S')} {text}", flush=True)
        self.problems.append(text)

    def table(self) -> str:
        lines = [f"{'who died':22} {'when':12} {'how it ended':44} times"]
        lines += [f"{who:22} {when:12} {how:44} {self.rows[who, when, how]}" for who, when, how in sorted(self.rows)]
        totals: Counter[str] = Counter()
        for (_, _, how), times in self.rows.items():
            totals[how] += times
        return "\n".join([*lines, *(f"{'all':35} {how:44} {times}" for how, times in sorted(totals.items()))])


class Kills:
    """Migrations of the guests with a fault each."""

    def __init__(self, watch: MoveWatch, chance: random.Random) -> None:
        self.record = Record()
        self._watch, self._faults, self._chance = watch, Faults(watch, chance), chance
        self._deck = deck(chance)
        self._next = next(self._deck)
        self._boots: dict[str, str] = {}
        self._number = 0

    async def run(self, migrations: int) -> None:
        """Rounds of one migration of each guest, until there were so many."""
        for guest in GUESTS:
            await self._start(guest)
        done, last = 0, time.monotonic() + SECONDS
        while done < migrations and time.monotonic() < last:
            await self._round()
            done += len(GUESTS)

    async def _start(self, guest: str) -> None:
        """A new guest of that name."""
        watch = self._watch
        await asyncio.to_thread(kubectl, "delete", "vmi", guest, "--ignore-not-found", "--wait", "--timeout=120s")
        await watch.until(lambda: guest not in watch.vmis, 20)
        await asyncio.to_thread(apply, guest_manifest(guest))
        runs = await watch.until(lambda: self._phase(guest) == "Running", RUNS_WITHIN)
        assert runs, f"{guest} does not run: {watch.vmis.get(guest)}"
        boot = await self._boot(guest, time.time(), RUNS_WITHIN)
        assert boot, f"{guest} does not tick"
        self._boots[guest] = boot

    async def _round(self) -> None:
        """A migration of each guest at once."""
        watch = self._watch
        self._number += 1
        moves = [Move(f"kill-{self._number}-{guest}", guest, time.time()) for guest in GUESTS]
        sources = {move.guest: watch.vmis[move.guest]["status"]["nodeName"] for move in moves}
        await self._request(moves)
        faults = [Fault.random(kind, self._chance) for kind in self._kinds()]
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._faults.happen(fault, move), name=f"{fault.kind} of {move.name}")
                for fault, move in zip(faults, moves, strict=False)
            ]
        moments = [task.result() for task in tasks]
        for fault, moment, move in zip_longest(faults, moments, moves):
            if fault is not None:
                await self._judge(move, fault.kind if moment is not None else TOO_LATE, moment)
            elif moments[0] is None:
                await self._judge(move, TOO_LATE, None)
            else:
                same = sources[move.guest] == sources[moves[0].guest]
                side = (faults[0].kind == NODES[1]) is same
                await self._judge(move, NODES[side] + TOO, moments[0])
        await self._well()

    def _kinds(self) -> list[str]:
        """One for each guest. The death of a node is everybody's: then there is no other."""
        if self._next in NODES:
            found, self._next = [self._next], next(self._deck)
            return found
        found = []
        while len(found) < len(GUESTS) and self._next not in NODES:
            found.append(self._next)
            self._next = next(self._deck)
        more = self._chance.sample([kind for kind in KINDS if kind not in NODES], len(GUESTS) - len(found))
        return [*found, *more]

    async def _request(self, moves: list[Move]) -> None:
        """As a user would: again if no webhook answers."""
        async with asyncio.timeout(WELL_WITHIN):
            while True:
                try:
                    return await asyncio.to_thread(apply, *(migration(move.name, move.guest) for move in moves))
                except AssertionError as error:
                    print(f"requesting again: {error}", flush=True)
                    await asyncio.sleep(EVERY)

    async def _judge(self, move: Move, who: str, when: Moment | None) -> None:
        watch, problem, problems = self._watch, self.record.problem, len(self.record.problems)
        what = f"{move.name}, {who} at {when.name if when is not None else '-'}"
        over = await watch.until(lambda: watch.phase(move) in FINAL, MIGRATED_WITHIN)
        body = watch.migrations.get(move.name, {"metadata": {"name": move.name}})
        words = unfinished(body)
        print(f"{time.strftime('%H:%M:%S')} {what}: {words}", flush=True)
        if not over:
            problem(f"{what}: does not end: {words}, {watch.state(move)}")
        elif watch.phase(move) == "Failed" and not words.partition(": ")[2]:
            problem(f"{what}: failed without a reason")
        uid = watch.vmis[move.guest]["metadata"]["uid"]
        left = await self._settled(move.guest)
        phase = self._phase(move.guest)
        how = watch.phase(move) or "does not end"
        if phase == "Running":
            how += ", the guest goes on"
            if left:
                problem(f"{what}: left behind after {SETTLED_WITHIN:.0f} s: {left}")
            boot = await self._boot(move.guest, time.time())
            if boot != self._boots[move.guest]:
                last = max((witness.last_tick[0] for witness in watch.witnesses_of(uid)), default=0.0) - move.began
                was = self._boots[move.guest]
                problem(
                    f"{what}: the guest was {was} and is {boot or 'silent'}, last tick {last:.1f} s after the request"
                )
        else:
            how += ", the guest has ended"
            status = watch.vmis[move.guest]["status"]
            print(f"  {move.guest} {phase}: {status.get('reason')}", flush=True)
            if not who.endswith(TOO) and not may_end_the_guest(who, when or Moment.REQUESTED):
                problem(f"{what}: the guest has ended: {status.get('reason')}, {status.get('conditions')}")
            if not status.get("reason"):
                problem(f"{what}: nothing says why the guest has ended: {status}")
        for twice in ran_at_once(watch.witnesses_of(uid)):
            problem(f"{what}: RAN TWICE: {twice}")
        await self._unlocked(move, what, uid)
        if self.record.problems[problems:]:
            await asyncio.to_thread(keep_logs, uid)
        self.record.rows[who, when.name.lower() if when is not None else "-", how] += 1
        await self._remove(move, what)
        if self.record.problems[problems:] or phase != "Running":
            await self._start(move.guest)

    async def _settled(self, guest: str) -> list[str]:
        """What is left behind when there was time for all; a guest that has ended leaves what it likes."""
        deadline = time.monotonic() + SETTLED_WITHIN
        while True:
            if self._phase(guest) in FINAL:
                return []
            try:
                left = await asyncio.to_thread(left_behind, self._watch, guest)
            except (OSError, KeyError) as error:  # a process ended while it was looked at
                left = [str(error)]
            if not left or time.monotonic() > deadline:
                return left
            await asyncio.sleep(EVERY)

    async def _boot(self, guest: str, since: float, within: float = 20.0) -> str:
        """The boot id in the next tick of the guest; empty if it is silent for so many seconds."""
        watch, deadline = self._watch, time.monotonic() + within
        while time.monotonic() < deadline:
            for uid in watch.vmis[guest]["status"].get("activePods", {}):
                witness = watch.witnesses.get(uid)
                if witness is not None and witness.last_tick[0] > since:
                    return witness.last_tick[1]
            await asyncio.sleep(EVERY)
        return ""

    async def _unlocked(self, move: Move, what: str, vmi_uid: str) -> None:
        """No QEMU was refused its disk because another had it."""
        if move.guest not in WITH_CLAIM:
            return
        argv = ("logs", "-l", f"{CREATED_BY}={vmi_uid}", "-c", "compute", "--tail=200", "--max-log-requests=20")
        logs = await asyncio.to_thread(lambda: kubectl(*argv, check=False))
        lines = [line for line in logs.splitlines() if "Failed to get" in line and "lock" in line]
        if lines:
            self.record.problem(f"{what}: {lines[:3]}")

    async def _remove(self, move: Move, what: str) -> None:
        watch = self._watch
        try:
            await watch.client.delete(VIRTUAL_MACHINE_INSTANCE_MIGRATIONS, "default", move.name)
        except KubeError as error:
            self.record.problem(f"{what}: is not deleted: {error}")
        if not await watch.until(lambda: move.name not in watch.migrations, 60):
            self.record.problem(f"{what}: does not go: {watch.migrations[move.name]['metadata']}")

    async def _well(self) -> None:
        """The suite is whole again, and the nodes are."""
        deadline = time.monotonic() + WELL_WITHIN
        while ill := await asyncio.to_thread(_ill):
            if time.monotonic() > deadline:
                self.record.problem(f"after {WELL_WITHIN:.0f} s not well: {ill}")
                return
            await asyncio.sleep(EVERY)

    def _phase(self, guest: str) -> str:
        return str(self._watch.vmis.get(guest, {}).get("status", {}).get("phase", ""))


def keep_logs(vmi_uid: str) -> None:
    """Of all that took part, for who looks for the cause."""
    for namespace, selector in (("default", f"{CREATED_BY}={vmi_uid}"), (NAMESPACE, "kubevirt.io")):
        for pod in get("-n", namespace, "pods", "-l", selector)["items"]:
            keep_log(pod["metadata"]["name"], namespace)
            if namespace == "default" and pod["status"].get("phase") == "Running":
                argv = (
                    "exec",
                    pod["metadata"]["name"],
                    "-c",
                    "compute",
                    "--",
                    "/opt/kubevirt/bin/python3",
                    "-c",
                    MONITOR,
                )
                print(kubectl(*argv, check=False), flush=True)


def _ill() -> list[str]:
    found = []
    for item in get("-n", NAMESPACE, "deployments")["items"] + get("-n", NAMESPACE, "daemonsets")["items"]:
        status = item["status"]
        wanted = status.get("desiredNumberScheduled", item["spec"].get("replicas"))
        if wanted != status.get("numberReady", status.get("readyReplicas", 0)):
            found.append(item["metadata"]["name"])
    for item in get("nodes")["items"]:
        ready = next(c["status"] for c in item["status"]["conditions"] if c["type"] == "Ready")
        if ready != "True" or item["metadata"]["labels"].get("kubevirt.io/schedulable") != "true":
            found.append(item["metadata"]["name"])
    return found


@contextmanager
def cleaned_up() -> Iterator[None]:
    with ExitStack() as stack:
        for guest in WITH_CLAIM:
            stack.enter_context(shared_claim(guest))
        apply(POLICY)
        stack.callback(kubectl, "delete", "migrationpolicy", "migration-kills", "--ignore-not-found")
        stack.callback(kubectl, "delete", "vmi", *GUESTS, "--ignore-not-found", "--wait", "--timeout=90s")
        stack.callback(
            kubectl, "delete", "vmim", "-l", f"kubevirt.io/vmi-name in ({', '.join(GUESTS)})", "--wait=false"
        )
        yield


async def test_guests_run_in_one_place_whatever_dies_while_they_migrate() -> None:
    seed = int(os.environ.get("MIGRATION_KILLS_SEED", random.randrange(1 << 32)))
    print(f"seed {seed}")
    with cleaned_up():
        async with MoveWatch.connected() as watch:
            kills = Kills(watch, random.Random(seed))
            try:
                await kills.run(MIGRATIONS)
            finally:
                print(kills.record.table(), flush=True)
    assert not kills.record.problems, "\n".join(kills.record.problems)
