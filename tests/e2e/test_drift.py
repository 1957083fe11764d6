"""Objects of the suite that somebody edits, scales or deletes are restored within seconds, for every kind.

The objects are found by the operator's label, so a kind or an object that is added is tested too. `make test` deletes
objects of every kind, and edits the kinds that test_drift_of_any_field.py leaves out; `make test-all` edits every kind.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from virt_operator.strategy.ref import DEFINED, FOREIGN, KINDS, MANAGED_BY_OPERATOR

from tests.e2e.cluster import NAMESPACE, get, kubectl, until, wait
from tests.e2e.guests import manifest, running

REPAIRED_WITHIN = 60.0  # seconds, on a busy machine; some of them wait for a pod of a Job
SELECTOR = f"app.kubernetes.io/managed-by={MANAGED_BY_OPERATOR}"
# What somebody might change of a kind, as a JSON patch; by default, a label.
EDITS: dict[str, Any] = {
    "CustomResourceDefinition": {"op": "replace", "path": "/spec/names/shortNames", "value": ["edited"]},
    "ClusterRole": {"op": "replace", "path": "/rules", "value": []},
    "ClusterRoleBinding": {"op": "replace", "path": "/subjects", "value": []},
    "Role": {"op": "replace", "path": "/rules", "value": []},
    "RoleBinding": {"op": "replace", "path": "/subjects", "value": []},
    "Service": {"op": "replace", "path": "/spec/selector", "value": {"edited": "yes"}},
    "Secret": {"op": "replace", "path": "/data/ca.crt", "value": "ZWRpdGVk"},
    "ConfigMap": {"op": "replace", "path": "/data/manifests", "value": "ZWRpdGVk"},
    "PodDisruptionBudget": {"op": "replace", "path": "/spec/minAvailable", "value": 0},
    "Deployment": {"op": "replace", "path": "/spec/replicas", "value": 0},
    "DaemonSet": {"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "edited:1"},
    "APIService": {"op": "replace", "path": "/spec/versionPriority", "value": 99},
    "MutatingWebhookConfiguration": {"op": "replace", "path": "/webhooks/0/clientConfig/service/path", "value": "/x"},
    "ValidatingWebhookConfiguration": {"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Ignore"},
    "VirtualMachineClusterInstancetype": {"op": "replace", "path": "/spec/cpu/guest", "value": 3},
    "VirtualMachineClusterPreference": {"op": "replace", "path": "/spec/annotations", "value": {"edited": "yes"}},
}
_SAMPLE = 5  # of dozens of instance types, which are all alike
LABEL = {"op": "replace", "path": "/metadata/labels/app.kubernetes.io~1component", "value": "edited"}
PRINTED_AGAIN = ("ConfigMap",)  # a strategy that cannot be read is deleted, and its release prints it once more
EDITED_ALWAYS = (
    "Secret",
    "ConfigMap",
    "ServiceAccount",
)  # of a ServiceAccount a label, which is no field of its content
KEPT_BY_POLICY = ("CustomResourceDefinition",)  # its deletion would delete every machine
# A Job is there while it prints a strategy, no longer; what others define is in test_monitoring.py.
LASTING = tuple(kind for kind in KINDS if kind != "Job" and kind not in FOREIGN)
_RESTARTED = "kubectl.kubernetes.io/restartedAt"
_MADE_BY_OTHERS = ("clusterIP", "clusterIPs", "caBundle")  # in a spec, and new when the object is


@pytest.fixture(scope="module", autouse=True)
def well_again() -> Iterator[None]:
    """After all of it the suite is available and runs a machine."""
    yield
    wait("kv", "kubevirt", "condition=Available", namespace=NAMESPACE)
    with running(manifest("after-drift")) as (guest,):
        assert guest.phase == "Running"


def owned(kind: str) -> dict[tuple[str, str], Any]:
    """Objects of the kind that carry the operator's label, by namespace and name. The certificates' authority does not:
    it is the operator's own, and outlives the suite."""
    resource = KINDS[kind]
    plural = f"{resource.plural}.{resource.group}" if resource.group else resource.plural
    items = get(plural, "-A", "-l", SELECTOR)["items"]
    if kind in DEFINED:
        items = items[:_SAMPLE]
    return {(body["metadata"].get("namespace", ""), body["metadata"]["name"]): body for body in items}


