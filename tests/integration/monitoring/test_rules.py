"""Prometheus' own tool takes the rules, and raises alerts when it should. It comes from Debian's package prometheus."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from virt_operator.strategy.monitoring import prometheus_rule

from tests.integration.monitoring.alert_cases import FIRES, GUEST, OLD_API, SILENT, SUITE, Case
from tests.support.prometheus_package import program

ALERTS = prometheus_rule("kubevirt")["spec"]["groups"][1]["rules"]

LAUNCHER = 'namespace="shop", pod="virt-launcher-web", container="compute"'
# By record: series as above, and the labels and the value that it has after an hour.
RECORDS: dict[str, tuple[dict[str, str], str, float]] = {
    "vmi:kubevirt_vmi_vcpu:count": (
        {
            f'kubevirt_vmi_vcpu_seconds_total{{{GUEST}, id="0", state="RUNNING"}}': "1x60",
            f'kubevirt_vmi_vcpu_seconds_total{{{GUEST}, id="0", state="BLOCKED"}}': "1x60",
            f'kubevirt_vmi_vcpu_seconds_total{{{GUEST}, id="1", state="RUNNING"}}': "1x60",
        },
        GUEST,
        2,
    ),
    "vmi:kubevirt_vmi_memory_available_bytes:sum": (
        {f"kubevirt_vmi_memory_available_bytes{{{GUEST}}}": "8x60"},
        GUEST,
        8,
    ),
    "vmi:kubevirt_vmi_memory_headroom_ratio:sum": (
        {
            f"kubevirt_vmi_memory_available_bytes{{{GUEST}}}": "8x60",
            f"kubevirt_vmi_memory_usable_bytes{{{GUEST}}}": "2x60",
        },
        GUEST,
        0.25,
    ),
    "vmi:kubevirt_vmi_pgmajfaults:rate30m": (
        {f"kubevirt_vmi_memory_pgmajfault_total{{{GUEST}}}": "0+60x60"},
        GUEST,
        1,
    ),
    "vmi:kubevirt_vmi_swap_traffic_bytes:rate5m": (
        {
            f"kubevirt_vmi_memory_swap_in_traffic_bytes{{{GUEST}}}": "0+60x60",
            f"kubevirt_vmi_memory_swap_out_traffic_bytes{{{GUEST}}}": "0+120x60",
        },
        GUEST,
        3,
    ),
    "pod_container:kubevirt_vm_memory_request_margin_based_on_rss_bytes:sum": (
        {
            f'kube_pod_container_resource_requests{{{LAUNCHER}, resource="memory", node="node1"}}': "100x60",
            f'container_memory_rss{{{LAUNCHER}, node="node1"}}': "130x60",
        },
        LAUNCHER,
        -30,
    ),
    "cluster:kubevirt_api_request_deprecated_total:sum": (
        {f'apiserver_request_total{{{OLD_API}, verb="GET", code="200", instance="{name}"}}': "5x60" for name in "ab"}
        | {'apiserver_request_total{group="kubevirt.io", version="v1", resource="kubevirts", verb="GET"}': "7x60"}
        | {f'apiserver_requested_deprecated_apis{{{OLD_API}, instance="{name}"}}': "1x60" for name in "ab"},
        f'{OLD_API}, verb="GET"',
        10,
    ),
    "cluster:kubevirt_virt_handler_ready:sum": (
        {f'kube_pod_status_ready{{{SUITE}, pod="virt-handler-{pod}", condition="true"}}': "1x60" for pod in "ab"}
        | {f'kubevirt_virt_handler_ready_status{{{SUITE}, pod="virt-handler-{pod}"}}': "1x60" for pod in "ab"},
        "",
        2,
    ),
}


@pytest.fixture(scope="module")
def promtool() -> Path:
    return program("promtool")


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rules") / "rules.yaml"
    path.write_text(yaml.safe_dump(prometheus_rule("kubevirt")["spec"]))
    return path


def run(promtool: Path, *arguments: object) -> None:
    done = subprocess.run([promtool, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_takes_the_rules(promtool: Path, rules: Path) -> None:
    run(promtool, "check", "rules", rules)


def test_each_alert_has_a_case() -> None:
    assert set(FIRES) == {rule["alert"] for rule in ALERTS}


@pytest.mark.parametrize("name", FIRES)
def test_an_alert_is_raised_when_its_page_says_so(promtool: Path, rules: Path, tmp_path: Path, name: str) -> None:
    case = FIRES[name]
    (alert,) = [rule for rule in ALERTS if rule["alert"] == name]
    notes = {key: _filled(text, case.labels) for key, text in alert["annotations"].items()}
    expected = {"exp_labels": {**alert["labels"], **case.labels}, "exp_annotations": notes}
    run(promtool, "test", "rules", written(tmp_path, rules, name, case, [expected]))


@pytest.mark.parametrize("what", SILENT)
def test_an_alert_is_not_raised_without_its_cause(promtool: Path, rules: Path, tmp_path: Path, what: str) -> None:
    name, case = SILENT[what]
    run(promtool, "test", "rules", written(tmp_path, rules, name, case, []))


def written(folder: Path, rules: Path, name: str, case: Case, expected: list[dict[str, Any]]) -> Path:
    """A test for promtool: what is raised of an alert."""
    test = {
        "interval": "1m",
        "input_series": [{"series": each, "values": values} for each, values in case.series.items()],
        "alert_rule_test": [{"eval_time": f"{case.minute}m", "alertname": name, "exp_alerts": expected}],
    }
    path = folder / "test.yaml"
    path.write_text(yaml.safe_dump({"rule_files": [str(rules)], "evaluation_interval": "1m", "tests": [test]}))
    return path


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_is_what_its_name_says(promtool: Path, rules: Path, tmp_path: Path, name: str) -> None:
    series, labels, value = RECORDS[name]
    test = {
        "interval": "1m",
        "input_series": [{"series": each, "values": values} for each, values in series.items()],
        "promql_expr_test": [
            {"expr": name, "eval_time": "60m", "exp_samples": [{"labels": f"{name}{{{labels}}}", "value": value}]}
        ],
    }
    path = tmp_path / "test.yaml"
    path.write_text(yaml.safe_dump({"rule_files": [str(rules)], "evaluation_interval": "1m", "tests": [test]}))
    run(promtool, "test", "rules", path)


def _filled(text: str, labels: dict[str, str]) -> str:
    for name, value in labels.items():
        text = text.replace(f"{{{{ $labels.{name} }}}}", value)
    return text
