"""Migrations for end-to-end tests, and the pod that asks a migrating guest through its Service."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.e2e.cluster import apply, get, kubectl, wait
from tests.e2e.guests import image, manifest, until

OBSERVER = Path(__file__).with_name("service_observer.py")


def migratable(name: str) -> dict[str, Any]:
    """A small guest that may run on any node, with a label that a Service selects."""
    body = manifest(name)
    body["metadata"]["labels"] = {"moves": name}
    return body


def migration(name: str, vmi: str) -> dict[str, Any]:
    """A request to migrate."""
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachineInstanceMigration",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"vmiName": vmi},
    }


def migrate(name: str, vmi: str, seconds: float = 60) -> dict[str, Any]:
    """Migrate, wait for the end; returns the migration's status."""
    apply(migration(name, vmi))

    def status() -> dict[str, Any]:
        found: dict[str, Any] = get("vmim", name).get("status", {})
        return found

    until(lambda: status().get("phase") in ("Succeeded", "Failed"), f"migration {name} to end", seconds)
    return status()


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
        "spec": {"selector": {"moves": vmi}, "ports": [{"port": 7777}]},
    }
    container = {
        "name": "observer",
        "image": image("virt-controller"),
        "command": ["/opt/kubevirt/bin/python", "-c", OBSERVER.read_text(), service_name],
    }
    pod_spec = {"containers": [container], "terminationGracePeriodSeconds": 0}
    pod_meta = {"name": observer, "namespace": "default"}
    apply(service, {"apiVersion": "v1", "kind": "Pod", "metadata": pod_meta, "spec": pod_spec})
    try:
        wait("pod", observer, "condition=Ready", seconds=60)
        until(lambda: _read(observer).count > 0, "the first answer of the guest")
        yield lambda: _read(observer)
    finally:
        kubectl("delete", f"pod/{observer}", f"service/{service_name}", "--ignore-not-found", "--wait", "--timeout=60s")


def _read(observer: str) -> Answers:
    lines = [line.split(" ", 1) for line in kubectl("logs", observer).splitlines()]
    moments = sorted(float(moment) for moment, _ in lines)
    boots = frozenset(match.group(1) for _, text in lines if (match := re.search(r"boot=(\S+)", text)))
    silences = [later - earlier for earlier, later in pairwise(moments)]
    return Answers(boots, len(moments), max(silences, default=0.0))
