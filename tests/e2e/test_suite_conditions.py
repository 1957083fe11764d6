"""Conditions of the KubeVirt object while something blocks a change of the suite, or its function."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.e2e.builds import condition
from tests.e2e.cluster import NAMESPACE, apply, condition_of, get, kubectl, on_this_machine, processes, until
from tests.e2e.watching import watching
from tests.support.patience import PATIENCE

WEBHOOK = "nobody-answers.tests.example"
CUT = "kubevirt-test-cut"
COMPONENTS = ("virt-api", "virt-controller", "virt-handler")


@pytest.fixture(autouse=True)
def whole_again() -> Iterator[None]:
    """The suite is Available and not Degraded afterwards."""
    yield
    until(
        lambda: (condition("Available")["status"], condition("Degraded")["status"]) == ("True", "False"),
        "it",
        2 * PATIENCE,
    )


@contextmanager
def unanswered_webhook() -> Iterator[None]:
    """A webhook of somebody else that refuses every Deployment of the suite, for nobody is behind it."""
    rule = {
        "apiGroups": ["apps"],
        "apiVersions": ["v1"],
        "operations": ["CREATE", "UPDATE"],
        "resources": ["deployments"],
    }
    hook = {
        "name": WEBHOOK,
        "admissionReviewVersions": ["v1"],
        "clientConfig": {"service": {"namespace": "default", "name": "nobody", "path": "/"}},
        "failurePolicy": "Fail",
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": NAMESPACE}},
        "rules": [rule],
        "sideEffects": "None",
        "timeoutSeconds": 2,
    }
    version = "admissionregistration.k8s.io/v1"
    meta = {"name": WEBHOOK}
    apply({"apiVersion": version, "kind": "ValidatingWebhookConfiguration", "metadata": meta, "webhooks": [hook]})
    try:
        yield
    finally:
        kubectl("delete", "validatingwebhookconfiguration", WEBHOOK)


def ask_for_replicas(count: int | None) -> None:
    patch = json.dumps({"spec": {"infra": {"replicas": count} if count is not None else None}})
    kubectl("-n", NAMESPACE, "patch", "kv", "kubevirt", "--type=merge", "-p", patch)


def replicas() -> int:
    return int(get("-n", NAMESPACE, "deployment", "virt-api")["spec"]["replicas"])


def test_a_webhook_of_somebody_else_that_refuses_the_operators_writes_is_named() -> None:
    try:
        with unanswered_webhook():
            ask_for_replicas(3)
            took = until(lambda: condition("Synchronized").get("status") == "False", "the failure to be reported")
            synchronized, available = condition("Synchronized"), condition("Available")
            print(f"reported after {took:.1f} s: {synchronized['message']}")
            assert f'failed calling webhook "{WEBHOOK}"' in synchronized["message"]
            assert synchronized["message"].startswith("Deployment kubevirt/virt-")
            assert available["status"] == "True", "what is installed serves on"
        took = until(lambda: replicas() == 3, "the change to be made")
        print(f"made {took:.1f} s after the webhook was gone")
        until(lambda: not condition("Synchronized"), "no word of it to be left")
    finally:
        ask_for_replicas(None)
        until(lambda: replicas() == 2, "two replicas again")


@contextmanager
def stopped(component: str) -> Iterator[None]:
    """Every process of its pods is silent, but not dead: nothing replaces it."""
    pods = get("-n", NAMESPACE, "pods", "-l", f"kubevirt.io={component}")["items"]
    victims = [process for pod in pods for process in processes(pod["metadata"]["uid"])]
    assert victims
    for victim in victims:
        os.kill(victim.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for victim in victims:
            os.kill(victim.pid, signal.SIGCONT)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("component", "words"),
    [("virt-api", "virt-api"), ("virt-handler", "no virt-handler is ready on a node that takes pods")],
)
def test_a_component_that_does_not_answer_makes_the_suite_unavailable_until_it_does(component: str, words: str) -> None:
    with stopped(component):
        took = until(lambda: condition("Available")["status"] == "False", "the suite to be unavailable", every=0.5)
        print(f"{component}: unavailable after {took:.1f} s: {condition('Available')['message'][:400]}")
        assert words in condition("Available")["message"]
    took = until(lambda: condition("Available")["status"] == "True", "the suite to be available", every=0.5)
    print(f"{component}: available {took:.1f} s after it went on")


@contextmanager
def cut_from_the_api_server() -> Iterator[None]:
    """The API server, which runs on the host, reaches no virt-api. The kubelets do, so its pods stay ready."""
    if not on_this_machine():
        pytest.skip("the API server of this cluster is not on this machine")
    pods = get("-n", NAMESPACE, "pods", "-l", "kubevirt.io=virt-api")["items"]
    addresses = ", ".join(pod["status"]["podIP"] for pod in pods)
    rules = f"""
table ip {CUT} {{
    chain output {{
        type filter hook output priority filter; policy accept;
        ip daddr {{ {addresses} }} tcp dport 8443 drop
    }}
}}
"""
    subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True)
    try:
        yield
    finally:
        subprocess.run(["nft", "delete", "table", "ip", CUT], check=True)


def test_a_virt_api_that_only_the_api_server_cannot_reach_makes_the_suite_unavailable() -> None:
    with cut_from_the_api_server():
        took = until(lambda: condition("Available")["status"] == "False", "the suite to be unavailable", every=0.5)
        print(f"unavailable after {took:.1f} s: {condition('Available')['message'][:400]}")
        until(lambda: "failed calling webhook" in condition("Available")["message"], "the webhooks to be named")
        print(condition("Available")["message"][:600])
        pods = get("-n", NAMESPACE, "pods", "-l", "kubevirt.io=virt-api")["items"]
        assert all(condition_of(pod, "Ready")["status"] == "True" for pod in pods), "nothing else is wrong"
    took = until(lambda: condition("Available")["status"] == "True", "the suite to be available", every=0.5)
    print(f"available {took:.1f} s after the API server reached it again")


def test_replacing_one_pod_of_each_component_leaves_the_suite_available() -> None:
    def all_ready() -> bool:
        pods = get("-n", NAMESPACE, "pods", "-l", f"kubevirt.io in ({','.join(COMPONENTS)})")["items"]
        gone = {pod["metadata"]["uid"] for pod in pods} & deleted
        return not gone and all(condition_of(pod, "Ready").get("status") == "True" for pod in pods)

    deleted: set[str] = set()
    with watching() as history:
        for component in COMPONENTS:
            pod = get("-n", NAMESPACE, "pods", "-l", f"kubevirt.io={component}")["items"][0]
            deleted.add(pod["metadata"]["uid"])
            kubectl("-n", NAMESPACE, "delete", "pod", pod["metadata"]["name"], "--wait=false")
        until(all_ready, "every pod to be ready again")
    assert history.unavailable() == []
