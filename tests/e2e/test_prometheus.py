"""Debian's Prometheus scrapes the suite by the objects that virt-operator writes for it, and has of it what
docs/monitoring.md says, and what dashboards ask for. Values change when they should."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.e2e.cluster import ROOT, until
from tests.e2e.guest_shell import Shell
from tests.e2e.guests import Guest
from tests.e2e.metric_table import labels_of, wrong
from tests.e2e.scraped import COMPONENTS, JOB, PLAIN, UNKNOWN, VERIFIED, pods, scraped
from tests.e2e.virtual_machines import has, request
from tests.e2e.watched import (
    NAME,
    SELECTED,
    agent_started,
    expect,
    is_one,
    is_something,
    is_zero,
    migrates,
    migration_fails,
    status,
    transition,
    watched,
)
from tests.support.dashboards import queries, unfiltered
from tests.support.prometheus import Prometheus
from tests.support.public_dashboards import NOT_THERE, NOTHING, SERIES

pytestmark = pytest.mark.slow
OWN = sorted((ROOT / "docs" / "dashboards").glob("*.json"))
OTHERS = sorted(Path(os.environ["DASHBOARDS"]).glob("**/*.json")) if os.environ.get("DASHBOARDS") else []
IDLE = {
    "Operation": "no operation is in progress",
    "In this step for": "no operation is in progress",
    "Requests that fail": "none fails",
}
"""Panels of docs/dashboards that show nothing of a suite that is well."""


@pytest.fixture(scope="module")
def prometheus(suite: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    with scraped(tmp_path_factory.mktemp("prometheus")) as running:
        yield running


@pytest.fixture(scope="module")
def guest(prometheus: Prometheus) -> Iterator[Guest]:
    with watched() as running:
        yield running


@pytest.fixture
async def console(guest: Guest) -> AsyncIterator[Shell]:
    async with Shell.of(guest) as shell:
        yield shell


def test_every_pod_of_every_component_is_scraped_by_https(prometheus: Prometheus) -> None:
    targets = {target["labels"]["pod"]: target for target in prometheus.targets(JOB)}
    assert targets.keys() == pods().keys() and set(pods().values()) == set(COMPONENTS)
    for pod, target in targets.items():
        assert target["health"] == "up", target
        assert target["scrapeUrl"].startswith("https://") and target["scrapeUrl"].endswith(":8443/metrics")
        assert target["labels"]["job"] == "kubevirt-prometheus-metrics"
        assert prometheus.value(f'scrape_samples_scraped{{job="kubevirt-prometheus-metrics", pod="{pod}"}}') > 0


@pytest.mark.parametrize("component", COMPONENTS)
def test_certificates_are_of_the_suites_authority_and_nothing_is_said_without_tls(
    prometheus: Prometheus, component: str
) -> None:
    count = list(pods().values()).count(component)

    def tried(kind: str) -> bool:
        return prometheus.value(f'count(up{{job="{kind}-{component}"}})') == count

    until(lambda: all(tried(kind) for kind in (VERIFIED, PLAIN, UNKNOWN)), "all scrapes", 60)
    assert prometheus.value(f'sum(up{{job="{VERIFIED}-{component}"}})') == count
    for kind, why in ((PLAIN, ("malformed", "EOF", "reset", "400")), (UNKNOWN, ("x509",))):
        assert prometheus.value(f'sum(up{{job="{kind}-{component}"}})') == 0
        for target in prometheus.targets(f"{kind}-{component}"):
            assert any(word in target["lastError"] for word in why), target["lastError"]


async def test_values_follow_a_guest_that_is_paused_migrated_stopped_and_started(
    prometheus: Prometheus, guest: Guest, console: Shell
) -> None:
    expect(prometheus, f'kubevirt_console_active_connections{{vmi="{NAME}"}}', is_one)
    await agent_started(console)
    expect(prometheus, f'kubevirt_vmi_status_addresses{{name="{NAME}", interface_name!=""}}', is_one)
    expect(prometheus, f"kubevirt_vmi_filesystem_used_bytes{SELECTED}", is_something)
    cpu = f"kubevirt_vmi_cpu_usage_seconds_total{SELECTED}"
    before = expect(prometheus, cpu, is_something)
    expect(prometheus, cpu, lambda seconds: seconds > before)
    expect(prometheus, "sum(kubevirt_vmi_phase_count{phase='running'})", is_one)
    guest.command("pause")
    expect(prometheus, status("paused"), is_one)
    expect(prometheus, transition("running"), is_zero)
    since = expect(prometheus, transition("non_running"), is_something)
    expect(prometheus, f"sum(increase(kubevirt_vmi_vcpu_seconds_total{SELECTED}[10s]))", lambda used: 0 <= used < 0.01)
    guest.command("unpause")
    expect(prometheus, status("running"), is_one)
    expect(prometheus, transition("running"), lambda moment: moment > since)
    migration_fails(prometheus)
    migrates(prometheus, guest)
    request(NAME, "stop")
    expect(prometheus, status("stopped"), is_one)
    expect(prometheus, f"absent(kubevirt_vmi_info{SELECTED})", is_one)
    expect(prometheus, f"absent({cpu})", is_one)
    request(NAME, "start")
    has(NAME, "Running", 120)
    expect(prometheus, cpu, is_something)


def test_each_documented_metric_has_its_type_and_labels(prometheus: Prometheus, guest: Guest) -> None:
    types = dict[str, set[str]]()

    def complete() -> bool:
        for name, kinds in prometheus.types().items():
            types.setdefault(name, set()).update(kinds)
        return not wrong(prometheus, types)

    with suppress(AssertionError):
        until(complete, "all metrics", 60)
    assert wrong(prometheus, types) == {}


@pytest.mark.parametrize("dashboard", SERIES)
def test_what_public_dashboards_ask_for_is_there(prometheus: Prometheus, guest: Guest, dashboard: str) -> None:
    lacking = {}
    for name, labels in SERIES[dashboard].items():
        found = labels_of(prometheus, name)
        if lacks := set(labels.split()) - found:
            lacking[name] = sorted(lacks) if found else "no series"
    assert lacking == {}


def test_what_public_dashboards_ask_for_in_vain_is_known(prometheus: Prometheus) -> None:
    assert {series for series in NOT_THERE if labels_of(prometheus, series)} == set()


@pytest.mark.parametrize("path", [*OWN, *OTHERS], ids=lambda path: path.name)
def test_each_query_of_a_dashboard_returns_data(prometheus: Prometheus, guest: Guest, path: Path) -> None:
    nothing = IDLE if path in OWN else NOTHING
    asked = queries(json.loads(path.read_text()))

    def lacking() -> dict[str, str]:
        empty = {
            query.panel: query.expression
            for query in asked
            if not (prometheus.query(query.expression) or prometheus.query(unfiltered(query.expression)))
        }
        print(f"{path.name}: nothing in {sorted(empty)}")
        return {panel: text for panel, text in empty.items() if panel not in nothing}

    with suppress(AssertionError):
        until(lambda: not lacking(), "a scrape of the guest and the rules after it", 60, every=2)
    assert lacking() == {}