def content(body: Any) -> Any:
    """What must come back: labels and content, without what the API server and controllers add. Certificates come back
    as others, so of them only the names, and whether one is what the edit made it."""
    kept = {key: value for key, value in body.items() if key not in ("metadata", "status", "secrets", "data")}
    if isinstance(kept.get("spec"), dict):
        kept["spec"] = {key: value for key, value in kept["spec"].items() if key not in _MADE_BY_OTHERS}
        # What ``kubectl rollout restart`` of another test has left, and a recreated object has not.
        pod = kept["spec"].get("template", {}).get("metadata", {})
        if _RESTARTED in pod.get("annotations", {}):
            annotations = {key: value for key, value in pod["annotations"].items() if key != _RESTARTED}
            template = {**kept["spec"]["template"], "metadata": {**pod, "annotations": annotations}}
            kept["spec"] = {**kept["spec"], "template": template}
    data = body.get("data", {})
    broken = [key for key, value in data.items() if value == EDITS["Secret"]["value"]]
    return {**kept, "labels": body["metadata"]["labels"], "keys": sorted(data), "broken": broken}


def repaired(kind: str, before: dict[tuple[str, str], Any], uids_differ: bool) -> bool:
    """Whether every object is as it was before."""
    now = owned(kind)
    return all(
        key in now
        and content(now[key]) == content(body)
        and "deletionTimestamp" not in now[key]["metadata"]
        and (now[key]["metadata"]["uid"] != body["metadata"]["uid"]) == uids_differ
        for key, body in before.items()
    )


def arguments(kind: str, key: tuple[str, str]) -> list[str]:
    """Naming one object for kubectl."""
    namespace, name = key
    resource = KINDS[kind]
    plural = f"{resource.plural}.{resource.group}" if resource.group else resource.plural
    return [plural, name, *(["-n", namespace] if namespace else [])]


@pytest.mark.parametrize(
    "kind", [kind if kind in EDITED_ALWAYS else pytest.param(kind, marks=pytest.mark.slow) for kind in LASTING]
)
def test_what_is_edited_is_put_back(kind: str) -> None:
    before = owned(kind)
    if kind in DEFINED:
        # Their webhooks are virt-api's, which the tests before have edited.
        wait("kv", "kubevirt", "condition=Available", namespace=NAMESPACE)
        until(lambda: is_admitted(kind, next(iter(before))), "virt-api to answer")
    for key in before:
        kubectl("patch", *arguments(kind, key), "--type=json", "-p", json.dumps([EDITS.get(kind, LABEL)]))
    took = until(
        lambda: repaired(kind, before, uids_differ=kind in PRINTED_AGAIN),
        f"{sorted(before)} to be as before",
        REPAIRED_WITHIN,
    )
    print(f"{kind}: {len(before)} edited, as before after {took:.1f} s")


def is_admitted(kind: str, key: tuple[str, str]) -> bool:
    """Whether the API server takes a change of the object now."""
    edit = json.dumps([EDITS.get(kind, LABEL)])
    return bool(kubectl("patch", *arguments(kind, key), "--type=json", "-p", edit, "--dry-run=server", check=False))


@pytest.mark.parametrize("kind", KEPT_BY_POLICY)
def test_what_would_take_machines_with_it_is_not_deleted(kind: str) -> None:
    before = owned(kind)
    for key in before:
        with pytest.raises(AssertionError, match="delete the KubeVirt object first"):
            kubectl("delete", *arguments(kind, key), "--wait=false")
    assert repaired(kind, before, uids_differ=False)


@pytest.mark.parametrize("kind", [kind for kind in LASTING if kind not in KEPT_BY_POLICY])
def test_what_is_deleted_is_put_back(kind: str) -> None:
    before = owned(kind)
    began = time.monotonic()
    for key in before:
        kubectl("delete", *arguments(kind, key), "--wait=false")
    until(lambda: repaired(kind, before, uids_differ=True), f"{sorted(before)} to be back", REPAIRED_WITHIN)
    print(f"{kind}: {len(before)} deleted, back after {time.monotonic() - began:.1f} s")


def test_pods_whose_account_was_deleted_are_recreated_and_work() -> None:
    """Their tokens are of the account that is gone; the kubelet would renew them most of an hour later."""
    before = owned("ServiceAccount")
    pods = {pod["metadata"]["uid"] for pod in components()}
    for key in before:
        kubectl("delete", *arguments("ServiceAccount", key), "--wait=false")
    until(lambda: not pods & {pod["metadata"]["uid"] for pod in components()}, "all pods to be recreated")
    wait("kv", "kubevirt", "condition=Available", namespace=NAMESPACE)
    with running(manifest("after-accounts")) as (guest,):
        assert guest.phase == "Running"


def components() -> list[Any]:
    """Pods of virt-api, virt-controller and virt-handler."""
    selector = "kubevirt.io in (virt-api, virt-controller, virt-handler)"
    found: list[Any] = get("pods", "-n", NAMESPACE, "-l", selector)["items"]
    return found
