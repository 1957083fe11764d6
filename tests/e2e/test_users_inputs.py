"""Objects as users of KubeVirt write them: they work as with KubeVirt, or are refused by name."""

from __future__ import annotations

import base64
import gzip
import json
import subprocess

import pytest

from tests.e2e.cluster import NAMESPACE, get, kubectl, until, wait
from tests.e2e.guests import disk_manifest, manifest, running

ANNOTATIONS = {
    "cluster-autoscaler.kubernetes.io/safe-to-evict": "true",
    "sidecar.istio.io/inject": "false",
    "example.com/id": "123",
}


@pytest.mark.parallel
def test_cloud_init_in_wrapped_base64_of_compressed_bytes_runs_and_annotations_reach_the_pod() -> None:
    encoded = base64.encodebytes(gzip.compress(b"#cloud-config\n" * 50)).decode()
    body = disk_manifest("as-written", {"seed": {"cloudInitNoCloud": {"userDataBase64": encoded}}})
    body["metadata"]["annotations"] = ANNOTATIONS
    with running(body) as (guest,):
        annotations = guest.pod["metadata"]["annotations"]
        assert {name: annotations.get(name) for name in ANNOTATIONS} == ANNOTATIONS
        expected = {"SuccessfulCreate", "Created", "Started"}  # an event may come after the phase
        until(lambda: expected <= {event["reason"] for event in guest.events}, f"the events {expected}")


@pytest.mark.parallel
def test_an_annotation_of_kubevirts_that_is_not_supported_is_refused_by_name() -> None:
    body = manifest("hooked")
    body["metadata"]["annotations"] = {"hooks.kubevirt.io/hookSidecars": '[{"image": "registry.test/hook"}]'}
    argv = ["kubectl", "create", "--dry-run=server", "-f", "-"]
    done = subprocess.run(argv, input=json.dumps(body), capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode != 0
    assert "metadata.annotations.hooks.kubevirt.io/hookSidecars: is not supported by this release" in done.stderr


def test_feature_gates_of_kubevirt_are_accepted_and_those_without_effect_are_named() -> None:
    def gates(*names: str) -> str:
        patch = {"spec": {"configuration": {"developerConfiguration": {"featureGates": list(names) or None}}}}
        argv = ["kubectl", "-n", NAMESPACE, "patch", "kv", "kubevirt", "--type=merge", "-p", json.dumps(patch)]
        return subprocess.run(argv, capture_output=True, text=True, timeout=240, check=True).stderr

    def condition() -> str:
        conditions = get("kv", "kubevirt", "-n", NAMESPACE)["status"]["conditions"]
        return next(
            (condition["message"] for condition in conditions if condition["type"] == "FeatureGatesSupported"), ""
        )

    try:
        warnings = gates("LiveMigration", "Snapshot", "NonRoot")
        assert "'Snapshot' has no effect" in warnings and "'NonRoot' has no effect, it is always on" in warnings
        until(lambda: condition().endswith(": Snapshot"), "the condition to name the gates")
        wait("kv", "kubevirt", "condition=Available", namespace=NAMESPACE)
    finally:
        gates()
    until(lambda: condition() == "", "the condition to go with the gates")
    kubectl("-n", NAMESPACE, "get", "kv", "kubevirt")
