"""Keys to reconcile: queued once, worked on by a single worker, retried after failures."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest
from virt_core.kube.errors import Conflict, Unavailable
from virt_core.kube.queue import Retry, WorkQueue

from tests.support import virtual_time
from tests.support.patience import PATIENCE


@asynccontextmanager
async def working(
    queue: WorkQueue[str], reconcile: Callable[[str], Awaitable[float | None]], *first: str, workers: int = 2
) -> AsyncIterator[None]:
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        running = group.create_task(queue.run(reconcile, workers, first=first), name="queue")
        yield
        running.cancel()


async def test_a_key_added_thrice_is_reconciled_once() -> None:
    done: asyncio.Queue[str] = asyncio.Queue()
    queue = WorkQueue[str]("test")

    async def reconcile(key: str) -> None:
        done.put_nowait(key)

    async with working(queue, reconcile, "a", "a", "b", "a", workers=1):
        assert [await done.get(), await done.get()] == ["a", "b"]
        queue.add("last")
        assert await done.get() == "last"


async def test_two_workers_never_have_one_key_and_an_add_meanwhile_runs_once_more() -> None:
    started: asyncio.Queue[str] = asyncio.Queue()
    go = asyncio.Semaphore(0)
    queue = WorkQueue[str]("test")

    async def reconcile(key: str) -> None:
        started.put_nowait(key)
        if key == "slow":
            await go.acquire()

    async with working(queue, reconcile, "slow"):
        assert await started.get() == "slow"
        for _ in range(3):
            queue.add("slow")
        queue.add("other")
        assert await started.get() == "other"  # by the second worker, which leaves "slow" alone
        go.release()
        assert await started.get() == "slow"
        go.release()
        queue.add("last")
        assert await started.get() == "last"
        assert started.empty()


@pytest.mark.parametrize("failure", [Conflict(409, "changed"), Retry("not there yet")], ids=["conflict", "retry"])
async def test_a_key_is_tried_again_with_growing_delays(failure: Exception) -> None:
    times: list[float] = []
    finished = asyncio.Event()
    queue = WorkQueue[str]("test")

    async def reconcile(key: str) -> None:
        times.append(asyncio.get_running_loop().time())
        if len(times) < 4:
            raise failure
        finished.set()

    async with working(queue, reconcile, "a"):
        await finished.wait()
    delays = [later - earlier for earlier, later in pairwise(times)]
    assert all(delay >= least for delay, least in zip(delays, (0.049, 0.099, 0.199), strict=True)), delays


def test_the_delays_begin_anew_when_the_failures_of_a_key_are_forgiven() -> None:
    times: list[float] = []

    async def check() -> None:
        finished = asyncio.Event()
        queue = WorkQueue[str]("test")

        async def reconcile(key: str) -> None:
            times.append(asyncio.get_running_loop().time())
            if len(times) == 10:
                queue.forgive(key)
            if len(times) == 12:
                finished.set()
            raise Unavailable(503, "down")

        async with working(queue, reconcile, "a"):
            await finished.wait()

    virtual_time.run(check())
    delays = [round(later - earlier, 2) for earlier, later in pairwise(times)]
    assert delays == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 0.05, 0.1]


def test_whoever_asks_for_a_retry_bounds_its_delay() -> None:
    attempts = 0

    async def check() -> None:
        finished = asyncio.Event()
        queue = WorkQueue[str]("test")

        async def reconcile(_key: str) -> None:
            nonlocal attempts
            attempts += 1
            if attempts < 8:
                raise Retry("not there yet", longest=0.05)
            finished.set()

        async with working(queue, reconcile, "a"):
            await asyncio.wait_for(finished.wait(), 2)  # unbounded, the delays alone are 6 s

    virtual_time.run(check())
    assert attempts == 8


@pytest.mark.parametrize("failure", [RuntimeError("defect"), Unavailable(503, "down")], ids=["defect", "unavailable"])
async def test_a_failing_key_is_tried_again_and_stops_no_other(failure: Exception) -> None:
    done: asyncio.Queue[str] = asyncio.Queue()
    attempts: list[str] = []
    queue = WorkQueue[str]("test")

    async def reconcile(key: str) -> None:
        attempts.append(key)
        if key == "bad" and attempts.count("bad") == 1:
            raise failure
        done.put_nowait(key)

    async with working(queue, reconcile, "bad", "good", workers=1):
        assert [await done.get(), await done.get()] == ["good", "bad"]
    assert attempts == ["bad", "good", "bad"]


async def test_the_earlier_of_two_delays_counts_and_an_add_comes_before_both() -> None:
    done: asyncio.Queue[str] = asyncio.Queue()
    queue = WorkQueue[str]("test")

    async def reconcile(key: str) -> None:
        done.put_nowait(key)

    async with working(queue, reconcile, "first"):
        assert await done.get() == "first"
        queue.add_after("later first", 60)
        queue.add_after("later first", 0.01)
        assert await done.get() == "later first"
        queue.add_after("earlier first", 0.01)
        queue.add_after("earlier first", 60)
        assert await done.get() == "earlier first"
        queue.add_after("added", 60)
        queue.add("added")
        assert await done.get() == "added"


async def test_a_reconciler_s_delay_is_kept() -> None:
    done: asyncio.Queue[str] = asyncio.Queue()
    queue = WorkQueue[str]("test")

    async def reconcile(key: str) -> float | None:
        done.put_nowait(key)
        return 0.01

    async with working(queue, reconcile, "a"):
        assert [await done.get() for _ in range(3)] == ["a", "a", "a"]


async def test_a_queue_that_is_not_worked_on_keeps_nothing() -> None:
    done: asyncio.Queue[str] = asyncio.Queue()
    queue = WorkQueue[str]("standby")

    async def reconcile(key: str) -> None:
        done.put_nowait(key)

    def kept() -> int:
        return len(queue._waiting) + queue._ready._value + len(queue._timers) + len(queue._failures)

    for number in range(5000):
        queue.add(f"machine{number}")
        queue.add_after(f"machine{number}", 60)
    assert kept() == 0
    async with working(queue, reconcile, "seen", workers=1):
        assert await done.get() == "seen"
        queue.add_after("later", 60)
    assert kept() == 0


async def test_urgent_keys_go_first_and_let_others_have_every_fourth_turn() -> None:
    done: list[str] = []
    last = asyncio.Event()
    queue = WorkQueue[str]("test", urgent=str.isupper)

    async def reconcile(key: str) -> None:
        done.append(key)
        if len(done) == 9:
            last.set()

    async with working(queue, reconcile, *"abAcBCDEF", workers=1):
        await last.wait()
    assert "".join(done) == "ABCaDEFbc"


async def test_a_key_that_becomes_urgent_while_it_waits_overtakes_others() -> None:
    done: list[str] = []
    urgent: set[str] = set()
    last = asyncio.Event()
    queue = WorkQueue[str]("test", urgent=urgent.__contains__)

    async def reconcile(key: str) -> None:
        done.append(key)
        if key == "first":
            urgent.add("c")
            queue.add("c")
            queue.add("c")
        if len(done) == 4:
            last.set()

    async with working(queue, reconcile, "first", "a", "b", "c", workers=1):
        await last.wait()
    assert done == ["first", "c", "a", "b"]


async def test_a_defect_in_what_is_urgent_loses_no_key_and_stops_no_other() -> None:
    done: asyncio.Queue[str] = asyncio.Queue()

    def urgent(key: str) -> bool:
        if key == "bad":
            raise RuntimeError("defect")
        return False

    queue = WorkQueue[str]("test", urgent)

    async def reconcile(key: str) -> None:
        done.put_nowait(key)
        if key == "good":
            queue.add("good")

    async with working(queue, reconcile, "bad", workers=1):
        assert await done.get() == "bad"
        queue.add("bad")
        queue.add_after("later", 0.01)
        assert [await done.get(), await done.get()] == ["bad", "later"]
