"""On the only node of a cluster a guest migrates to another launcher of the same node."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from tests.e2e.cluster import get, kubectl, until
from tests.e2e.guests import observed, running
from tests.e2e.migrations import migratable, migrate

_LABEL, _HEARTBEAT = "kubevirt.io/schedulable", "kubevirt.io/heartbeat"  # each handler repeats them every minute
_YOUNG = 40.0  # seconds; the target pod is there in a few


@contextmanager
def only(node: str) -> Iterator[None]:
    """The other nodes seem never to have had a handler."""
    others = [found for found in kubectl("get", "nodes", "-o", "name").split() if found != f"node/{node}"]
    # Its handler would have the label back before the migration has found its place.
    until(lambda: all(_age(other) < _YOUNG for other in others), "the other handlers' next heartbeat")
    kubectl("label", *others, f"{_LABEL}-")
    try:
        yield
    finally:
        kubectl("label", *others, f"{_LABEL}=true")


def _age(node: str) -> float:
    """Of its handler's last heartbeat, in seconds."""
    beat = get("node", node.removeprefix("node/"))["metadata"]["annotations"][_HEARTBEAT]
    return (datetime.now(UTC) - datetime.fromisoformat(beat)).total_seconds()


def test_a_guest_moves_to_another_launcher_of_the_only_node() -> None:
    with running(migratable("homebody")) as (guest,), observed(guest) as ticks:
        node, first = guest.vmi["status"]["nodeName"], guest.pod["metadata"]["uid"]
        with only(node):
            status = migrate("homebody", "homebody")
        assert status["phase"] == "Succeeded", status.get("conditions")
        until(lambda: len(guest.vmi["status"]["activePods"]) == 1, "the source to leave activePods")
        assert first not in guest.vmi["status"]["activePods"]
        assert guest.vmi["status"]["nodeName"] == node
        assert len(ticks()["homebody"].boots) == 1 and guest.phase == "Running"
