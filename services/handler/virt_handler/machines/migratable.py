"""Whether a machine can migrate while it runs, and how its disks move. Pure; called by status.py.

The reasons and texts are KubeVirt's, because people and tools match on them. Reasons for features that this release
refuses at admission (host devices, memory encryption, hyperv passthrough) do not occur here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from virt_core.conventions.conditions import (
    LIVE_MIGRATABLE,
    STORAGE_LIVE_MIGRATABLE,
    UNSUPPORTED_SPEC,
)
from virt_core.objects.meta import Condition
from virt_core.vmi.accepted import AcceptedSpec, RefusedSpec
from virt_core.vmi.eviction import LIVE_MIGRATE
from virt_core.vmi.instance import VirtualMachineInstance
from virt_core.vmi.spec.effective import DiskKind, claim_of
from virt_core.vmi.spec.volumes import Volume

BLOCK_MIGRATION, LIVE_MIGRATION = "BlockMigration", "LiveMigration"
"""KubeVirt's values of status.migrationMethod: with and without copied disks."""

_NOT_MIGRATABLE = "NotMigratable"  # KubeVirt's reason of StorageLiveMigratable=False
_SHARED = "live migration requires that all PVCs must be shared (using ReadWriteMany access mode)"


@dataclass(frozen=True, slots=True)
class _Obstacle:
    """Why a machine cannot migrate: a condition's reason and message."""

    reason: str
    message: str


def conditions(
    vmi: VirtualMachineInstance, spec: AcceptedSpec | RefusedSpec, *, launcher_migrates: bool
) -> list[Condition]:
    """LiveMigratable and StorageLiveMigratable of a running machine.

    `launcher_migrates`: whether the connected launcher has the feature "migration".
    """
    obstacles = list(_obstacles(spec, launcher_migrates=launcher_migrates))
    disks = list(_disk_obstacles(vmi, spec))
    first = next(iter([*obstacles, *disks]), None)
    return [
        Condition(LIVE_MIGRATABLE, "False", first.reason, first.message)
        if first is not None
        else Condition(LIVE_MIGRATABLE, "True"),
        Condition(STORAGE_LIVE_MIGRATABLE, "False", _NOT_MIGRATABLE, _joined(obstacles))
        if obstacles
        else Condition(STORAGE_LIVE_MIGRATABLE, "True"),
    ]


def migration_method(spec: AcceptedSpec) -> str:
    """status.migrationMethod.

    A disk is copied unless it is a claim, which both sides share, or a CD-ROM, which the target builds again.
    """
    cdroms = {disk.name for disk in spec.disks if disk.kind is DiskKind.CDROM}
    copied = [volume for volume in spec.spec.volumes if not _own_claim(volume) and volume.name not in cdroms]
    return BLOCK_MIGRATION if copied else LIVE_MIGRATION


def must_migrate_but_cannot(spec: AcceptedSpec | RefusedSpec, before: Condition | None, after: Condition) -> str:
    """The text of a Warning event when an eviction is to migrate a machine that cannot, and this is new; else empty."""
    wants = isinstance(spec, AcceptedSpec) and spec.spec.eviction_strategy == LIVE_MIGRATE
    known = before is not None and (before.status, before.message) == (after.status, after.message)
    if not wants or after.status != "False" or known:
        return ""
    return f"EvictionStrategy is set but vmi is not migratable; {after.message}"


def _obstacles(spec: AcceptedSpec | RefusedSpec, *, launcher_migrates: bool) -> Iterator[_Obstacle]:
    """Everything but disks, in KubeVirt's order; what only this implementation knows comes last."""
    if isinstance(spec, RefusedSpec):
        # Another release accepted it. The handler of the target could not build the machine.
        yield _Obstacle(UNSUPPORTED_SPEC, str(spec))
        return
    # Whatever the annotation allow-pod-bridge-network-live-migration says: the guest has the pod's only address, so its
    # launcher can neither connect to another launcher nor be reached by one.
    if any(interface.bridge is not None for interface in spec.interfaces):
        yield _Obstacle(
            "InterfaceNotLiveMigratable",
            "cannot migrate VMI which does not use masquerade or a migratable plugin to connect to the pod network",
        )
    features = spec.spec.domain.cpu.features
    if any(feature.name == "invtsc" and feature.policy in ("", "require", "force") for feature in features):
        # No node of this release exposes the frequency of its time stamp counter.
        yield _Obstacle("NoTSCFrequencyNotLiveMigratable", "Invtsc feature exposed to guest")
    if not launcher_migrates:
        yield _Obstacle(
            "LauncherNotLiveMigratable",
            "the launcher of this guest belongs to a release that does not migrate machines, restart the machine",
        )


def _disk_obstacles(vmi: VirtualMachineInstance, spec: AcceptedSpec | RefusedSpec) -> Iterator[_Obstacle]:
    if isinstance(spec, RefusedSpec):
        return
    infos = {
        entry.get("name"): entry.get("persistentVolumeClaimInfo") for entry in vmi.raw_status.get("volumeStatus", [])
    }
    for volume in spec.spec.volumes:
        claim = claim_of(volume)
        if claim is None:
            continue
        info = infos.get(volume.name)
        if not isinstance(info, dict):
            text = f"cannot migrate VMI: Unable to determine if PVC {claim.claim_name} is shared, {_SHARED}"
            yield _Obstacle("DisksNotLiveMigratable", text)
        elif not _is_shared(info, only_read=claim.read_only or volume.ephemeral is not None):
            text = f"cannot migrate VMI: PVC {claim.claim_name} is not shared, {_SHARED}"
            yield _Obstacle("DisksNotLiveMigratable", text)


def _is_shared(info: dict[str, Any], *, only_read: bool) -> bool:
    modes = info.get("accessModes") or ()
    return "ReadWriteMany" in modes or (only_read and "ReadOnlyMany" in modes)


def _own_claim(volume: Volume) -> bool:
    return volume.persistent_volume_claim is not None or volume.data_volume is not None


def _joined(obstacles: list[_Obstacle]) -> str:
    """As KubeVirt joins them."""
    return ", ".join(f"{obstacle.reason}: {obstacle.message}" for obstacle in obstacles)
