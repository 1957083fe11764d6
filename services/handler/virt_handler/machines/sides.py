"""Which side of a migration a launcher pod is. Pure; used by observe.py, reconcile.py and migration/.

The UIDs in status.migrationState decide, not the nodes: both pods may be on the same one.
"""

from __future__ import annotations

from enum import Enum, auto

from virt_core.vmi.instance import VirtualMachineInstance


class Side(Enum):
    """A pod's part in the last migration of its VirtualMachineInstance."""

    NONE = auto()
    """No part, or its part is over and the guest is its own."""

    SOURCE = auto()
    """The guest is here until the migration succeeds, and stays if it fails."""

    TARGET = auto()
    """The guest is to arrive, or was to arrive before the migration failed."""

    LEFT = auto()
    """The guest has left for the target."""


def moves_to(vmi: VirtualMachineInstance, pod_uid: str) -> str:
    """The node to which the pod's guest moves or has moved; empty if it does not."""
    state, side = vmi.status.migration_state, side_of(vmi, pod_uid)
    if state is None or side not in (Side.SOURCE, Side.LEFT):
        return ""
    return state.target_node if state.start_timestamp and (state.active or state.succeeded) else ""


def side_of(vmi: VirtualMachineInstance, pod_uid: str) -> Side:
    """The side of the pod with this UID."""
    state = vmi.status.migration_state
    if state is None or not state.migration_uid:
        return Side.NONE
    if pod_uid == state.source_pod_uid:
        return Side.LEFT if state.succeeded else Side.SOURCE
    if pod_uid == state.target_pod_uid:
        return Side.NONE if state.succeeded else Side.TARGET
    return Side.NONE
