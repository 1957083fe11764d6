"""A whole upgrade as virtadm shows it: plan, waves, proof, guests that move, finalization. Used by test_recording.py.

Plan, passes and status are the operator's own; requests, lists, lines and tables are virtadm's. Moments are rewritten
to begin at BEGIN, and hashes are left out.
"""

from __future__ import annotations

import io
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rich.console import Console
from virt_admin.follow import in_lines
from virt_admin.preflight.report import BLOCKING, WARNING, plan_of
from virt_admin.preflight.text import text
from virt_admin.requests.methods import FINALIZE, UPGRADE
from virt_admin.requests.wish import Wish
from virt_admin.screen.tables import view
from virt_admin.screen.text import clean_line
from virt_admin.suite.listing import read_suite
from virt_admin.suite.summary import Summary, summarize
from virt_core.kube.client import KubeClient
from virt_core.kube.resource import KUBEVIRTS
from virt_core.objects.meta import rfc3339
from virt_core.testing.api_server import FakeApiServer
from virt_operator.admin.plan_messages import result_messages
from virt_operator.preflight.observed import Question
from virt_operator.preflight.plan import Answer

from .preflight_cluster import (
    INSTALLED,
    MOVES,
    PROBED,
    TARGET,
    cluster,
    guest,
    handler,
    judged,
    launcher,
    machine,
    node,
)
from .recorded_world import GUESTS, RecordedWorld
from .updates import LEVELS, NEW
from .upgrades import status
from .world import SUITE

BEGIN = datetime(2026, 1, 31, 10, 0, tzinfo=UTC)
_NODES = ("node1", "node2", "node3")
_PASS, _BEFORE = timedelta(seconds=2), timedelta(minutes=30)
_WIDTH = 120
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_HASH = re.compile(r"-[0-9a-f]{8,}\b")
_AGAIN = re.compile(r"Z (?:(?:Available|Progressing|Degraded|Created)=|steps done|waiting for .* comes first: )")
"""Lines that say what others do, or what a terminal shows better."""

_QUIET, _MOST = 4, 200  # passes without a new line: nothing happens any more; passes until then


class Recorder:
    """Writes what virtadm shows of the cluster."""

    def __init__(self, world: RecordedWorld) -> None:
        self.written: list[str] = []
        self.pictures: dict[str, str] = {}
        self._world = world
        self._show = in_lines(self.written.append, lambda: world.now)

    def shown(self) -> dict[str, str]:
        """`virtadm watch` without a terminal, with commands as they are given, and in a terminal; by name."""
        found = {"lines": "\n".join(line for line in self.written if not _AGAIN.search(line)), **self.pictures}
        return {name: self._rebased(text) for name, text in found.items()}

    def give(self, wish: Wish, *output: str) -> None:
        """A user gives the command, with --direct."""
        change = wish.change(self._world.server.store.get(SUITE), rfc3339(self._world.now))
        self._world.server.patch(KUBEVIRTS.path("kubevirt", "kubevirt"), change.patch)
        to = f" --to {wish.tag}" if wish.tag else ""
        self.written += [f"$ virtadm {wish.command}{to}", *output, change.message]

    async def play(self) -> None:
        """The operator makes passes until nothing new is shown."""
        quiet = 0
        for _ in range(_MOST):
            before = len(self.written)
            await self._world.run_pass()
            await self.look()
            self._world.act()
            await self.look()
            self._world.offset += _PASS
            quiet = quiet + 1 if len(self.written) == before else 0
            if quiet == _QUIET:
                return
        raise AssertionError("it does not end")

    async def look(self) -> None:
        """virtadm reads the API server and shows it."""
        observed = await read_suite(self._world.client)
        assert observed is not None
        summary = summarize(replace(observed, now=self._world.now))
        self._show(summary)
        if (name := _moment_of(summary)) and name not in self.pictures:
            console = Console(width=_WIDTH, file=io.StringIO(), force_terminal=True, color_system=None)
            with console.capture() as drawn:
                console.print(view(summary, self._world.now))
            self.pictures[name] = "\n".join(line.rstrip() for line in drawn.get().splitlines())

    def _rebased(self, shown: str) -> str:
        def moment(found: re.Match[str]) -> str:
            return rfc3339(BEGIN + (datetime.fromisoformat(found.group()) - self._world.began))

        return _HASH.sub("-…", _MOMENT.sub(moment, shown))


def _moment_of(summary: Summary) -> str:
    """Which part of an upgrade this is, if a picture of it is wanted."""
    upgrade = summary.upgrade
    if upgrade is not None and upgrade.wave is not None and upgrade.wave.number == 2 and not upgrade.wave.proven:
        return "wave"
    return "moves" if summary.guests.moving else ""


def planned() -> list[str]:
    """The plan in short, as `virtadm upgrade` prints it."""
    found = cluster(
        MOVES,
        guests=tuple(guest(name, nodeName=where) for name, where in GUESTS.items()),
        machines=tuple(map(machine, GUESTS)),
        pods=tuple(launcher(name, where) for name, where in GUESTS.items()),
        nodes=tuple(map(node, _NODES)),
        handlers=tuple(map(handler, _NODES)),
    )
    answer = Answer(judged(found), Question(TARGET, TARGET.tag, TARGET.registry), PROBED, INSTALLED.release)
    *several, last = result_messages(answer)
    findings = [finding for message in several for finding in message.findings.findings]
    return list(map(clean_line, text(plan_of(last.summary, findings), severities=(BLOCKING, WARNING))))


@asynccontextmanager
async def _installed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RecordedWorld]:
    """OLD is installed on three nodes."""
    async with FakeApiServer.running() as server:
        monkeypatch.setenv("KUBECONFIG", str(server.write_kubeconfig(folder / "kubeconfig")))
        async with KubeClient.connect("test") as client:
            world = RecordedWorld(server, client, nodes=_NODES, kinds=("Deployment", "DaemonSet"), levels=LEVELS)
            world.create()
            world.ask(**MOVES)
            world.offset = -_BEFORE
            await Recorder(world).play()
            world.offset = timedelta(0)
            world.act()
            await world.run_pass()
            yield world


async def record(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """An upgrade from OLD to NEW, seen by virtadm."""
    async with _installed(folder, monkeypatch) as world:
        recorder = Recorder(world)
        await recorder.look()
        recorder.give(Wish(UPGRADE, NEW), *planned())
        await recorder.play()
        recorder.give(Wish(FINALIZE))
        await recorder.play()
        assert status(world).observed_kube_virt_version == NEW and status(world).way_back is None
        return recorder
