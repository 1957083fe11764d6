"""The components of this tree as processes: each serves by HTTPS what docs/monitoring.md says of it, nothing else."""

from __future__ import annotations

import asyncio
import re
import ssl
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

from localcluster.settings import PROJECT_ROOT

from tests.support.documented_metrics import documented
from tests.support.patience import PATIENCE
from tests.support.probes import METRICS, ask
from tests.support.skew.matrix import THIS, started
from tests.support.skew.suite import Release

ALL = ("virt-operator", "virt-api", "virt-controller", "virt-handler")


async def shown(port: int, authority: bytes) -> dict[str, str]:
    """The type of each of a component's metrics."""
    trusting = ssl.create_default_context(cadata=authority.decode())
    trusting.check_hostname = False
    head, _, body = (await ask(port, METRICS, tls=trusting)).decode().partition("\r\n\r\n")
    assert head.startswith("HTTP/1.1 200 "), head
    lines = body.splitlines()
    types = dict(line.split()[2:] for line in lines if line.startswith("# TYPE "))
    samples = {re.split(r"[{ ]", line)[0] for line in lines if not line.startswith("#")}
    assert samples and all(re.sub("_(bucket|count|sum)$", "", name) in types or name in types for name in samples)
    return types


async def test_each_component_serves_what_is_documented() -> None:
    known = {name: metric.kind for name, metric in documented().items()}
    found = dict[str, dict[str, str]]()
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:  # short: unix sockets
        async with asyncio.timeout(2 * PATIENCE), AsyncExitStack() as stack:
            suite = await started(Release(THIS, PROJECT_ROOT), Path(folder) / "suite", stack)
            assert set(suite.metrics) == set(ALL)
            for component, port in suite.metrics.items():
                found[component] = await shown(port, suite.authority.bundle)
    for component, types in found.items():
        of_suite = {name: kind for name, kind in types.items() if name.startswith("kubevirt_")}
        assert of_suite.items() <= known.items(), component
        ready = f"kubevirt_{component.replace('-', '_')}_ready_status"
        common = {"kubevirt_info", ready, "kubevirt_rest_client_requests_total"}
        assert common | {"kubevirt_certificate_expiry_timestamp_seconds"} <= set(of_suite)
        assert {name for name in types if not name.startswith("kubevirt_")} <= {
            f"process_{name}"
            for name in (
                "virtual_memory_bytes",
                "resident_memory_bytes",
                "start_time_seconds",
                "cpu_seconds_total",
                "open_fds",
                "max_fds",
            )
        }
