"""How long the suite's own migrations of a guest wait after failures. Pure; called by plan.py.

What a user requests begins at once. Numbers are KubeVirt's.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from virt_core.conventions import migration as convention
from virt_core.migration.migration import MigrationPhase, VirtualMachineInstanceMigration
from virt_core.objects.meta import seconds_since, seconds_until

from virt_controller.failure import credible

_FIRST, _LONGEST = 20.0, 640.0  # seconds
_SKIPPED = "kubevirt.io/func-test-ignore-migration-backoff"


def seconds_to_begin(
    job: VirtualMachineInstanceMigration, others: Iterable[VirtualMachineInstanceMigration], now: datetime
) -> float:
    """The seconds that the migration still waits. `others` are those of the same guest, the oldest first."""
    annotations = job.metadata.annotations
    if _SKIPPED in annotations or not annotations.keys() & {convention.EVACUATION, convention.WORKLOAD_UPDATE}:
        return 0.0
    failures, last = 0, ""
    for other in reversed(list(others)):
        if other.metadata.deletion_timestamp is not None or not other.status.phase.final:
            continue
        if other.status.phase is MigrationPhase.SUCCEEDED:
            break
        failures += 1
        last = last or other.status.entered(MigrationPhase.FAILED)
    if not failures:
        return 0.0
    delay = min(_LONGEST, _FIRST * 2 ** (failures - 1))
    # `last` may be by the clock of another leader, and so in the future.
    return credible(max(0.0, delay + seconds_until(last, now) - seconds_since(last, now)), _LONGEST)
