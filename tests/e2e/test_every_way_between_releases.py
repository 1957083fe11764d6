"""The newest recorded release to this tree and back by each way that users have, with guests of each kind made on
either side, under load, with an open console, and with every launcher replaced after each change.

The console of a guest goes through virt-api and virt-handler, which are replaced: it is closed, and opened again.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from virt_operator.packaging.chart import write_chart

from tests.e2e.builds import (
    RECORDED,
    TODAY,
    Build,
    by_image_tag,
    by_manifest,
    grant_permissions,
    reached,
)
from tests.e2e.burden import burden
from tests.e2e.claims import shared_claim
from tests.e2e.cluster import NAMESPACE, ROOT, kubectl, nodes, until
from tests.e2e.guest_shell import Shell
from tests.e2e.guests import MAX_GAP, Guest, image, observed, running, undisturbed
from tests.e2e.helm import helm
from tests.e2e.kinds import KINDS, guest_of
from tests.e2e.migrations import asked
from tests.e2e.travelling import Change, launcher_of, left_alone, set_workload_updates
from tests.e2e.watching import watching

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("images_of_both_releases", "back_to_today", "recorded_release"),
]

MOVED_WITHIN = 120.0  # seconds for all guests of one change


@contextmanager
def guests_of(side: str) -> Iterator[tuple[list[Guest], list[Guest]]]:
    """Guests that move and guests that stay."""
    first, second = nodes()
    with ExitStack() as stack:
        stack.enter_context(shared_claim(f"{side}-claim"))
        moving = [guest_of(kind, f"{side}-{kind}") for kind in KINDS]
        staying = [left_alone(guest_of("bridge", f"{side}-bridge", first))]
        staying.append(left_alone(guest_of("bios", f"{side}-stays", second)))
        guests = stack.enter_context(running(*moving, *staying, seconds=180))
        yield guests[: len(moving)], guests[len(moving) :]


def changed(change: Change, build: Build) -> None:
    """The suite is of `build`, and of all that users asked meanwhile nothing was refused."""
    with watching() as history, burden() as users:
        change(build)
        seconds = reached(build)
    away = ", ".join(f"{node} {gap:.1f} s" for node, gap in sorted(history.handler_away().items()))
    print(f"{build.name} by {change.__name__}: {seconds:.1f} s, without a handler: {away}")
    print(f"  {users.asked} requests and {users.created} guests created, {len(users.refused)} refused,")
    print(f"  the slowest took {users.slowest:.1f} s", flush=True)
    assert users.refused == []
    assert history.unavailable() == []


def all_moved(guests: list[Guest], build: Build) -> None:
    """Every launcher is replaced by one of `build`."""
    began = time.monotonic()
    set_workload_updates(["LiveMigrate"])
    for guest in guests:
        until(lambda: launcher_of(guest).endswith(f":{build.tag}"), f"{guest.name} on {build.name}", MOVED_WITHIN)  # noqa: B023
    set_workload_updates([])
    print(f"  {len(guests)} guests have launchers of {build.name} after {time.monotonic() - began:.1f} s", flush=True)


def console_answers(guest: Guest) -> None:
    """The console can be opened, and the guest's shell answers."""

    async def ask() -> None:
        async with Shell.of(guest, 60) as shell:
            assert await shell.run("echo an''swer") == "answer"

    asyncio.run(ask())


@pytest.fixture
def charts(tmp_path: Path) -> dict[str, Path]:
    """The chart of each release, of the recorded one by its own code's templates."""
    folders = {}
    for build, source in ((RECORDED, RECORDED.folder.parent), (TODAY, ROOT)):
        registry = image("virt-operator").rpartition("/")[0]
        folders[build.name] = tmp_path / build.name / "kubevirt"
        version = (source / "VERSION").read_text().strip()
        chart = source / "charts" / "kubevirt"
        write_chart(chart, folders[build.name], registry=registry, tag=build.tag, version=version, use_emulation=True)
    return folders


@pytest.fixture
def by_helm(charts: dict[str, Path]) -> Iterator[Change]:
    """Changes the suite's release as a person does who has installed it with Helm."""
    helm("install", "kubevirt", charts[RECORDED.name], "--take-ownership")

    def by_helm(build: Build) -> None:
        helm("upgrade", "kubevirt", charts[build.name])

    yield by_helm
    kubectl("-n", NAMESPACE, "delete", "secret", "-l", "owner=helm")  # what is installed stays


def by_virtadm(build: Build) -> None:
    """Changes the suite's release as a person does who has virtadm. The roles of the newer release come first: nobody
    grants what he does not have."""
    grant_permissions(TODAY)
    up = ("upgrade", "--to", build.tag, "--skip-plan", "--direct")  # virt-operator 0.1.0 knows neither
    wish = up if build is TODAY else ("rollback",)
    command = [sys.executable, "-m", "virt_admin", *wish, "--no-wait"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    print(done.stdout + done.stderr)
    assert done.returncode in (0, 1), done.stdout + done.stderr


def there_and_back(change: Change) -> None:
    with ExitStack() as stack:
        moving, staying = stack.enter_context(guests_of("old"))
        ticks = [stack.enter_context(observed(*staying))]
        answers = [stack.enter_context(asked(guest.name)) for guest in moving]
        pids = {guest.name: guest.qemu_pid() for guest in staying}
        changed(change, TODAY)
        console_answers(staying[1])
        all_moved(moving, TODAY)
        new, more = stack.enter_context(guests_of("new"))
        moving += new
        ticks.append(stack.enter_context(observed(*more, name="observer-new")))
        answers += [stack.enter_context(asked(guest.name)) for guest in new]
        pids |= {guest.name: guest.qemu_pid() for guest in more}
        changed(change, RECORDED)
        for guest in (*staying, *more):
            console_answers(guest)
        all_moved(moving, RECORDED)
        time.sleep(2 * MAX_GAP)  # a gap must have had the time to show
        for guest, read in zip(moving, answers, strict=True):
            seen = read()
            print(f"  {guest.name}: {seen.count} answers, longest silence {seen.longest_silence:.2f} s")
            assert (len(seen.boots), guest.phase) == (1, "Running")
        seen_ticks = {name: tick for read in ticks for name, tick in read().items()}
        undisturbed(seen_ticks, [*staying, *more], pids)


@pytest.mark.parametrize("change", [by_manifest, by_image_tag, by_virtadm])
def test_guests_of_each_kind_tick_on_there_and_back(change: Change) -> None:
    there_and_back(change)


def test_guests_of_each_kind_tick_on_there_and_back_by_helm(by_helm: Change) -> None:
    there_and_back(by_helm)
