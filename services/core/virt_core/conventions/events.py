"""Events that more than one component records for the same occurrence. Pure. Reasons as in KubeVirt."""

from __future__ import annotations

MIGRATED = "Migrated"
"""A machine migrated or, as a Warning, could not."""

STOPPED = "Stopped"
SHUT_DOWN = "The VirtualMachineInstance was shut down."
"""Message of STOPPED for a guest that ended by itself: by its handler, or by the controller if none watched."""
