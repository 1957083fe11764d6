"""The operator's webhook for KubeVirt objects, from the user's side."""

from __future__ import annotations

import json
import subprocess

import pytest

from tests.e2e.cluster import NAMESPACE, get, kubectl, until
from tests.e2e.removal import refusal


@pytest.mark.parallel
def test_a_second_object_is_refused_in_both_versions() -> None:
    for version in ("v1", "v1alpha3"):
        body = {"apiVersion": f"kubevirt.io/{version}", "kind": "KubeVirt", "metadata": {"name": "second"}, "spec": {}}
        done = subprocess.run(
            ["kubectl", "-n", NAMESPACE, "create", "-f", "-"],
            input=json.dumps(body),
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode != 0 and f"KubeVirt object {NAMESPACE}/kubevirt is there" in done.stderr


@pytest.mark.parallel
@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"productName": "x"}, ["spec.productName"]),
        ({"imagePullPolicy": "Sometimes"}, ["spec.imagePullPolicy", "'Sometimes'", "IfNotPresent"]),
        (
            {"certificateRotateStrategy": {"selfSigned": {"server": {"duration": "soon"}}}},
            ["spec.certificateRotateStrategy.selfSigned.server.duration", "soon"],
        ),
    ],
)
def test_a_spec_that_cannot_be_installed_is_refused_by_field(spec: dict[str, object], words: list[str]) -> None:
    patch = json.dumps({"spec": spec})
    message = refusal("-n", NAMESPACE, "patch", "kv", "kubevirt", "--type=merge", "-p", patch)
    assert all(word in message for word in words), message


def test_what_somebody_does_to_webhook_and_policy_is_put_right() -> None:
    def policy() -> str:
        return kubectl("get", "validatingwebhookconfiguration", "virt-operator-validator", "-o", failing, check=False)

    failing = "jsonpath={.webhooks[0].failurePolicy}"
    patch = json.dumps([{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Ignore"}])
    kubectl("patch", "validatingwebhookconfiguration", "virt-operator-validator", "--type=json", "-p", patch)
    until(lambda: policy() == "Fail", "the webhook to be mandatory again")
    kubectl("delete", "validatingwebhookconfiguration", "virt-operator-validator")
    until(lambda: policy() == "Fail", "the webhook to be registered again")
    for kind in ("validatingadmissionpolicybinding", "validatingadmissionpolicy"):
        kubectl("delete", kind, "kubevirt-operator-stays")
        until(lambda kind=kind: "stays" in kubectl("get", kind, "-o", "name"), f"the {kind} to come back")  # type: ignore[misc]


def test_a_change_is_not_refused_while_the_operator_is_rolled() -> None:
    """With two replicas of which one at least serves, `kubectl apply` goes through at each moment."""
    refused: list[str] = []
    kubectl("-n", NAMESPACE, "rollout", "restart", "deployment/virt-operator")
    tries = 0

    def rolled() -> bool:
        nonlocal tries
        tries += 1
        patch = json.dumps({"metadata": {"annotations": {"tests/tries": str(tries)}}})
        arguments = ("kubectl", "-n", NAMESPACE, "patch", "kv", "kubevirt", "--type=merge", "-p", patch)
        done = subprocess.run(arguments, capture_output=True, text=True, timeout=240, check=False)
        refused.extend([done.stderr] if done.returncode else [])
        status = get("-n", NAMESPACE, "deployment", "virt-operator")
        new, all_of = status["status"].get("updatedReplicas", 0), status["status"].get("replicas", 0)
        return bool(status["status"]["observedGeneration"] == status["metadata"]["generation"] and new == all_of == 2)

    took = until(rolled, "the operator to be rolled", every=0.05)
    kubectl("-n", NAMESPACE, "annotate", "kv", "kubevirt", "tests/tries-")
    kubectl("-n", NAMESPACE, "rollout", "status", "deployment/virt-operator", "--timeout=180s")
    print(f"{tries} changes in {took:.1f} s while the operator was rolled, {len(refused)} refused")
    assert refused == []
