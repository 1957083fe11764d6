"""Prometheus' own tool takes the rules, and raises alerts when it should. It comes from Debian's package prometheus."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from localcluster.settings import PROJECT_ROOT
from virt_operator.strategy.monitoring import prometheus_rule

FOLDER = PROJECT_ROOT / "build" / "promtool"
SUITE = 'namespace="kubevirt"'
OLD_API = 'group="kubevirt.io", version="v1alpha3", resource="kubevirts"'
# By alert: series at one value a minute, the minute at which to look, and labels of the alert or None if there is none.
CASES: dict[str, tuple[dict[str, str], int, dict[str, str] | None]] = {
    "VirtAPIDown": ({f'up{{{SUITE}, pod="virt-api-1"}}': "0x30"}, 15, {}),
    "VirtControllerDown": ({f'up{{{SUITE}, pod="virt-controller-1"}}': "1x30"}, 15, None),
    "LowVirtControllersCount": (
        {
            'kube_node_status_allocatable{node="a"}': "1x30",
            'kube_node_status_allocatable{node="b"}': "1x30",
            f'kube_pod_status_ready{{{SUITE}, pod="virt-controller-1", condition="true"}}': "1x30",
            f'kubevirt_virt_controller_ready_status{{{SUITE}, pod="virt-controller-1"}}': "1x30",
        },
        15,
        {},
    ),
    "VirtControllerRESTErrorsBurst": (
        {
            f'kubevirt_rest_client_requests_total{{{SUITE}, pod="virt-controller-1", code="200"}}': "0+1x30",
            f'kubevirt_rest_client_requests_total{{{SUITE}, pod="virt-controller-1", code="500"}}': "0+9x30",
        },
        15,
        {},
    ),
    "OrphanedVirtualMachineInstances": (
        {
            'kube_pod_info{namespace="shop", pod="virt-launcher-a", node="node1"}': "1x30",
            'kube_pod_info{namespace="shop", pod="virt-launcher-b", node="node2"}': "1x30",
            f'kube_pod_info{{{SUITE}, pod="virt-handler-b", node="node2"}}': "1x30",
            f'kube_pod_status_ready{{{SUITE}, pod="virt-handler-b", condition="true"}}': "1x30",
        },
        15,
        {"node": "node1"},
    ),
    "VMCannotBeEvicted": (
        {
            'kubevirt_vmi_non_evictable{namespace="shop", name="web", node="node1"}': "1x30",
            'kubevirt_vmi_info{namespace="shop", name="web", node="node1", phase="running"}': "1x30",
        },
        5,
        {"namespace": "shop", "name": "web", "node": "node1"},
    ),
    "VirtualMachineStuckOnNode": (
        {
            'kubevirt_vm_info{namespace="shop", name="web", status="stopping"}': "1x30",
            'kubevirt_vmi_info{namespace="shop", name="web", node="node1", phase="running"}': "1x30",
        },
        10,
        {"namespace": "shop", "name": "web", "node": "node1", "status": "stopping"},
    ),
    "VirtualMachineStuckInUnhealthyState": (
        {
            'kubevirt_vm_info{namespace="shop", name="web", status="starting"}': "1x30",
            'kubevirt_vmi_info{namespace="shop", name="web", phase="scheduling"}': "1x30",
        },
        15,
        None,
    ),
    "KubeVirtDeprecatedAPIRequested": (
        {
            f'apiserver_request_total{{{OLD_API}, verb="GET"}}': "0+1x30",
            f'apiserver_request_total{{{OLD_API}, verb="WATCH"}}': "0+9x30",
            f"apiserver_requested_deprecated_apis{{{OLD_API}}}": "1x30",
        },
        20,
        {"group": "kubevirt.io", "version": "v1alpha3", "resource": "kubevirts"},
    ),
    "KubeVirtUpgradeStopped": ({f"kubevirt_operator_upgrade_stopped{{{SUITE}}}": "0 1x30"}, 5, {}),
    "KubeVirtCertificateExpiresSoon": (
        {
            f'kubevirt_certificate_start_timestamp_seconds{{{SUITE}, pod="a", certificate="leaf"}}': "0x100",
            f'kubevirt_certificate_expiry_timestamp_seconds{{{SUITE}, pod="a", certificate="leaf"}}': "3600x100",
        },
        59,
        None,  # for less than five minutes
    ),
}


GUEST = 'namespace="shop", name="web"'
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
    """That of this machine, or one that is unpacked from the package without installing it."""
    if found := shutil.which("promtool"):
        return Path(found)
    tool = FOLDER / "usr" / "bin" / "promtool"
    if not tool.exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        try:
            subprocess.run(["apt-get", "download", "-qq", "prometheus"], cwd=FOLDER, check=True, timeout=120)
            (package,) = FOLDER.glob("prometheus_*.deb")
            subprocess.run(["dpkg", "-x", package, FOLDER], check=True, timeout=60)
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            pytest.skip(f"no promtool: {error}")
    return tool


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


@pytest.mark.parametrize("name", CASES)
def test_an_alert_is_raised_when_its_page_says_so(promtool: Path, rules: Path, tmp_path: Path, name: str) -> None:
    series, minute, labels = CASES[name]
    (alert,) = [rule for rule in prometheus_rule("kubevirt")["spec"]["groups"][1]["rules"] if rule["alert"] == name]
    expected: list[dict[str, Any]] = []
    if labels is not None:
        notes = {key: _filled(text, labels) for key, text in alert["annotations"].items()}
        expected.append({"exp_labels": {**alert["labels"], **labels}, "exp_annotations": notes})
    test = {
        "interval": "1m",
        "input_series": [{"series": each, "values": values} for each, values in series.items()],
        "alert_rule_test": [{"eval_time": f"{minute}m", "alertname": name, "exp_alerts": expected}],
    }
    path = tmp_path / "test.yaml"
    path.write_text(yaml.safe_dump({"rule_files": [str(rules)], "evaluation_interval": "1m", "tests": [test]}))
    run(promtool, "test", "rules", path)


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
