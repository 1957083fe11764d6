"""A HorizontalPodAutoscaler scales a VirtualMachineInstanceReplicaSet by a metric that the cluster's API serves.

The local cluster has no metrics server; the metric comes from a pod of this test.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.cluster import apply, get, kubectl, until, wait
from tests.e2e.guests import image
from tests.e2e.replica_sets import existing, has, replica_set
from tests.support.authorities import Authority

pytestmark = pytest.mark.slow  # the autoscaler looks every 15 s
NAME = "queue-metrics"
METRICS = "/apis/external.metrics.k8s.io/v1beta1"
SERVER = Path(__file__).with_name("metrics_server.py")


@pytest.fixture
def metrics(suite: None, tmp_path: Path) -> Iterator[None]:
    """The group external.metrics.k8s.io, served by a pod."""
    folder = Authority("metrics").write_leaf(tmp_path / "tls", NAME, f"{NAME}.default.svc")
    files = {name: b64encode((folder / name).read_bytes()).decode() for name in ("tls.crt", "tls.key")}
    try:
        apply(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": NAME},
                "type": "kubernetes.io/tls",
                "data": files,
            },
            pod(),
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": NAME},
                "spec": {"selector": {"app": NAME}, "ports": [{"port": 443, "targetPort": 8443}]},
            },
        )
        wait("pod", NAME, "condition=Ready", seconds=60)
        service = {"name": NAME, "namespace": "default"}
        apply(
            {
                "apiVersion": "apiregistration.k8s.io/v1",
                "kind": "APIService",
                "metadata": {"name": "v1beta1.external.metrics.k8s.io"},
                "spec": {
                    "group": "external.metrics.k8s.io",
                    "version": "v1beta1",
                    "service": service,
                    "caBundle": b64encode((folder / "ca.crt").read_bytes()).decode(),
                    "groupPriorityMinimum": 100,
                    "versionPriority": 100,
                },
            }
        )
        wait("apiservice", "v1beta1.external.metrics.k8s.io", "condition=Available", seconds=60)
        yield
    finally:
        kubectl("delete", "apiservice", "v1beta1.external.metrics.k8s.io", "--ignore-not-found")
        kubectl("delete", f"service/{NAME}", f"secret/{NAME}", f"pod/{NAME}", "--ignore-not-found")


def pod() -> dict[str, Any]:
    container = {
        "name": "metrics",
        "image": image("virt-controller"),
        "command": ["/opt/kubevirt/bin/python", "-c", SERVER.read_text(), "/tls"],
        "volumeMounts": [{"name": "tls", "mountPath": "/tls"}],
        "readinessProbe": {"tcpSocket": {"port": 8443}, "periodSeconds": 1},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": NAME, "labels": {"app": NAME}},
        "spec": {
            "containers": [container],
            "volumes": [{"name": "tls", "secret": {"secretName": NAME}}],
            "terminationGracePeriodSeconds": 0,
        },
    }


def autoscaler(name: str) -> dict[str, Any]:
    """A guest for each that waits in the queue, from 1 to 5."""
    metric = {"metric": {"name": "waiting"}, "target": {"type": "AverageValue", "averageValue": "1"}}
    at_once = {"stabilizationWindowSeconds": 0, "policies": [{"type": "Pods", "value": 10, "periodSeconds": 15}]}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": name},
        "spec": {
            "scaleTargetRef": {
                "apiVersion": "kubevirt.io/v1",
                "kind": "VirtualMachineInstanceReplicaSet",
                "name": name,
            },
            "minReplicas": 1,
            "maxReplicas": 5,
            "metrics": [{"type": "External", "external": metric}],
            "behavior": {"scaleUp": at_once, "scaleDown": at_once},
        },
    }


def test_an_autoscaler_follows_a_metric_up_and_down(metrics: None) -> None:
    with existing(replica_set("autoscaled", 1)) as name:
        has(name, 1)
        try:
            apply(autoscaler(name))
            for waiting, replicas in ((3, 3), (9, 5), (2, 2), (0, 1)):
                kubectl("get", "--raw", f"{METRICS}/namespaces/default/set/{waiting}")
                has(name, replicas, seconds=90)
                reported = f"{replicas} current replicas in the autoscaler"
                until(lambda r=replicas: get("hpa", name).get("status", {}).get("currentReplicas") == r, reported)
        finally:
            kubectl("delete", "hpa", name, "--ignore-not-found")
