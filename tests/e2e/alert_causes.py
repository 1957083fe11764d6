"""What alerts are about, done to the suite, to its nodes and to VMs, and undone. For test_alerts.py.

Where virt-operator would repair it at once, it is away meanwhile.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.e2e.cluster import NAMESPACE, get, kubectl, until
from tests.e2e.guests import manifest, running
from tests.e2e.migrations import migratable, migrate
from tests.e2e.virtual_machines import existing, has, request, vm_manifest, vm_of

OPERATOR = "deployment/virt-operator"
NOWHERE = {"nodeSelector": {"example.com/nowhere": "true"}}
FAILED, POD = 200, "virt-launcher-failed"


def _suite(*arguments: str, stdin: str | None = None) -> str:
    return kubectl("-n", NAMESPACE, *arguments, stdin=stdin)


def _pods(component: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = get("-n", NAMESPACE, "pods", "-l", f"kubevirt.io={component}")["items"]
    return found


def _patch(workload: str, spec: dict[str, Any]) -> None:
    _suite("patch", workload, "-p", json.dumps({"spec": {"template": {"spec": spec}}}))


@contextmanager
def operator_away() -> Iterator[None]:
    """No pod of virt-operator runs. Afterwards the suite is as it was, whatever became of it meanwhile."""
    replicas = str(get("-n", NAMESPACE, "deployment", "virt-operator")["spec"]["replicas"])
    _suite("scale", OPERATOR, "--replicas=0")
    try:
        until(lambda: not _pods("virt-operator"), "the last virt-operator to end")  # it repairs until then
        yield
    finally:
        _suite("scale", OPERATOR, f"--replicas={replicas}")
        _suite("rollout", "status", OPERATOR, "--timeout=120s")
        until(_is_well, "the suite to be well again", 180)


def _is_well() -> bool:
    """All replicas that are wanted are ready, of this generation."""
    status = get("-n", NAMESPACE, "kv", "kubevirt").get("status", {})
    conditions = {each["type"]: each["status"] for each in status.get("conditions", ())}
    if (conditions.get("Available"), conditions.get("Progressing")) != ("True", "False"):
        return False
    deployments = get("-n", NAMESPACE, "deployments")["items"]
    (handler,) = get("-n", NAMESPACE, "daemonsets")["items"]
    there = handler["status"]
    return there.get("numberReady") == there["desiredNumberScheduled"] == len(get("nodes")["items"]) and all(
        each["status"].get("readyReplicas") == each["spec"]["replicas"] == each["status"].get("updatedReplicas")
        for each in deployments
    )


@contextmanager
def component_away(name: str) -> Iterator[None]:
    """No pod of a Deployment."""
    with operator_away():
        _suite("scale", f"deployment/{name}", "--replicas=0")
        yield


@contextmanager
def handlers_away() -> Iterator[None]:
    """No node has a virt-handler, and one has a guest."""
    with running(manifest("orphan")), operator_away():
        _patch("daemonset/virt-handler", NOWHERE)
        yield


@contextmanager
def handler_without_image() -> Iterator[None]:
    """A pod of the DaemonSet does not start."""
    with operator_away():
        containers = [{"name": "virt-handler", "image": f"{os.environ['REGISTRY']}/nothing:none"}]
        _patch("daemonset/virt-handler", {"containers": containers})
        old = _pods("virt-handler")[0]["metadata"]["name"]
        _suite("delete", "pod", old, "--wait=false")  # the DaemonSet replaces only what is deleted
        yield


@contextmanager
def controller_unready() -> Iterator[None]:
    """A new pod of virt-controller is up and not ready."""
    with operator_away():
        _probe("virt-controller", "/nowhere")
        yield


@contextmanager
def operator_unready() -> Iterator[None]:
    """A new pod of virt-operator runs and is not ready."""
    (container,) = get("-n", NAMESPACE, "deployment", "virt-operator")["spec"]["template"]["spec"]["containers"]
    _probe("virt-operator", "/nowhere")
    try:
        yield
    finally:
        _probe("virt-operator", container["readinessProbe"]["httpGet"]["path"])
        _suite("rollout", "status", OPERATOR, "--timeout=120s")


def _probe(name: str, path: str) -> None:
    """Where the kubelet asks whether a pod of the Deployment is ready."""
    probe = {"httpGet": {"path": path}}
    _patch(f"deployment/{name}", {"containers": [{"name": name, "readinessProbe": probe}]})


@contextmanager
def nodes_cordoned() -> Iterator[None]:
    """No node takes a pod."""
    names = [node["metadata"]["name"] for node in get("nodes")["items"]]
    kubectl("cordon", *names)
    try:
        yield
    finally:
        kubectl("uncordon", *names)


@contextmanager
def guest_that_cannot_be_evicted() -> Iterator[None]:
    """Its network binds it to its node."""
    body = manifest("rooted")
    body["spec"]["evictionStrategy"] = "LiveMigrate"
    body["spec"]["domain"]["devices"]["interfaces"] = [{"name": "default", "bridge": {}}]
    with running(body):
        yield


@contextmanager
def vm_that_crashes() -> Iterator[None]:
    """Its guest has no kernel; it is started again later and later."""
    body = vm_manifest("crashing")
    body["spec"]["template"]["spec"]["domain"]["firmware"]["kernelBoot"]["container"]["kernelPath"] = "/boot/nothing"
    with existing(body):
        has("crashing", "CrashLoopBackOff", 180)
        yield


@contextmanager
def vm_that_does_not_stop() -> Iterator[None]:
    """Its guest does not answer to the request to shut down, for 40 seconds."""
    body = vm_of(manifest("lingering"))
    body["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 40
    with existing(body):
        has("lingering", "Running", 120)
        request("lingering", "stop")
        has("lingering", "Stopping")
        yield


@contextmanager
def failed_launchers() -> Iterator[None]:
    """Pods with the names of launchers that have failed. No scheduler and no kubelet knows them."""
    namespace = "failed-launchers"
    kubectl("create", "namespace", namespace)
    try:
        spec = {"schedulerName": "nobody", "containers": [{"name": "compute", "image": "nothing:none"}]}
        pods = [_pod(f"{POD}-{number}", namespace, spec) for number in range(FAILED)]
        kubectl("create", "-f", "-", stdin=_list(pods), deadline=300)
        made = get("pods", "-n", namespace)["items"]
        ended = [{**pod, "apiVersion": "v1", "kind": "Pod", "status": {"phase": "Failed"}} for pod in made]
        kubectl("replace", "--subresource=status", "-f", "-", stdin=_list(ended), deadline=300)
        yield
    finally:
        kubectl("delete", "namespace", namespace, deadline=300)


def _pod(name: str, namespace: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace}, "spec": spec}


def _list(items: list[dict[str, Any]]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": items})


@contextmanager
def guest_migrated_often() -> Iterator[None]:
    """Twelve times."""
    with running(migratable("restless")):
        for number in range(12):
            assert migrate(f"restless-{number}", "restless")["phase"] == "Succeeded"
        yield
