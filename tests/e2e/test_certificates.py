"""Certificates of five minutes and an authority that is replaced, under calls to everything that is served."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from localcluster import node
from localcluster.settings import Cluster

from tests.e2e.cluster import NAMESPACE, ROOT, get, kubectl

SECONDS = float(os.environ.get("CERTIFICATES_SECONDS", "0"))  # 900 for the soak; else until all is new, once
RATE = 10
FAST = {"selfSigned": {"ca": {"duration": "10m"}, "server": {"duration": "5m"}}}


@pytest.fixture
def fast(suite: None) -> Iterator[None]:
    """Leaves of five minutes and authorities of ten, so a rollover begins at once and then every five minutes."""
    if Path(os.environ["KUBECONFIG"]).resolve() != Cluster.load().kubeconfig.resolve():
        pytest.skip("the pods of this cluster cannot be reached from this machine")
    patch(FAST)
    yield
    patch(None)


def patch(strategy: object) -> None:
    kubectl(
        "-n",
        NAMESPACE,
        "patch",
        "kv",
        "kubevirt",
        "--type",
        "merge",
        "-p",
        json.dumps({"spec": {"certificateRotateStrategy": strategy}}),
    )


def restarts() -> dict[str, int]:
    pods = get("-n", NAMESPACE, "pods", "-l", "kubevirt.io in (virt-api,virt-controller,virt-handler,virt-operator)")
    return {
        pod["metadata"]["name"]: sum(one["restartCount"] for one in pod["status"]["containerStatuses"])
        for pod in pods["items"]
    }


@pytest.mark.slow
def test_a_new_authority_takes_over_without_a_restart_and_without_a_failed_call(fast: None) -> None:
    before = restarts()
    cluster = Cluster.load()
    inside = node.pid(cluster, cluster.node(1))
    command = [sys.executable, "-m", "tests.e2e.certificate_calls", "--rate", str(RATE)]
    command += ["--seconds", str(SECONDS)] if SECONDS else ["--seconds", "240", "--until-changed"]
    done = subprocess.run(
        ["nsenter", "-t", str(inside), "-n", "--", *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=SECONDS + 300,
        check=True,
    )
    counted = json.loads(done.stdout)
    print(done.stdout, done.stderr[-4000:])
    assert counted["failures"] == 0, done.stdout
    for name, port in counted["ports"].items():
        assert port["calls"] >= 0.8 * RATE * counted["seconds"], name
        if port["leavesSeen"]:  # what goes through the API server shows its leaf to that alone
            assert port["authoritiesSeen"] >= 2, name
    after = restarts()  # pods of a suite that was replaced just before may be gone
    assert {name: before.get(name) for name in after} == after
