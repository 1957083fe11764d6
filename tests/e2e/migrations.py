"""Migrations for end-to-end tests, and the pod that asks a migrating guest through its Service."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.e2e.cluster import apply, get, kubectl, until, wait
from tests.e2e.guests import TICK_PORT, Guest, image, manifest
from tests.support.patience import PATIENCE

OBSERVER = Path(__file__).with_name("service_observer.py")


def migratable(name: str) -> dict[str, Any]:
    """A small guest that may run on any node, with a label that a Service selects."""
    body = manifest(name)
    body["metadata"]["labels"] = {"moves": name}
    return body


def migration(name: str, vmi: str, annotations: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    """A request to migrate."""
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachineInstanceMigration",
        "metadata": {"name": name, "namespace": "default", "annotations": annotations or {}},
        "spec": {"vmiName": vmi, **spec},
    }


@contextmanager
def policy(vmi: str, **settings: Any) -> Iterator[None]:
    """Meanwhile a MigrationPolicy for the guest of `migratable(vmi)`."""
    body = {
        "apiVersion": "migrations.kubevirt.io/v1alpha1",
        "kind": "MigrationPolicy",
        "metadata": {"name": f"policy-of-{vmi}"},
        "spec": {"selectors": {"virtualMachineInstanceSelector": {"moves": vmi}}, **settings},
    }
    apply(body)
    try:
        yield
    finally:
        kubectl("delete", "migrationpolicy", f"policy-of-{vmi}", "--ignore-not-found")


def state(guest: Guest) -> dict[str, Any]:
    """Of the guest's last migration that was handed off; empty: there was none."""
    found: dict[str, Any] = guest.vmi["status"].get("migrationState", {})
    return found


def phase(name: str) -> str:
    """Of a migration."""
    return str(get("vmim", name).get("status", {}).get("phase", ""))


def launchers(vmi: str) -> dict[str, str]:
    """Phases of the guest's pods by name, those that have ended left out."""
    uid = get("vmi", vmi)["metadata"]["uid"]
    pods = get("pods", "-l", f"kubevirt.io/created-by={uid}")["items"]
    living = [pod for pod in pods if pod["status"].get("phase") not in ("Succeeded", "Failed")]
    return {pod["metadata"]["name"]: pod["status"].get("phase", "") for pod in living}


def evict(pod: str, **options: Any) -> str:
    """The refusal; "": the pod is evicted."""
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}, **options}
    path = f"/api/v1/namespaces/default/pods/{pod}/eviction"
    try:
        kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(body))
    except AssertionError as error:
        return str(error)
    return ""


def migrate(name: str, vmi: str, seconds: float = PATIENCE, *, every: float = 0.2) -> dict[str, Any]:
    """Migrate, wait for the end; returns the migration's status."""
    apply(migration(name, vmi))
    return ended(name, seconds, every=every)


def ended(name: str, seconds: float = PATIENCE, *, every: float = 0.2) -> dict[str, Any]:
    """Wait for the end of a migration, with a look every so many seconds; returns its status."""
    until(lambda: phase(name) in ("Succeeded", "Failed"), f"migration {name} to end", seconds, every)
    status: dict[str, Any] = get("vmim", name)["status"]
    return status


@dataclass(frozen=True, slots=True)
class Answers:
    """What a guest said through its Service."""

    boots: frozenset[str]
    count: int
    longest_silence: float
    """Seconds between two answers."""


@contextmanager
def asked(vmi: str) -> Iterator[Callable[[], Answers]]:
    """A Service of the guest, and a pod that asks it; the value is called to learn what was said so far."""
    service_name, observer = f"service-of-{vmi}", f"observer-of-service-{vmi}"  # a pod's own name is its own address
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": service_name, "namespace": "default"},
        "spec": {"selector": {"moves": vmi}, "ports": [{"port": TICK_PORT}]},
    }
    container = {
        "name": "observer",
        "image": image("virt-controller"),
        "command": ["/opt/kubevirt/bin/python", "-c", OBSERVER.read_text(), service_name],
    }
    pod_spec = {"containers": [container], "terminationGracePeriodSeconds": 0, "tolerations": [{"operator": "Exists"}]}
    pod_meta = {"name": observer, "namespace": "default"}
    apply(service, {"apiVersion": "v1", "kind": "Pod", "metadata": pod_meta, "spec": pod_spec})
    try:
        wait("pod", observer, "condition=Ready")
        until(lambda: _read(observer).count > 0, "the first answer of the guest")  # it boots
        yield lambda: _read(observer)
    finally:
        kubectl(
            "delete", f"pod/{observer}", f"service/{service_name}", "--ignore-not-found", "--wait", "--timeout=180s"
        )


def _read(observer: str) -> Answers:
    lines = [line.split(" ", 1) for line in kubectl("logs", observer).splitlines()]
    moments = sorted(float(moment) for moment, _ in lines)
    boots = frozenset(match.group(1) for _, text in lines if (match := re.search(r"boot=(\S+)", text)))
    silences = [later - earlier for earlier, later in pairwise(moments)]
    return Answers(boots, len(moments), max(silences, default=0.0))
