"""What a VirtualMachineInstance's evictionStrategy says. Pure; called by virt-api for evictions, and by virt-controller
for evacuations and workload updates."""

from __future__ import annotations

import msgspec

from virt_core.conventions.conditions import LIVE_MIGRATABLE
from virt_core.objects.meta import Condition, condition_of
from virt_core.vmi.instance import VirtualMachineInstance

NONE, LIVE_MIGRATE, LIVE_MIGRATE_IF_POSSIBLE, EXTERNAL = "None", "LiveMigrate", "LiveMigrateIfPossible", "External"
MOVED_BY_OTHERS = (
    "evictionStrategy is External: KubeVirt does not migrate the guest, an external controller has to move or stop it"
)
STRATEGIES = (NONE, LIVE_MIGRATE, LIVE_MIGRATE_IF_POSSIBLE, EXTERNAL)


class _Strategy(msgspec.Struct, frozen=True, rename="camel"):
    eviction_strategy: str | None = None


_decoder = msgspec.json.Decoder(_Strategy)


def eviction_strategy(vmi: VirtualMachineInstance) -> str:
    """The strategy, "" if there is none: admission stores the cluster's in each new object that names none."""
    try:
        return _decoder.decode(vmi.raw_spec).eviction_strategy or ""
    except msgspec.DecodeError:
        return ""


def migrates_on_eviction(vmi: VirtualMachineInstance) -> bool:
    """Whether the suite migrates the guest when its node is drained, if the guest can be migrated."""
    return eviction_strategy(vmi) in (LIVE_MIGRATE, LIVE_MIGRATE_IF_POSSIBLE)


def live_migratable(vmi: VirtualMachineInstance) -> Condition | None:
    """The condition LiveMigratable; None: its handler has not decided yet."""
    return condition_of(vmi.status.conditions, LIVE_MIGRATABLE)


def why_not_migratable(vmi: VirtualMachineInstance) -> str:
    """Reason and message of a guest that cannot be migrated, for people."""
    found = live_migratable(vmi)
    return f"{found.reason}: {found.message}" if found is not None else "its handler has not decided yet"


def is_migratable(vmi: VirtualMachineInstance) -> bool:
    """Whether the guest can be migrated."""
    condition = live_migratable(vmi)
    return condition is not None and condition.status == "True"
