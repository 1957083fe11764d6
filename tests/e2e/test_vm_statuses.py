"""What `kubectl get vm` shows of a VirtualMachine that cannot start, and that it starts once it can."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e.claims import claim, folder_of_node, node_name
from tests.e2e.cluster import apply, get, kubectl, until
from tests.e2e.guests import Guest
from tests.e2e.virtual_machines import existing, has, vm_manifest
from tests.support.patience import PATIENCE

pytestmark = pytest.mark.parallel
NEVER = {
    "apiVersion": "storage.k8s.io/v1",
    "kind": "StorageClass",
    "metadata": {"name": "never-provisions"},
    "provisioner": "example.com/nobody",
    "volumeBindingMode": "WaitForFirstConsumer",
}


def with_volume(name: str, source: dict[str, Any]) -> dict[str, Any]:
    body = vm_manifest(name)
    spec = body["spec"]["template"]["spec"]
    spec["volumes"] = [*spec.get("volumes", []), {"name": "data", **source}]
    return body


@pytest.mark.parametrize("why", ["resources", "node"])
def test_one_that_no_node_takes_says_so(why: str) -> None:
    body = vm_manifest(f"unschedulable-{why}")
    spec = body["spec"]["template"]["spec"]
    if why == "node":
        spec["nodeSelector"] = {"example.com/label": "that-doesnt-exist"}
    else:
        spec["domain"]["memory"] = {"guest": "1Ei"}
        spec["domain"]["resources"] = {"requests": {"cpu": "1M"}}
        spec["domain"]["cpu"] = {"cores": 1}
    with existing(body) as name:
        has(name, "ErrorUnschedulable")


@pytest.mark.parametrize("source", ["dataVolume", "persistentVolumeClaim"])
def test_one_without_its_claim_waits_without_a_pod_and_starts_when_the_claim_appears(source: str) -> None:
    pvc, key = f"late-{source.lower()}", {"dataVolume": "name", "persistentVolumeClaim": "claimName"}[source]
    body = with_volume(f"waits-{source.lower()}", {source: {key: pvc}})
    body["spec"]["template"]["spec"]["nodeSelector"] = {"kubernetes.io/hostname": node_name()}
    with folder_of_node(pvc) as folder, existing(body) as name:
        has(name, "ErrorPvcNotFound")
        vmi = Guest(name).vmi
        assert vmi["status"]["phase"] == "Pending"
        assert not get("pods", "-l", f"kubevirt.io/created-by={vmi['metadata']['uid']}")["items"]
        until(lambda: pvc in Guest(name).condition("Synchronized").get("message", ""), "the claim to be named")
        with claim(pvc, folder, "Filesystem", "64Mi"):
            has(name, "Running")
            assert Guest(name).vmi["metadata"]["uid"] == vmi["metadata"]["uid"]
            until(lambda: not Guest(name).condition("Synchronized"), "the condition to go")
            kubectl("delete", "vm", name, "--wait", "--timeout=180s")


def test_one_whose_image_cannot_be_pulled_says_so_in_turns() -> None:
    body = with_volume("no-image", {"containerDisk": {"image": "172.30.0.1:5000/no-such-image:none"}})
    with existing(body) as name:
        for _ in range(2):
            has(name, "ErrImagePull", seconds=2 * PATIENCE)
            has(name, "ImagePullBackOff", seconds=2 * PATIENCE)


def test_one_whose_claim_has_no_volume_yet_waits_for_it() -> None:
    pvc = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "never-bound"},
        "spec": {
            "storageClassName": "never-provisions",
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "64Mi"}},
        },
    }
    try:
        apply(NEVER, pvc)
        with existing(with_volume("unbound", {"dataVolume": {"name": "never-bound"}})) as name:
            has(name, "WaitingForVolumeBinding")
            until(lambda: "never-bound" in json.dumps(Guest(name).vmi["status"].get("volumeStatus")), "the claim")
    finally:
        kubectl("delete", "pvc", "never-bound", "--ignore-not-found", "--wait=false")
        kubectl("delete", "storageclass", "never-provisions", "--ignore-not-found")
