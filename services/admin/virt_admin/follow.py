"""`virtadm watch`: the suite as it changes, until SIGINT or SIGTERM, or until what was requested has ended.

Called by cli.py and requests/commands.py.

A terminal has one view that is drawn again after a change and every second, for ages. A pipe has the lines that are new
since the last change, each with the time; `-o json` a line with the whole state.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import TypeVar

import click
import msgspec
from rich.console import Console
from rich.live import Live
from rich.text import Text
from virt_core import aio
from virt_core.objects.meta import rfc3339

from virt_admin.access import Access
from virt_admin.screen.lines import lines
from virt_admin.screen.tables import view
from virt_admin.screen.text import clean, to_json
from virt_admin.show import NOTHING
from virt_admin.suite.following import Follower
from virt_admin.suite.listing import read_suite
from virt_admin.suite.observed import Observed
from virt_admin.suite.summary import Summary, summarize

T = TypeVar("T")
_TICK = 1.0  # seconds between two looks at the clock, and at the connection
_SETTLE = 0.1  # seconds in which changes that come together are shown together
Show = Callable[[Summary | None], None]
End = Callable[[Observed | None], T | None]
"""What ends it; None while it goes on."""


async def follow_suite(access: Access, output: str) -> int:
    """Show until a signal ends it; returns the process's status."""
    await follow_until(access, output, lambda _: None)
    return 0


async def follow_until(access: Access, output: str, end: End[T]) -> T | None:
    """Show until `end` returns something, or a signal comes: None. What cannot be read at all is found out first."""
    observed = await read_suite(access.client)
    namespace = observed.namespace if observed is not None else "kubevirt"
    follower = Follower(access.client, namespace)
    watches = asyncio.create_task(follower.run(), name="watches")
    view = asyncio.create_task(_view(follower, output, end), name="view")
    try:
        await asyncio.wait({watches, view}, return_when=asyncio.FIRST_COMPLETED)
        if not view.done():
            watches.result()  # raises: they last until they are cancelled, but for a defect
        return await view
    finally:
        watches.cancel()
        view.cancel()
        await asyncio.gather(watches, view, return_exceptions=True)


async def _view(follower: Follower, output: str, end: End[T]) -> T | None:
    await follower.synced()
    return await _show(follower, output, end)


def in_json(write: Callable[[str], object] = click.echo) -> Show:
    """Shows every change as a line of JSON."""
    last: Summary | None = None

    def show(summary: Summary | None) -> None:
        nonlocal last
        if summary is None:
            write(to_json({"error": NOTHING, "time": _now()}))
        elif last is None or msgspec.structs.replace(summary, time=last.time) != last:
            last = summary
            write(to_json(summary))

    return show


def in_lines(
    write: Callable[[str], object] = click.echo, now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> Show:
    """Shows what is new as lines."""
    before: set[str] = set()

    def show(summary: Summary | None) -> None:
        nonlocal before
        current = lines(summary) if summary is not None else [NOTHING]
        for line in current:
            if line not in before:
                write(f"{rfc3339(now())} {line}")
        before = set(current)

    return show


def _draw(live: Live, summary: Summary | None) -> None:
    now = datetime.now(UTC)
    live.update(view(summary, now) if summary is not None else Text(clean(NOTHING)), refresh=True)


def _now() -> str:
    return rfc3339(datetime.now(UTC))


async def _show(follower: Follower, output: str, end: End[T]) -> T | None:
    """Show until a signal comes, or nobody reads standard output any more: then the process ends as click ends it."""
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    console = Console(highlight=False)
    if output == "json":
        return await _loop(follower, stopping, in_json(), end)
    if not console.is_terminal:
        return await _loop(follower, stopping, in_lines(), end)
    with Live(console=console, auto_refresh=False, screen=False, vertical_overflow="crop") as live:
        return await _loop(follower, stopping, lambda summary: _draw(live, summary), end)


async def _loop(follower: Follower, stopping: asyncio.Event, show: Show, end: End[T]) -> T | None:
    while not stopping.is_set():
        follower.changed.clear()
        observed = follower.current
        show(summarize(observed) if observed is not None else None)
        if (ended := end(observed)) is not None:
            return ended
        with suppress(TimeoutError):
            await asyncio.wait_for(aio.first(follower.changed, stopping), _TICK)
        with suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), _SETTLE)
    return None
