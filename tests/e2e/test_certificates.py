"""Certificates during calls to all servers: short lifetimes, a new authority, an invalid Secret."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from localcluster import node
from localcluster.settings import Cluster
from virt_core.conventions.node_certificate import SIGNER_NAME, dns_names
from virt_handler.certificates.request import new_request

from tests.e2e.cluster import NAMESPACE, ROOT, get, kubectl, on_this_machine, until
from tests.e2e.rotation import fast_rotation

SECONDS = float(os.environ.get("CERTIFICATES_SECONDS", "0"))  # 900 for the soak; else until all is new, once
# Calls a second at each of the ports, each with a handshake: a slower machine has to keep up with them.
RATE = 10 if SECONDS else 4


@pytest.fixture
def reachable(suite: None) -> None:
    if not on_this_machine():
        pytest.skip("the pods of this cluster cannot be reached from this machine")


@pytest.fixture
def fast(reachable: None) -> Iterator[None]:
    with fast_rotation():
        yield


def restarts() -> dict[str, int]:
    pods = get("-n", NAMESPACE, "pods", "-l", "kubevirt.io in (virt-api,virt-controller,virt-handler,virt-operator)")
    return {
        pod["metadata"]["name"]: sum(status["restartCount"] for status in pod["status"]["containerStatuses"])
        for pod in pods["items"]
    }


def called_through(change: Callable[[], None], *arguments: str, deadline: float = 300) -> dict[str, Any]:
    """What was counted while `change` and all that follows from it went on; nothing failed or was restarted."""
    before = restarts()
    cluster = Cluster.load()
    inside = node.pid(cluster, cluster.node(1))
    command = [sys.executable, "-m", "tests.e2e.certificate_calls", "--rate", str(RATE), *arguments]
    calling = subprocess.Popen(
        ["nsenter", "-t", str(inside), "-n", "--", *command], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        change()
        output, _ = calling.communicate(timeout=deadline)
    finally:
        calling.kill()
    print(output)
    counted: dict[str, Any] = json.loads(output)
    assert counted["failures"] == 0, output
    for name, port in counted["ports"].items():
        # All of them as often: how often in a second depends on the machine.
        assert port["calls"] >= 0.8 * max(other["calls"] for other in counted["ports"].values()), name
        assert port["calls"] > counted["seconds"], name
        if port["leavesSeen"]:  # what goes through the API server shows its leaf to that alone
            assert port["authoritiesSeen"] >= 2, name
    after = restarts()  # pods of a suite that was replaced just before may be gone
    assert {name: before.get(name) for name in after} == after
    return counted


def test_a_new_authority_takes_over_without_a_restart_and_without_a_failed_call(fast: None) -> None:
    arguments = ("--seconds", str(SECONDS)) if SECONDS else ("--seconds", "420", "--until-changed")
    called_through(lambda: None, *arguments, deadline=SECONDS + 600)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["spoilt", "deleted"])
def test_an_authority_that_somebody_spoils_or_deletes_goes_on_until_its_successor_is_trusted(
    reachable: None, how: str
) -> None:
    def change() -> None:
        if how == "deleted":
            kubectl("-n", NAMESPACE, "delete", "secret", "kubevirt-ca")
        else:
            spoilt = json.dumps({"data": {"tls.crt": "", "tls.key": ""}})
            kubectl("-n", NAMESPACE, "patch", "secret", "kubevirt-ca", "--type", "merge", "-p", spoilt)

    called_through(change, "--seconds", "240", "--until-changed")


@pytest.mark.parallel
def test_a_handler_gets_no_certificate_of_another_node(suite: None, tmp_path: Path) -> None:
    """Asked with the very token that the pod has."""
    pod = get("-n", NAMESPACE, "pods", "-l", "kubevirt.io=virt-handler")["items"][0]
    bound = ("--bound-object-kind", "Pod", "--bound-object-name", pod["metadata"]["name"])
    bound += ("--bound-object-uid", pod["metadata"]["uid"])
    config = json.loads(kubectl("config", "view", "--raw", "-o", "json"))
    token = kubectl("-n", NAMESPACE, "create", "token", "kubevirt-handler", *bound).strip()
    config["users"] = [{"name": user["name"], "user": {"token": token}} for user in config["users"]]
    as_handler = tmp_path / "kubeconfig"
    as_handler.write_text(json.dumps(config))
    _, request = new_request(dns_names("another-node", NAMESPACE))
    csr = {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": "of-another-node"},
        "spec": {
            "request": b64encode(request).decode(),
            "signerName": SIGNER_NAME,
            "usages": ["digital signature", "server auth", "client auth"],
        },
    }
    try:
        kubectl("--kubeconfig", str(as_handler), "create", "-f", "-", stdin=json.dumps(csr))
        until(lambda: "conditions" in get("csr", "of-another-node").get("status", {}), "an answer")
        (condition,) = get("csr", "of-another-node")["status"]["conditions"]
    finally:
        kubectl("delete", "csr", "of-another-node", "--ignore-not-found")
    assert condition["type"] == "Denied"
    assert pod["spec"]["nodeName"] in condition["message"]
    assert "another-node" in condition["message"]
