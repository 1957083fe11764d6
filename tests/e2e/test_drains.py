"""`kubectl drain` moves guests and ends by itself; `kubectl uncordon` takes back what has not begun."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.e2e.cluster import get, kubectl, nodes
from tests.e2e.guests import Guest, manifest, running, until

LAUNCHERS = "kubevirt.io=virt-launcher"


def movable(name: str, strategy: str = "LiveMigrate", **spec: Any) -> dict[str, Any]:
    body = manifest(name)
    body["spec"] |= {"evictionStrategy": strategy, **spec}
    return body


def on(node: str) -> dict[str, Any]:
    """A preference that leaves the guest free to go."""
    term = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]}
    preferred = [{"weight": 100, "preference": term}]
    return {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}


@contextmanager
def drainable() -> Iterator[str]:
    """A node that is uncordoned afterwards."""
    _, node = nodes()
    try:
        yield node
    finally:
        kubectl("uncordon", node)


def drain(node: str, seconds: int = 180) -> str:
    arguments = ("--ignore-daemonsets", "--delete-emptydir-data", f"--pod-selector={LAUNCHERS}")
    return kubectl("drain", node, *arguments, f"--timeout={seconds}s", deadline=seconds + 30)


def migrations_of(guest: Guest) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = get("vmim", "-l", f"kubevirt.io/vmi-name={guest.name}")["items"]
    return found


def remove_migrations(*guests: Guest) -> None:
    for guest in guests:
        kubectl("delete", "vmim", "-l", f"kubevirt.io/vmi-name={guest.name}", "--ignore-not-found")


def test_a_drain_moves_every_guest_once_and_ends() -> None:
    with drainable() as node:
        bodies = [movable(f"moves{number}", affinity=on(node)) for number in range(2)]
        with running(*bodies) as guests:
            assert {guest.vmi["status"]["nodeName"] for guest in guests} == {node}
            drain(node)
            for guest in guests:
                status = guest.vmi["status"]
                assert guest.phase == "Running" and status["nodeName"] != node
                assert "evacuationNodeName" not in status
                (migration,) = migrations_of(guest)
                assert migration["metadata"]["name"].startswith("kubevirt-evacuation-")
                assert migration["status"]["phase"] == "Succeeded"
                assert status["migrationState"]["sourceNode"] == node
                until(lambda g=guest: not g.condition("EvictionRequested"), "EvictionRequested to go", 10)  # type: ignore[misc]
            remove_migrations(*guests)


def test_an_uncordoned_node_keeps_a_guest_that_nobody_could_take() -> None:
    with drainable() as node:
        body = movable("stays", nodeSelector={"kubernetes.io/hostname": node})
        with running(body) as (guest,):
            kubectl("cordon", node)
            name = guest.pod["metadata"]["name"]
            eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
            path = f"/api/v1/namespaces/default/pods/{name}/eviction"
            kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(eviction), check=False)
            until(lambda: bool(migrations_of(guest)), "a migration", 10)
            (migration,) = migrations_of(guest)
            kubectl("uncordon", node)
            kubectl("delete", "vmim", migration["metadata"]["name"])
            until(lambda: "evacuationNodeName" not in guest.vmi["status"], "the mark to go", 10)
            assert migrations_of(guest) == [] and guest.phase == "Running"
            assert guest.vmi["status"]["nodeName"] == node
