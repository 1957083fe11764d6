"""VirtualMachineInstanceReplicaSets for end-to-end tests: made, scaled, waited for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.e2e.cluster import apply, get, kubectl, until
from tests.e2e.guests import manifest
from tests.support.patience import PATIENCE


def replica_set(name: str, replicas: int, *, runs: bool = False) -> dict[str, Any]:
    """A replica set of the demo guest; its guests have a node only if it `runs`, so that others cost nothing."""
    guest = manifest(name)
    guest["spec"]["terminationGracePeriodSeconds"] = 0
    if not runs:
        guest["spec"]["nodeSelector"] = {"kubernetes.io/hostname": "nowhere"}
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachineInstanceReplicaSet",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": guest["spec"]},
        },
    }


@contextmanager
def existing(body: dict[str, Any]) -> Iterator[str]:
    """Create it; delete it with all that has its label afterwards, and wait until they are gone."""
    name = body["metadata"]["name"]
    apply(body)
    try:
        yield name
    finally:
        kubectl("delete", "vmirs", name, "--ignore-not-found", "--wait", "--timeout=180s")
        kubectl("delete", "vmi", "-l", f"app={name}", "--ignore-not-found", "--wait", "--timeout=180s")


def instances(name: str) -> dict[str, Any]:
    """VirtualMachineInstances with the set's label that nobody has deleted, by UID."""
    found = get("vmi", "-l", f"app={name}")["items"]
    return {body["metadata"]["uid"]: body for body in found if "deletionTimestamp" not in body["metadata"]}


def status(name: str) -> dict[str, Any]:
    """The set's status."""
    found: dict[str, Any] = get("vmirs", name).get("status", {})
    return found


def has(name: str, replicas: int, ready: int | None = None, seconds: float = PATIENCE) -> None:
    """Wait until the set reports so many replicas, so many of them ready, and as many exist."""

    def is_so() -> bool:
        found = status(name)
        is_reported = found.get("replicas") == replicas and ready in (None, found.get("readyReplicas"))
        return is_reported and len(instances(name)) == replicas  # the status may be of before the last change

    until(is_so, f"{replicas} replicas, {ready} ready", seconds)
