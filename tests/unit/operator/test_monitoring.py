"""What is made for a Prometheus of the Prometheus operator: KubeVirt's names, and no series that nobody exposes."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from virt_operator.monitoring.alerts import alerts
from virt_operator.monitoring.recording import records
from virt_operator.packaging.manifest import write_monitoring
from virt_operator.preflight.jobs import jobs
from virt_operator.strategy.desired import desired_objects
from virt_operator.strategy.hardware_job import hardware_job
from virt_operator.strategy.job import strategy_job
from virt_operator.strategy.monitoring import RUNBOOKS, monitoring_objects, prometheus_rule, service_monitor
from virt_operator.strategy.operator_objects import operator_objects
from virt_operator.strategy.ref import WORKLOADS
from virt_operator.strategy.services import metrics_service

from .suites import INSTALL

SERIES = re.compile(r"\b((?:[a-z]+:)?kubevirt_\w+(?::\w+)?)\b")
LABELS = {"kubevirt_io_kvm", "kubevirt_io_schedulable"}
KNOWN = (Path(__file__).parents[3] / "docs" / "monitoring.md").read_text()


def expressions() -> dict[str, str]:
    found = {alert.name: alert.expression for alert in alerts("suite")}
    return found | {record.name: record.expression for record in records("suite")}


def documented() -> set[str]:
    """Every metric of docs/monitoring.md, whose names have alternatives in braces."""
    names = set[str]()
    for pattern in re.findall(r"`(kubevirt_[\w{},]+)`", KNOWN):
        found = [""]
        for part in re.split(r"(\{[^}]*\})", pattern):
            choices = part[1:-1].split(",") if part.startswith("{") else [part]
            found = [before + choice for before in found for choice in choices]
        names.update(found)
    return names


def test_names_are_used_once_and_alerts_are_kubevirts_or_say_so() -> None:
    names = [*(alert.name for alert in alerts("suite")), *(record.name for record in records("suite"))]
    assert len(names) == len(set(names))
    assert {"VirtAPIDown", "NoReadyVirtController", "LowKVMNodesCount", "VMCannotBeEvicted"} <= set(names)


def test_rules_ask_for_series_that_this_release_exposes_or_records() -> None:
    recorded, exposed = {record.name for record in records("suite")}, documented()
    assert "kubevirt_vm_info" in exposed and "kubevirt_rest_client_requests_total" in exposed
    for name, expression in expressions().items():
        asked = {series for series in SERIES.findall(expression) if "device" not in series} - LABELS
        unknown = {s for s in asked if s not in recorded | exposed and not s.startswith("label_")}
        assert not unknown, f"{name} asks for {sorted(unknown)}"


def test_rules_are_about_the_suites_namespace() -> None:
    for name, expression in expressions().items():
        assert "'kubevirt'" not in expression, name
    assert "namespace='suite'" in expressions()["kubevirt_virt_api_up"]


def test_each_alert_names_its_page_and_how_bad_it_is() -> None:
    for alert in alerts("suite"):
        body = alert.to_body("https://pages.example/%s.md")
        assert body["annotations"]["runbook_url"] == f"https://pages.example/{alert.name}.md"
        assert body["annotations"]["summary"].endswith(".")
        labels = body["labels"]
        assert labels["severity"] in ("critical", "warning", "info")
        assert labels["operator_health_impact"] in ("critical", "warning", "none")
        assert labels["kubernetes_operator_part_of"] == labels["kubernetes_operator_component"] == "kubevirt"
    assert RUNBOOKS.count("%s") == 1


def test_the_monitor_selects_the_service_of_metrics_and_asks_its_port() -> None:
    monitor, service = service_monitor("suite", "monitoring"), metrics_service("suite")
    assert monitor["metadata"]["namespace"] == "monitoring"
    spec = monitor["spec"]
    assert spec["namespaceSelector"] == {"matchNames": ["suite"]}
    assert spec["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    (endpoint,), (port,) = spec["endpoints"], service["spec"]["ports"]
    assert (endpoint["port"], endpoint["scheme"]) == (port["name"], "https")
    assert service["spec"]["selector"] == {"prometheus.kubevirt.io": "true"}


def test_pods_of_components_are_scraped_and_those_of_jobs_which_have_no_port_are_not() -> None:
    label = "prometheus.kubevirt.io"
    components = [body for body in (*desired_objects(INSTALL), *operator_objects(INSTALL)) if body["kind"] in WORKLOADS]
    assert len(components) == 4
    for body in components:
        assert body["spec"]["template"]["metadata"]["labels"][label] == "true", body["metadata"]["name"]
    for job in (strategy_job(INSTALL), hardware_job("launcher:before", INSTALL), *jobs(INSTALL, "token")):
        assert label not in job["spec"]["template"]["metadata"]["labels"], job["metadata"]["name"]


def test_prometheus_may_find_the_pods_and_nothing_else() -> None:
    role, binding, *_ = monitoring_objects("suite", "monitoring", "prometheus")
    assert {(resource, *rule["verbs"]) for rule in role["rules"] for resource in rule["resources"]} == {
        (resource, "get", "list", "watch") for resource in ("services", "endpoints", "pods")
    }
    assert role["metadata"]["namespace"] == binding["metadata"]["namespace"] == "suite"
    (subject,) = binding["subjects"]
    assert (subject["name"], subject["namespace"]) == ("prometheus", "monitoring")


def test_the_file_is_written(tmp_path: Path) -> None:
    path = write_monitoring(tmp_path, "suite", "monitoring", "prometheus", "https://pages.example/%s")
    bodies = list(yaml.safe_load_all(path.read_text()))
    assert [body["kind"] for body in bodies] == ["Role", "RoleBinding", "ServiceMonitor", "PrometheusRule"]
    assert bodies[-1] == prometheus_rule("suite", "https://pages.example/%s")
