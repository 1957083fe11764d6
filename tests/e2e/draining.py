"""`kubectl drain` of a node with guests, and guests that begin there and are free to go. For test_drains.py and `make
bench`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.e2e.cluster import kubectl, nodes
from tests.e2e.guests import Guest

LAUNCHERS = "kubevirt.io=virt-launcher"


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


def remove_migrations(*guests: Guest) -> None:
    for guest in guests:
        kubectl("delete", "vmim", "-l", f"kubevirt.io/vmi-name={guest.name}", "--ignore-not-found")
