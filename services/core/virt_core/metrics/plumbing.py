"""What every component shows of its connections: requests to the API server, queues, certificates. Called by the
services' app.py when somebody asks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from prometheus_client.metrics_core import Metric

from virt_core import logs
from virt_core.conventions.certificate_files import LEAF
from virt_core.metrics.families import Values, counter, gauge, histogram
from virt_core.metrics.histogram import Histogram
from virt_core.metrics.queues import QueueCounts, running
from virt_core.metrics.requests import Requests
from virt_core.metrics.validity import periods
from virt_core.rpc.tls import Certificates, read_files

_EXPIRY = "When the certificate that the component serves with and the newest authority that it trusts expire."
_START = "When the same certificates were issued."
_LATENCY = "Request latency in seconds. Broken down by verb and URL."
_TOTAL = "Number of HTTP requests, partitioned by status code, method, and host."
_QUEUE, _ALL = "kubevirt_workqueue", "Total number of"
_WAITED = "How long an item stays in workqueue before being requested."
_WORKED = "How long in seconds processing an item from workqueue takes."
_LONGEST = "How many seconds has the longest running processor for workqueue been running."
_UNFINISHED = (
    "How many seconds of work have been in progress without being observed by work_duration. Large values indicate"
    " stuck threads."
)
_log = logs.bound("virt_core.metrics.plumbing")


def plumbing(certificates: Certificates, requests: Requests) -> list[Metric]:
    """Everything, with the queues that run in this process. Call it in the event loop, whose time they have."""
    now = asyncio.get_running_loop().time()
    return [*_of_requests(requests), *_of_queues(running(), now), *_of_certificates(certificates)]


def _of_requests(requests: Requests) -> list[Metric]:
    names = ("code", "method", "host", "resource", "verb")
    totals = [(dict(zip(names, labels, strict=True)), count) for labels, count in sorted(requests.total.items())]
    return [
        counter("kubevirt_rest_client_requests_total", _TOTAL, totals),
        histogram("kubevirt_rest_client_request_latency_seconds", _LATENCY, requests.took),
    ]


def _of_queues(queues: list[QueueCounts], now: float) -> list[Metric]:
    def of(number: Callable[[QueueCounts], float]) -> Values:
        return [({"name": queue.name}, number(queue)) for queue in queues]

    def merged(kept: Callable[[QueueCounts], Histogram]) -> Histogram:
        return Histogram.merged("name", {queue.name: kept(queue) for queue in queues})

    waited, worked = merged(lambda queue: queue.waited), merged(lambda queue: queue.worked)
    longest = of(lambda queue: max(queue.unfinished(now), default=0.0))
    return [
        gauge(f"{_QUEUE}_depth", "Current depth of workqueue", of(lambda queue: queue.depth)),
        counter(f"{_QUEUE}_adds_total", f"{_ALL} adds handled by workqueue", of(lambda queue: queue.adds)),
        counter(f"{_QUEUE}_retries_total", f"{_ALL} retries handled by workqueue", of(lambda queue: queue.retries)),
        histogram(f"{_QUEUE}_queue_duration_seconds", _WAITED, waited),
        histogram(f"{_QUEUE}_work_duration_seconds", _WORKED, worked),
        gauge(f"{_QUEUE}_longest_running_processor_seconds", _LONGEST, longest),
        gauge(f"{_QUEUE}_unfinished_work_seconds", _UNFINISHED, of(lambda queue: sum(queue.unfinished(now)))),
    ]


def _of_certificates(certificates: Certificates) -> list[Metric]:
    starts, ends = [], []
    try:
        leaf = read_files(certificates.folder, (LEAF,))[LEAF]
        for what, pem in (("leaf", leaf), ("authority", certificates.bundle())):
            start, end = max(periods(pem), key=lambda period: period[1])
            starts.append(({"certificate": what}, start.timestamp()))
            ends.append(({"certificate": what}, end.timestamp()))
    except (OSError, ValueError) as error:  # the files are being replaced
        _log.warning("not showing when certificates expire", reason=str(error))
    return [
        gauge("kubevirt_certificate_start_timestamp_seconds", _START, starts),
        gauge("kubevirt_certificate_expiry_timestamp_seconds", _EXPIRY, ends),
    ]
