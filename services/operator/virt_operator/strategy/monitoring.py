"""The objects for a Prometheus of the Prometheus operator, under KubeVirt's names. Pure; called by
desired.py and packaging/.

The ServiceMonitor is in the Prometheus' namespace, the rules and the permission to find the pods in the suite's.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from virt_core.conventions import component_pod, labels

from virt_operator.monitoring.alerts import alerts
from virt_operator.monitoring.recording import records
from virt_operator.strategy import rbac
from virt_operator.strategy.ref import FOREIGN, Body, Ref
from virt_operator.strategy.rules import rule

NAME, ROLE = "prometheus-kubevirt-rules", "kubevirt-monitoring"
RUNBOOKS = "https://kubevirt.io/monitoring/runbooks/%s"
"""KubeVirt's pages, for those who have no place for docs/runbooks/."""

MONITOR = "ServiceMonitor"
DEFAULT_NAMESPACES = ("openshift-monitoring", "monitoring")
DEFAULT_ACCOUNT = "prometheus-k8s"
"""Where KubeVirt looks for Prometheus, and the name of its service account."""

_API = "monitoring.coreos.com/v1"
_LABELS = {labels.PROMETHEUS: "true", "k8s-app": "kubevirt"}


class Place(NamedTuple):
    """Where Prometheus is."""

    namespace: str
    account: str
    """Its service account."""

    monitors: str
    """The namespace in which it looks for ServiceMonitors."""


def is_monitoring(ref: Ref) -> bool:
    """Whether it is one of these objects, of any release."""
    return ref.kind in FOREIGN or (ref.kind in ("Role", "RoleBinding") and ref.name == ROLE)


def placed(bodies: Iterable[Body], place: Place) -> list[Body]:
    """Objects of a strategy, which is printed for KubeVirt's defaults, for the Prometheus of this cluster."""
    return [_placed(body, place) for body in bodies]


def _placed(body: Body, place: Place) -> Body:
    if body["kind"] == MONITOR:
        return {**body, "metadata": {**body["metadata"], "namespace": place.monitors}}
    if body["kind"] == "RoleBinding":
        return {**body, "subjects": [rbac.service_account_subject(place.account, place.namespace)]}
    return body


def monitoring_objects(namespace: str, monitor_namespace: str, account: str, runbooks: str = RUNBOOKS) -> list[Body]:
    """All of them. `account` is the service account of Prometheus in `monitor_namespace`."""
    return [
        _role(namespace),
        rbac.role_binding(ROLE, namespace, ROLE, rbac.service_account_subject(account, monitor_namespace)),
        service_monitor(namespace, monitor_namespace),
        prometheus_rule(namespace, runbooks),
    ]


def service_monitor(namespace: str, monitor_namespace: str) -> Body:
    """Scrape all components. Their certificates name Services and nodes, not the addresses that Prometheus uses."""
    endpoint = {
        "port": component_pod.METRICS_PORT_NAME,
        "scheme": "https",
        "tlsConfig": {"insecureSkipVerify": True},
        "honorLabels": True,
    }
    return {
        "apiVersion": _API,
        "kind": "ServiceMonitor",
        "metadata": {
            "name": NAME,
            "namespace": monitor_namespace,
            "labels": {**_LABELS, "openshift.io/cluster-monitoring": ""},
        },
        "spec": {
            "selector": {"matchLabels": {labels.PROMETHEUS: "true"}},
            "namespaceSelector": {"matchNames": [namespace]},
            "endpoints": [endpoint],
        },
    }


def prometheus_rule(namespace: str, runbooks: str = RUNBOOKS) -> Body:
    """Alerts and what they are computed from. `runbooks` is a URL with "%s" for the alert's name."""
    groups = [
        {"name": "recordingRules.rules", "rules": [record.to_body() for record in records(namespace)]},
        {"name": "alerts.rules", "rules": [alert.to_body(runbooks) for alert in alerts(namespace)]},
    ]
    return {
        "apiVersion": _API,
        "kind": "PrometheusRule",
        "metadata": {"name": NAME, "namespace": namespace, "labels": dict(_LABELS)},
        "spec": {"groups": groups},
    }


def _role(namespace: str) -> Body:
    found = (rule("", name, "get", "list", "watch") for name in ("services", "endpoints", "pods"))
    return rbac.role(ROLE, namespace, tuple(found))
