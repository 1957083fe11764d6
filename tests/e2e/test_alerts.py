"""Alerts of a live Prometheus: each cause is made, its alerts are raised, and go when it has gone. `make test-all`.

The rules are those of the PrometheusRule that virt-operator has written, with their expressions. What has to last is
120 times shorter (scraped.FACTOR): ten minutes are five seconds, an hour is 30.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial

import pytest
from virt_operator.strategy.monitoring import prometheus_rule

from tests.e2e import alert_causes as causes
from tests.e2e.cluster import NAMESPACE, kubectl, until
from tests.e2e.prometheus_kinds import found
from tests.e2e.scraped import scraped
from tests.support.prometheus import Prometheus

pytestmark = pytest.mark.slow
SOON = 120.0  # seconds
Cause = Callable[[], AbstractContextManager[None]]

CAUSES: dict[str, tuple[Cause, set[str]]] = {
    "virt-operator is away": (
        causes.operator_away,
        {"VirtOperatorDown", "NoReadyVirtOperator", "NoLeadingVirtOperator", "LowVirtOperatorCount"},
    ),
    "virt-api is away": (partial(causes.component_away, "virt-api"), {"VirtAPIDown", "LowVirtAPICount"}),
    "virt-controller is away": (
        partial(causes.component_away, "virt-controller"),
        {"VirtControllerDown", "NoReadyVirtController", "NoLeadingVirtController", "LowVirtControllersCount"},
    ),
    "virt-handler is away": (causes.handlers_away, {"VirtHandlerDown", "OrphanedVirtualMachineInstances"}),
    "a virt-handler does not start": (causes.handler_without_image, {"VirtHandlerDaemonSetRolloutFailing"}),
    "a virt-controller is not ready": (causes.controller_unready, {"LowReadyVirtControllersCount"}),
    "a virt-operator is not ready": (causes.operator_unready, {"LowReadyVirtOperatorsCount"}),
    "no node takes a pod": (causes.nodes_cordoned, {"KubeVirtNoAvailableNodesToRunVMs"}),
    "a guest cannot be evicted": (causes.guest_that_cannot_be_evicted, {"VMCannotBeEvicted"}),
    "a VM crashes": (causes.vm_that_crashes, {"VirtualMachineStuckInUnhealthyState"}),
    "a VM does not stop": (causes.vm_that_does_not_stop, {"VirtualMachineStuckOnNode"}),
    "200 launchers have failed": (causes.failed_launchers, {"VirtLauncherPodsStuckFailed"}),
}
FOR_LONG: dict[str, tuple[Cause, set[str]]] = {
    "a guest is migrated often": (causes.guest_migrated_often, {"KubeVirtVMIExcessiveMigrations"}),
}
"""Alerts about what was in the last day, which go a day later."""

WITHOUT_KVM = "LowKVMNodesCount"
"""Raised all the time where fewer than two nodes have KVM, as on a machine that emulates."""

OLD_API = "KubeVirtDeprecatedAPIRequested"
NOT_MADE = {
    "VirtApiRESTErrorsBurst": "four of five requests fail for five minutes: no request of users does that to virt-api",
    "VirtControllerRESTErrorsBurst": "the same; without its role the leader loses its Lease and ends first",
    "VirtOperatorRESTErrorsBurst": "the same",
    "VirtHandlerRESTErrorsBurst": "the same",
    "OutdatedVirtualMachineInstanceWorkloads": "needs a guest of another release: tests of upgrades have them",
    "KubeVirtUpgradeStopped": "needs a build of a next release with a fault: test_waves.py stops changes of release",
    "KubeVirtUpgradeStepTakesLong": "an hour is part of the expression",
    "KubeVirtCertificateExpiresSoon": "nine tenths of a certificate's life are part of the expression",
}
"""Raised by promtool alone, in tests/integration/monitoring."""


@pytest.fixture(scope="module")
def prometheus(suite: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    with scraped(tmp_path_factory.mktemp("prometheus")) as running:
        yield running


def test_each_alert_has_a_cause_or_a_reason() -> None:
    made = set().union(*(alerts for _, alerts in (*CAUSES.values(), *FOR_LONG.values())))
    known = {rule["alert"] for rule in prometheus_rule(NAMESPACE)["spec"]["groups"][1]["rules"]}
    assert sorted(made | set(NOT_MADE) | {WITHOUT_KVM, OLD_API}) == sorted(known)


def test_rules_are_loaded_and_nothing_is_raised_of_a_suite_that_is_well(prometheus: Prometheus) -> None:
    loaded = [rule for group in prometheus.ask("rules")["groups"] for rule in group["rules"]]
    written = [rule for group in found("PrometheusRule")["spec"]["groups"] for rule in group["rules"]]
    assert sorted(rule["name"] for rule in loaded) == sorted(rule.get("alert") or rule["record"] for rule in written)
    until(lambda: prometheus.value("cluster:kubevirt_virt_handler_ready:sum") >= 1, "kube-state-metrics", SOON)
    until(lambda: prometheus.firing() <= {WITHOUT_KVM}, "no alert", SOON)
    has_kvm = prometheus.value("kubevirt_nodes_with_kvm") >= 2 or prometheus.value("kubevirt_allocatable_nodes") < 2
    until(lambda: (WITHOUT_KVM in prometheus.firing()) is not has_kvm, WITHOUT_KVM, SOON)


@pytest.mark.parametrize("what", CAUSES)
def test_an_alert_is_raised_by_its_cause_and_goes_with_it(prometheus: Prometheus, what: str) -> None:
    cause, alerts = CAUSES[what]
    assert not alerts & prometheus.firing()
    with cause():
        took = until(lambda: alerts <= prometheus.firing(), f"{alerts} of {what}", SOON)
        print(f"{what}: {sorted(alerts)} after {took:.1f} s; raised: {sorted(prometheus.firing())}")
    until(lambda: not alerts & prometheus.firing(), f"{alerts} to go", SOON)


@pytest.mark.parametrize("what", FOR_LONG)
def test_an_alert_about_a_day_is_raised(prometheus: Prometheus, what: str) -> None:
    cause, alerts = FOR_LONG[what]
    with cause():
        until(lambda: alerts <= prometheus.firing(), f"{alerts} of {what}", SOON)


def test_a_request_to_a_deprecated_version_raises_an_alert(prometheus: Prometheus) -> None:
    path = f"/apis/kubevirt.io/v1alpha3/namespaces/{NAMESPACE}/kubevirts/kubevirt"
    kubectl("get", "--raw", path)
    count = 'kubevirt_api_request_deprecated_total{version="v1alpha3", verb="GET", resource="kubevirts"}'
    until(lambda: bool(prometheus.query(count)), "the first request", SOON)
    kubectl("get", "--raw", path)
    until(lambda: OLD_API in prometheus.firing(), OLD_API, SOON)
