"""What Prometheus gets: the text, how often it is measured, and the port."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from prometheus_client.metrics_core import Metric
from virt_core.metrics import exposition, server
from virt_core.metrics.families import counter, gauge
from virt_core.metrics.measured import Measured
from virt_core.rpc.tls import Certificates, write_files
from virt_operator.certificates.issue import KeyPair, new_authority, new_leaf

from tests.support.patience import PATIENCE
from tests.support.probes import INSECURE, METRICS, ask, free_port


def test_families_are_written_with_type_labels_and_escaped_values() -> None:
    families = [
        gauge("virt_up", "Is up.", [({"b": "x", "a": '"q"\\\n'}, 1), ({}, 2.5)]),
        counter("virt_seen_total", "Seen.", [({}, 3)]),
        counter("virt_last_timestamp_seconds", "A counter by KubeVirt's name.", [({}, 4)]),
        gauge("virt_unknown", "Nothing is known.", []),
    ]
    assert exposition.text(families).decode().splitlines() == [
        "# HELP virt_up Is up.",
        "# TYPE virt_up gauge",
        r'virt_up{a="\"q\"\\\n",b="x"} 1.0',
        "virt_up 2.5",
        "# HELP virt_seen_total Seen.",
        "# TYPE virt_seen_total counter",
        "virt_seen_total 3.0",
        "# HELP virt_last_timestamp_seconds A counter by KubeVirt's name.",
        "# TYPE virt_last_timestamp_seconds counter",
        "virt_last_timestamp_seconds 4.0",
    ]


def test_the_process_shows_its_memory_and_no_registry_is_shared() -> None:
    before = set(REGISTRY._names_to_collectors)
    text = exposition.text(exposition.process()).decode()
    assert "\n# TYPE process_cpu_seconds_total counter\n" in text and "process_resident_memory_bytes " in text
    assert set(REGISTRY._names_to_collectors) == before


@pytest.mark.parametrize("service", ["operator", "api", "controller", "handler"])
def test_no_service_loads_the_library_before_somebody_asks(service: str) -> None:
    script = f"import sys, virt_{service}.app; assert 'prometheus_client' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=PATIENCE)


async def answers(clock: list[float], used: list[float], times: int) -> list[int]:
    """Which measurement each of those who ask one after another gets."""
    values = iter(range(1, times + 1))

    async def measure() -> list[Metric]:
        return [gauge("virt_measured", "Which measurement it is.", [({}, next(values))])]

    measured = Measured(measure, iter(clock).__next__, iter(used).__next__)
    bodies = [await measured.body() for _ in range(times)]
    return [int(body.split(b"\nvirt_measured ")[1][:1]) for body in bodies]


async def test_measuring_takes_a_small_part_of_the_processors_time() -> None:
    clock, used = [0.0, 4.0, 23.9, 24.1, 24.2, 29.0, 29.3, 29.4], [0.0, 1.0, 1.0, 1.1, 1.1, 1.2]
    assert await answers(clock, used, 5) == [1, 1, 2, 2, 3]


async def test_to_wait_for_a_launcher_that_hangs_makes_no_answer_old() -> None:
    assert await answers([0.0, 3.0, 7.9, 8.1, 11.1], [0.0] * 4, 3) == [1, 1, 2]


class SlowMeasurement:
    """Takes until the test ends it; `times` is how often it was begun."""

    def __init__(self) -> None:
        self.begun, self.done, self.times = asyncio.Event(), asyncio.Event(), 0

    async def measure(self) -> list[Metric]:
        self.times += 1
        self.begun.set()
        await self.done.wait()
        return []


async def test_a_measurement_goes_on_when_who_asked_has_given_up() -> None:
    slow = SlowMeasurement()
    measured = Measured(slow.measure)
    async with asyncio.timeout(PATIENCE):
        impatient = asyncio.create_task(measured.body())
        await slow.begun.wait()
        impatient.cancel()
        await asyncio.wait([impatient])
        patient = asyncio.create_task(measured.body())
        slow.done.set()
        assert b"process_cpu_seconds_total" in await patient
    assert impatient.cancelled() and slow.times == 1


async def test_a_measurement_that_fails_is_made_anew() -> None:
    outcomes = iter([ValueError("a defect"), None])

    async def measure() -> list[Metric]:
        if (error := next(outcomes)) is not None:
            raise error
        return []

    measured = Measured(measure)
    with pytest.raises(ValueError, match="a defect"):
        await measured.body()
    assert b"process_cpu_seconds_total" in await measured.body()


async def test_those_who_ask_while_it_is_measured_get_the_same_answer() -> None:
    slow = SlowMeasurement()
    measured = Measured(slow.measure)
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        answers = [group.create_task(measured.body()) for _ in range(3)]
        await slow.begun.wait()
        slow.done.set()
    assert slow.times == 1 and len({answer.result() for answer in answers}) == 1


@pytest.fixture
def authority() -> KeyPair:
    return new_authority(datetime.now(UTC))


def write_leaf(authority: KeyPair, folder: Path) -> bytes:
    leaf = new_leaf(authority, "kubevirt.io:system:virt-controller", ("localhost",), datetime.now(UTC))
    write_files(folder, {"tls.crt": leaf.certificate, "tls.key": leaf.key, "ca.crt": leaf.bundle})
    return leaf.certificate


async def nothing() -> list[Metric]:
    return []


async def test_the_port_serves_metrics_by_https_and_nothing_else(authority: KeyPair, tmp_path: Path) -> None:
    write_leaf(authority, tmp_path)
    port, trusting = free_port(), ssl.create_default_context(cadata=authority.certificate.decode())
    trusting.check_hostname = False
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        serving = group.create_task(server.serve(port, Certificates(tmp_path), nothing))
        answer = await ask(port, METRICS, tls=trusting)
        assert answer.startswith(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n")
        assert b"\nprocess_cpu_seconds_total " in answer
        assert (await ask(port, tls=trusting)).startswith(b"HTTP/1.1 404 "), "probes are answered elsewhere"
        assert await ask(port, METRICS) == b"", "no plain HTTP"
        serving.cancel()


async def test_the_port_refuses_old_tls_and_asks_for_no_certificate(authority: KeyPair, tmp_path: Path) -> None:
    """So it serves a Prometheus with a certificate of its own, too."""
    write_leaf(authority, tmp_path)
    old, port = ssl.create_default_context(), free_port()
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with_certificate = ssl.create_default_context()
    with_certificate.check_hostname, with_certificate.verify_mode = False, ssl.CERT_NONE
    stranger = tmp_path / "stranger"
    stranger.mkdir()
    write_leaf(new_authority(datetime.now(UTC)), stranger)
    with_certificate.load_cert_chain(stranger / "tls.crt", stranger / "tls.key")
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        serving = group.create_task(server.serve(port, Certificates(tmp_path), nothing))
        assert (await ask(port, METRICS, tls=with_certificate)).startswith(b"HTTP/1.1 200 ")
        with pytest.raises(OSError):  # an alert, or the end of the connection
            await ask(port, METRICS, tls=old)
        serving.cancel()


async def test_a_new_certificate_is_served_from_the_next_connection_on(authority: KeyPair, tmp_path: Path) -> None:
    port = free_port()
    write_leaf(authority, tmp_path)
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        serving = group.create_task(server.serve(port, Certificates(tmp_path), nothing))
        await ask(port, METRICS, tls=INSECURE)
        renewed = write_leaf(authority, tmp_path)
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=INSECURE)
        shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        serving.cancel()
    assert ssl.DER_cert_to_PEM_cert(shown).encode() == renewed
