"""`kubectl describe kv` while something blocks the suite: object and reason appear soon. Each stall is undone,
and the suite must be Available again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.e2e.cluster import NAMESPACE, apply, get, kubectl, process, until
from tests.e2e.removal import OPERATOR
from tests.support.patience import PATIENCE

SOON = 90.0  # seconds, on a busy machine


def expect_message(*words: str) -> None:
    """The description of the KubeVirt object's conditions has all the words soon."""

    def is_reported() -> bool:
        return all(word in describe() for word in words)

    took = until(is_reported, f"{words} in:\n{describe()}", SOON)
    message = next(
        condition["message"]
        for condition in _conditions()
        if any(word in condition.get("message", "") for word in words)
    )
    print(f"reported after {took:.1f} s: {message}")


def describe() -> str:
    """Without the events: they tell what was."""
    return kubectl("-n", NAMESPACE, "describe", "kv", "kubevirt").partition("\nEvents:")[0]


def _conditions() -> list[dict[str, str]]:
    found: list[dict[str, str]] = get("-n", NAMESPACE, "kv", "kubevirt")["status"]["conditions"]
    return found


def available() -> bool:
    return "True" in [condition["status"] for condition in _conditions() if condition["type"] == "Available"]


@contextmanager
def stalled(begin: Callable[[], object], undo: Callable[[], object]) -> Iterator[None]:
    """Between `begin` and `undo`; then everything is well again."""
    begin()
    try:
        yield
    finally:
        undo()

    def well() -> bool:
        status = {condition["type"]: condition["status"] for condition in _conditions()}
        return (status["Available"], status["Progressing"], status["Degraded"]) == ("True", "False", "False")

    until(well, "the suite to be well again", 2 * PATIENCE)


def pods(component: str) -> list[str]:
    found = get("-n", NAMESPACE, "pods", "-l", f"kubevirt.io={component}")["items"]
    return [pod["metadata"]["name"] for pod in found if "deletionTimestamp" not in pod["metadata"]]


def _service_port(port: int) -> None:
    patch = [{"op": "replace", "path": "/spec/ports/0/targetPort", "value": port}]
    assert get("-n", NAMESPACE, "service", "virt-operator")["spec"]["ports"][0]["port"] == 443
    kubectl("-n", NAMESPACE, "patch", "service", "virt-operator", "--type=json", "-p", json.dumps(patch))


def test_a_webhook_that_the_api_server_cannot_reach_is_named() -> None:
    with stalled(lambda: _service_port(1), lambda: kubectl("apply", "-f", OPERATOR)):
        expect_message("ValidatingWebhookConfiguration virt-operator-validator", "virt-operator.kubevirt.svc")
        assert available()  # what runs goes on


@pytest.mark.slow
def test_an_image_that_cannot_be_pulled_is_named() -> None:
    def tag(value: str | None) -> None:
        patch = json.dumps({"spec": {"imageTag": value}})
        kubectl("-n", NAMESPACE, "patch", "kv", "kubevirt", "--type=merge", "-p", patch)

    with stalled(lambda: tag("not-there"), lambda: tag(None)):
        expect_message(":not-there", "Pull")
        assert available()


@pytest.mark.slow
def test_a_pod_that_no_node_takes_is_named() -> None:
    names = [node["metadata"]["name"] for node in get("nodes")["items"]]

    def begin() -> None:
        kubectl("cordon", *names)
        kubectl("-n", NAMESPACE, "delete", "pod", pods("virt-controller")[0], "--wait=false")

    with stalled(begin, lambda: kubectl("uncordon", *names)):
        expect_message(
            "Deployment kubevirt/virt-controller", "pod virt-controller-", "Unschedulable", "nodes are available"
        )


@pytest.mark.slow
def test_a_component_that_crashes_again_and_again_is_named() -> None:
    pod = pods("virt-controller")[0]
    uid = get("-n", NAMESPACE, "pod", pod)["metadata"]["uid"]

    def crash() -> bool:
        running = process(uid, "virt_controller")
        if running is not None:
            running.kill()
        statuses = get("-n", NAMESPACE, "pod", pod)["status"]["containerStatuses"]
        return "CrashLoopBackOff" in json.dumps(statuses)

    with stalled(lambda: until(crash, "the kubelet to back off", 60), lambda: None):
        expect_message("Deployment kubevirt/virt-controller", f"pod {pod}", "CrashLoopBackOff", "exit code 137")


@pytest.mark.slow
def test_a_permission_that_the_operator_lacks_is_named_with_the_manifest_to_apply() -> None:
    role = get("clusterrole", "kubevirt-operator")
    rules = [rule for rule in role["rules"] if rule["resources"] != ["apiservices"]]
    assert len(rules) < len(role["rules"])
    patch = json.dumps({"rules": rules})
    begin = lambda: kubectl("patch", "clusterrole", "kubevirt-operator", "--type=merge", "-p", patch)  # noqa: E731
    with stalled(begin, lambda: kubectl("apply", "-f", OPERATOR)):
        expect_message("apiservices", "apply kubevirt-operator.yaml")


@pytest.mark.slow
def test_a_quota_that_keeps_a_handler_from_being_created_is_named() -> None:
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "no-pods", "namespace": NAMESPACE}}

    def begin() -> None:
        apply(quota | {"spec": {"hard": {"pods": "1"}}})
        until(lambda: bool(get("-n", NAMESPACE, "resourcequota", "no-pods")["status"].get("used")), "the quota")
        kubectl("-n", NAMESPACE, "delete", "pod", pods("virt-handler")[0], "--wait=false")

    with stalled(begin, lambda: kubectl("-n", NAMESPACE, "delete", "resourcequota", "no-pods")):
        expect_message("DaemonSet kubevirt/virt-handler", "exceeded quota: no-pods")


@pytest.mark.slow
def test_a_webhook_of_others_that_rejects_the_operators_writes_is_named_with_the_object() -> None:
    """Nobody answers it, and only virt-operator's writes are reviewed."""
    account = f"system:serviceaccount:{NAMESPACE}:kubevirt-operator"
    rule = {"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["*"], "resources": ["deployments"]}
    webhook = {
        "name": "nobody.example.com",
        "clientConfig": {"service": {"namespace": "default", "name": "nobody"}},
        "rules": [rule],
        "matchConditions": [{"name": "operator", "expression": f"request.userInfo.username == '{account}'"}],
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "failurePolicy": "Fail",
    }
    body = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration"}

    def is_refused() -> bool:
        kubectl("-n", NAMESPACE, "scale", "deployment", "virt-controller", "--replicas=1")
        return "nobody.example.com" in describe()

    def begin() -> None:
        apply({**body, "metadata": {"name": "stalls-nobody"}, "webhooks": [webhook]})
        until(is_refused, "the webhook to be called", SOON, every=1.0)

    undo = lambda: kubectl("delete", "validatingwebhookconfiguration", "stalls-nobody")  # noqa: E731
    with stalled(begin, undo):
        expect_message("Deployment kubevirt/virt-controller", "nobody.example.com")
