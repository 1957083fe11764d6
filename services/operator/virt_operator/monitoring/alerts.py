"""Alerts about the suite, under KubeVirt's names, and three of our own. Pure; called by strategy/monitoring.py.

An alert is here only if its series exist in this release. Each has a page in docs/runbooks/.
"""

from __future__ import annotations

from collections.abc import Iterator

from virt_core.conventions import components

from virt_operator.monitoring.guest_alerts import of_guests
from virt_operator.monitoring.rule import CRITICAL, INFO, NONE, WARNING, Alert

_MANY_NODES = "(kubevirt_allocatable_nodes > 1)"
_UPGRADE = "kubevirt_operator_upgrade"


def alerts(namespace: str) -> Iterator[Alert]:
    """All of them; `namespace` is the suite's."""
    yield from _of_api(namespace)
    yield from _of_controller(namespace)
    yield from _of_operator(namespace)
    yield from _of_handler(namespace)
    yield from _of_nodes()
    yield from _of_requests()
    yield from of_guests()
    yield from _of_upgrades(namespace)


def _of_api(namespace: str) -> Iterator[Alert]:
    up = "kubevirt_virt_api_up"
    yield Alert("VirtAPIDown", f"{up} == 0", "All virt-api servers are down.", CRITICAL, CRITICAL, "10m")
    yield _too_few("LowVirtAPICount", up, components.API, "60m")
    yield _rest_errors("VirtApiRESTErrorsBurst", namespace, components.API)


def _of_controller(namespace: str) -> Iterator[Alert]:
    ready, up = "kubevirt_virt_controller_ready", "kubevirt_virt_controller_up"
    yield _none("VirtControllerDown", up, "running virt-controller")
    yield _none("NoReadyVirtController", ready, "ready virt-controller")
    yield _none("NoLeadingVirtController", "kubevirt_virt_controller_leading", "leading virt-controller")
    few = f"{ready} < cluster:kubevirt_virt_controller_pods_running:count"
    summary = "Some virt-controllers are running but not ready."
    yield Alert("LowReadyVirtControllersCount", few, summary, WARNING, WARNING, "10m")
    yield _too_few("LowVirtControllersCount", ready, components.CONTROLLER, "10m")
    yield _rest_errors("VirtControllerRESTErrorsBurst", namespace, components.CONTROLLER)


def _of_operator(namespace: str) -> Iterator[Alert]:
    ready, up = "kubevirt_virt_operator_ready", "kubevirt_virt_operator_up"
    yield Alert("VirtOperatorDown", f"{up} == 0", "All virt-operator servers are down.", CRITICAL, CRITICAL, "10m")
    yield _none("NoReadyVirtOperator", ready, "ready virt-operator")
    yield _none("NoLeadingVirtOperator", "kubevirt_virt_operator_leading", "leading virt-operator")
    few = f"{ready} < cluster:kubevirt_virt_operator_pods_running:count"
    summary = "Some virt-operators are running but not ready."
    yield Alert("LowReadyVirtOperatorsCount", few, summary, WARNING, WARNING, "10m")
    yield _too_few("LowVirtOperatorCount", up, components.OPERATOR, "60m")
    yield _rest_errors("VirtOperatorRESTErrorsBurst", namespace, components.OPERATOR)


def _of_handler(namespace: str) -> Iterator[Alert]:
    place = f"{{namespace='{namespace}', daemonset='virt-handler'}}"
    ready, desired = (f"kube_daemonset_status_{what}{place}" for what in ("number_ready", "desired_number_scheduled"))
    summary = "Some virt-handlers failed to roll out."
    missing = f"({ready} - {desired}) != 0"
    yield Alert("VirtHandlerDaemonSetRolloutFailing", missing, summary, WARNING, WARNING, "15m")
    yield _none("VirtHandlerDown", "kubevirt_virt_handler_up", "running virt-handler")
    yield _rest_errors("VirtHandlerRESTErrorsBurst", namespace, components.HANDLER)


