"""status and watch against an API server without virt-operator."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from virt_admin.access import Access, connected
from virt_admin.follow import follow_until, in_json, in_lines
from virt_admin.outcome import CannotTell
from virt_admin.show import NOTHING, show_status
from virt_admin.suite.following import Follower
from virt_admin.suite.listing import read_suite, refused
from virt_admin.suite.summary import summarize
from virt_core.kube.errors import Forbidden, KubeError, Unavailable
from virt_core.kube.resource import KUBEVIRTS, PODS
from virt_core.testing.api_server import FakeApiServer

from tests.support.patience import PATIENCE

from .bodies import install, observed


@pytest.fixture
async def access(server: FakeApiServer, tmp_path: Path) -> AsyncIterator[Access]:
    async with connected(str(server.write_kubeconfig(tmp_path / "config")), None, None) as access:
        yield access


async def test_status_reads_only_the_api_server(
    server: FakeApiServer, access: Access, capsys: pytest.CaptureFixture[str]
) -> None:
    install(server, datetime.now(UTC))
    assert await show_status(access, "text") == 0
    assert "guests: 2 running (2 on new launchers, 0 on old ones, 0 moving), 0 starting\n" in capsys.readouterr().out
    assert await show_status(access, "json") == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["phase"], len(summary["nodes"]), summary["exitCode"]) == ("Deployed", 2, 0)
    assert {method for method, _ in server.requests} == {"LIST"}


async def test_without_a_kubevirt_object_or_its_definition_nothing_is_installed(
    server: FakeApiServer, access: Access, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await show_status(access, "text") == 2
    server.undefined.add("kubevirts")
    assert await show_status(access, "text") == 2
    assert capsys.readouterr().out == f"{NOTHING}\n" * 2


def put_odd_guest(server: FakeApiServer) -> None:
    """As another release may write it."""
    path = "/apis/kubevirt.io/v1/namespaces/default/virtualmachineinstances"
    server.put(path, {"metadata": {"name": "x"}, "status": 5})


async def test_guests_that_do_not_decode_are_not_counted_and_are_named(server: FakeApiServer, access: Access) -> None:
    install(server, datetime.now(UTC))
    put_odd_guest(server)
    found = await read_suite(access.client)
    assert found is not None and len(found.guests) == 2
    summary = summarize(found)
    (warning,) = summary.warnings
    assert warning.startswith("virtadm cannot read virtualmachineinstances default/x: Expected") and summary.exit_code
    async with following(access) as follower:
        assert follower.current is not None and summarize(follower.current).warnings == [warning]


async def test_watch_names_a_guest_that_does_not_decode_any_more(server: FakeApiServer, access: Access) -> None:
    install(server, datetime.now(UTC))
    async with following(access) as follower:
        assert follower.current is not None and not follower.current.unreadable
        put_odd_guest(server)
        while not (follower.current and follower.current.unreadable):
            await changed(follower)
        assert "virtualmachineinstances default/x" in summarize(follower.current).warnings[0]


async def test_an_api_server_that_is_down_ends_the_command(server: FakeApiServer, access: Access) -> None:
    await server.down()
    with pytest.raises(CannotTell, match="cannot list kubevirts"):
        await read_suite(access.client)


@asynccontextmanager
async def following(access: Access) -> AsyncIterator[Follower]:
    follower = Follower(access.client, "kubevirt")
    async with asyncio.TaskGroup() as group:
        running = group.create_task(follower.run())
        async with asyncio.timeout(PATIENCE):
            await follower.synced()
            yield follower
        running.cancel()


async def until(holds: Callable[[], bool]) -> None:
    """Let the watches run until it holds; following() ends a wait that is too long."""
    while not holds():  # noqa: ASYNC110 - nothing is set when a watch fails
        await asyncio.sleep(0)


async def changed(follower: Follower) -> None:
    await follower.changed.wait()
    follower.changed.clear()


async def test_watch_sees_changes_and_an_api_server_that_goes(server: FakeApiServer, access: Access) -> None:
    install(server, datetime.now(UTC))
    async with following(access) as follower:
        follower.changed.clear()
        await access.client.delete(PODS, "kubevirt", "virt-handler-node1")
        await changed(follower)
        current = follower.current
        assert current is not None and summarize(current).components[-1].ready == 1
        await access.client.delete(KUBEVIRTS, "kubevirt", "kubevirt")
        while follower.current is not None:
            await changed(follower)
        await server.down()
        await until(lambda: bool(follower.trouble))
        await server.up()
        await until(lambda: not follower.trouble)


@pytest.mark.parametrize("late", [False, True], ids=["before the first view", "after it"])
async def test_a_defect_of_the_watches_ends_the_command_instead_of_showing_old_news(
    server: FakeApiServer, access: Access, monkeypatch: pytest.MonkeyPatch, late: bool
) -> None:
    async def broken(self: Follower) -> None:
        if late:
            await self.synced()
        raise KeyError("defect")

    run = Follower.run

    async def failing(self: Follower) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(broken(self))
            if late:
                group.create_task(run(self))

    install(server, datetime.now(UTC))
    monkeypatch.setattr(Follower, "run", failing)
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(ExceptionGroup):
            await follow_until(access, "json", lambda _: None)


async def test_watch_writes_a_line_only_for_what_is_new() -> None:
    written: list[str] = []
    show = in_lines(written.append)
    show(summarize(observed()))
    first = len(written)
    show(summarize(observed()))
    assert len(written) == first
    show(summarize(observed(guests=[])))
    assert [line.partition(" ")[2] for line in written[first:]] == [
        "node node1: ready, virt-handler new v1 ready, 0 guests, 0 on old launchers",
        "node node2: ready, virt-handler new v1 ready, 0 guests, 0 on old launchers",
        "guests: 0 running (0 on new launchers, 0 on old ones, 0 moving), 0 starting",
    ]
    show(None)
    assert written[-1].endswith(NOTHING)


async def test_watch_writes_json_for_each_change() -> None:
    written: list[str] = []
    show = in_json(written.append)
    show(summarize(observed()))
    show(summarize(observed()))
    show(summarize(observed(guests=[])))
    show(None)
    assert [json.loads(line).get("guests", {}).get("running") for line in written] == [2, 0, None]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (Forbidden(403, "no"), "you may not list nodes: no"),
        (Unavailable(401, "Unauthorized"), "the API server does not accept the kubeconfig's credentials"),
        (Unavailable(0, "no answer"), "cannot list nodes: no answer"),
    ],
)
def test_a_refusal_says_what_was_refused(error: KubeError, message: str) -> None:
    assert str(refused("list nodes", error)).startswith(message)


def test_watch_ends_without_a_traceback_when_nobody_reads_it() -> None:
    """As in `virtadm watch | head -1`, whose pipe is closed before the first line here."""
    script = (
        "import asyncio, contextlib, sys\n"
        "import virt_admin.follow as follow\n"
        "async def suite(client): return None\n"
        "class Follower:\n"
        "    current, changed = None, asyncio.Event()\n"
        "    def __init__(self, *_): pass\n"
        "    async def synced(self): pass\n"
        "    async def run(self): await asyncio.Event().wait()\n"
        "class Access: client = None\n"
        "@contextlib.asynccontextmanager\n"
        "async def connected(*_): yield Access()\n"
        "follow.read_suite, follow.Follower = suite, Follower\n"
        "import virt_admin.flags as flags, virt_admin.__main__ as entry\n"
        "flags.connected = connected\n"
        "sys.argv = ['virtadm', 'watch']\n"
        "entry.main()\n"
    )
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=PATIENCE, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")
