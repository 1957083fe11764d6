"""How long each part of a change usually takes, in seconds. Pure.

Rough figures for a small cluster with the images present; only WITHOUT_HANDLER was measured, by test_upgrade.py.
Larger images, slower disks or a busy API server take longer: an estimate is no promise.
"""

from __future__ import annotations

PRINT_STRATEGY = 6.0
OPERATOR = 10.0
"""The operator's own Deployment, until its successor leads."""

WRITE_OBJECT = 0.05
COMPONENT = 8.0
"""A Deployment of virt-api or virt-controller with two replicas, one after the other."""

HANDLER = 4.0
"""One node: its virt-handler ends, the new one starts and is ready."""

WITHOUT_HANDLER = 3.0
"""Of these, the seconds in which the node has no virt-handler."""

RESTART = 30.0
"""A guest that is evicted and started again, until it runs; its system takes its own time to boot."""

_MIGRATION = 10.0  # pod, preparation and hand-over of a migration
_COPIED_PER_SECOND = 100 * 1024 * 1024  # bytes of a guest's memory, on a network of 1 Gbit/s


def migration(memory: float) -> float:
    """A migration of a guest with so many bytes of memory."""
    return _MIGRATION + memory / _COPIED_PER_SECOND
