"""Queues of keys show how much waits, how long it waits and what has to be repeated."""

from __future__ import annotations

import asyncio

from virt_core.kube.queue import Retry, WorkQueue
from virt_core.metrics.plumbing import plumbing
from virt_core.metrics.requests import Requests
from virt_core.rpc.tls import Certificates

from tests.support import virtual_time


def shown(tmp: Certificates) -> dict[tuple[str, str], float]:
    """By name without a prefix, and suffix."""
    found = {}
    for family in plumbing(tmp, Requests("https://host")):
        for sample in family.samples:
            if sample.labels.get("name") == "test" and sample.labels.get("le") in (None, "1.0"):
                found[sample.name.removeprefix("kubevirt_workqueue_"), family.type] = round(sample.value, 3)
    return found


def test_a_queue_is_measured_while_it_runs(tmp_path: object) -> None:
    certificates = Certificates(tmp_path)  # type: ignore[arg-type]  # pytest's Path

    async def main() -> None:
        queue = WorkQueue[str]("test")
        begun, go = asyncio.Event(), asyncio.Event()

        async def reconcile(key: str) -> None:
            begun.set()
            await go.wait()
            if key == "a" and not queue.counts.retries:
                raise Retry("once more")

        assert shown(certificates) == {}
        running = asyncio.create_task(queue.run(reconcile, 1, first=["a", "b"]))
        await begun.wait()
        await asyncio.sleep(4)
        found = shown(certificates)
        assert (found["depth", "gauge"], found["adds_total", "counter"]) == (1, 2)
        assert found["longest_running_processor_seconds", "gauge"] == 4
        assert found["unfinished_work_seconds", "gauge"] == 4
        go.set()
        await asyncio.sleep(4)
        found = shown(certificates)
        assert (found["depth", "gauge"], found["retries_total", "counter"]) == (0, 1)
        assert found["adds_total", "counter"] == found["queue_duration_seconds_count", "histogram"] == 3
        assert found["queue_duration_seconds_bucket", "histogram"] == 2, "b waited for 4 seconds"
        assert found["work_duration_seconds_sum", "histogram"] == 4
        assert found["unfinished_work_seconds", "gauge"] == 0
        running.cancel()
        await asyncio.wait([running])
        assert shown(certificates) == {}

    virtual_time.run(main())
