"""How long the suite takes from `kubectl apply` of both manifests to Available, and to be removed:
`python -m tests.bench installation`. Leaves it installed.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from tests.e2e.cluster import NAMESPACE, ROOT, kubectl, wait

OPERATOR = ROOT / "build" / "manifests" / "kubevirt-operator.yaml"
SUITE = ROOT / "build" / "manifests" / "kubevirt-cr.yaml"
ROUNDS = 3


def installation() -> list[dict[str, float]]:
    """Remove and install `ROUNDS` times; every round but perhaps the first has the images on its nodes."""
    print("seconds to remove and to install the suite")
    rounds = [_once() for _ in range(ROUNDS)]
    for number, measured in enumerate(rounds, 1):
        stages = "  ".join(f"{stage} {seconds:5.1f}" for stage, seconds in measured.items())
        print(f"  round {number}: {stages}")
    return rounds


def _once() -> dict[str, float]:
    removing = time.monotonic()
    _delete(SUITE)
    removed = time.monotonic()
    _delete(OPERATOR)
    applying = time.monotonic()
    kubectl("apply", "-f", str(OPERATOR))
    kubectl("apply", "-f", str(SUITE))
    wait("kv", "kubevirt", "condition=Available", namespace=NAMESPACE, seconds=300)
    return {"suite removed": removed - removing, "Available": time.monotonic() - applying}


def _delete(manifest: Path) -> Any:
    return kubectl("delete", "--ignore-not-found", "--wait", "-f", str(manifest), deadline=300)