def _of_requests() -> Iterator[Alert]:
    requests = "increase(kubevirt_api_request_deprecated_total{verb!~'LIST|WATCH'}[10m])"
    summary = "A version of KubeVirt's API that will go has been requested."
    which = (
        "{{ $labels.resource }}.{{ $labels.group }}/{{ $labels.version }} has been requested in the last 10 minutes."
    )
    requested = f"sum by (resource, group, version) ({requests}) > 0"
    yield Alert("KubeVirtDeprecatedAPIRequested", requested, summary, INFO, NONE, description=which)


def _none(name: str, series: str, what: str) -> Alert:
    return Alert(name, f"{series} == 0", f"No {what} was detected for the last 10 min.", CRITICAL, CRITICAL, "10m")


def _too_few(name: str, series: str, component: str, lasts: str) -> Alert:
    summary = f"More than one {component} should be there if there is more than one worker node."
    return Alert(name, f"{_MANY_NODES} and ({series} < 2)", summary, WARNING, WARNING, lasts)


def _rest_errors(name: str, namespace: str, component: str) -> Alert:
    calls = f"kubevirt_rest_client_requests_total{{namespace='{namespace}', pod=~'{component}-.*'"
    failed, every = (f"sum(rate({calls}{more}}}[5m]))" for more in (", code=~'(4|5)[0-9][0-9]'", ""))
    summary = f"More than 80% of the rest calls failed in {component} for the last 5 minutes."
    return Alert(name, f"{failed} / {every} >= 0.8", summary, CRITICAL, CRITICAL, "5m")


def _of_nodes() -> Iterator[Alert]:
    few = f"{_MANY_NODES} and (kubevirt_nodes_with_kvm < 2)"
    summary = "At least two nodes with KVM are required for live migration."
    yield Alert("LowKVMNodesCount", few, summary, WARNING, WARNING, "5m", "Few nodes have the KVM resource.")
    kvm = "(sum(kube_node_status_allocatable{resource='devices_kubevirt_io_kvm'}) or on() vector(0)) == 0"
    emulation = "(sum(kubevirt_configuration_emulation_enabled) or on() vector(0)) == 0"
    schedulable = (
        "(sum(kube_node_labels{label_kubevirt_io_schedulable='true'}"
        " * on(node) group_left() (1 - kube_node_spec_unschedulable)) or on() vector(0)) == 0"
    )
    none = f"({kvm} and {emulation}) or {schedulable}"
    summary = "There are no available nodes in the cluster to run VMs."
    yield Alert("KubeVirtNoAvailableNodesToRunVMs", none, summary, WARNING, CRITICAL, "5m")


def _of_upgrades(namespace: str) -> Iterator[Alert]:
    """Not in KubeVirt."""
    place = f"{{namespace='{namespace}'}}"
    stopped = f"max({_UPGRADE}_stopped{place}) == 1"
    summary = "A requested update or roll back has failed and waits for somebody to ask for it again."
    yield Alert("KubeVirtUpgradeStopped", stopped, summary, WARNING, WARNING)
    long = f"time() - max by (operation, step) ({_UPGRADE}_step_started_timestamp_seconds{place}) > 3600"
    summary = "The suite has been in the same step of an operation for more than an hour."
    where = "{{ $labels.operation }} is in the step {{ $labels.step }}."
    yield Alert("KubeVirtUpgradeStepTakesLong", long, summary, WARNING, WARNING, "5m", where)
    start, expiry = (f"kubevirt_certificate_{what}_timestamp_seconds{place}" for what in ("start", "expiry"))
    old = f"(time() - {start}) / ({expiry} - {start}) > 0.9"
    summary = "A certificate of the suite is about to expire and has not been renewed."
    which = "The {{ $labels.certificate }} of {{ $labels.pod }}."
    yield Alert("KubeVirtCertificateExpiresSoon", old, summary, CRITICAL, CRITICAL, "5m", which)
