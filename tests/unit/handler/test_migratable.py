"""Which machines can migrate, and what KubeVirt's conditions say of the others."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest
from virt_core.objects.meta import Condition
from virt_core.vmi.accepted import AcceptedSpec, RefusedSpec
from virt_handler.machines import migratable

from tests.unit.handler.demo import MakeVmi
from tests.unit.handler.planning import accepted

BRIDGE = {
    "devices": {"interfaces": [{"name": "default", "bridge": {}}]},
}
NETWORKS = [{"name": "default", "pod": {}}]
ALLOWED = {"kubevirt.io/allow-pod-bridge-network-live-migration": ""}
SHARED = "live migration requires that all PVCs must be shared (using ReadWriteMany access mode)"
CLAIM = {"name": "data", "persistentVolumeClaim": {"claimName": "shop"}}
BRIDGED = "cannot migrate VMI which does not use masquerade or a migratable plugin to connect to the pod network"


def claim_status(*modes: str) -> dict[str, Any]:
    info = {"claimName": "shop", "accessModes": list(modes)}
    return {"volumeStatus": [{"name": "data", "target": "", "persistentVolumeClaimInfo": info}]}


def described(make_vmi: MakeVmi, *, launcher_migrates: bool = True, **fields: Any) -> tuple[Condition, Condition]:
    vmi = make_vmi(**fields)
    spec = accepted(vmi)
    assert isinstance(spec, AcceptedSpec), str(spec)
    live, storage = migratable.conditions(vmi, spec, launcher_migrates=launcher_migrates)
    assert (live.type, storage.type) == ("LiveMigratable", "StorageLiveMigratable")
    return live, storage


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"domain": {"devices": {"autoattachPodInterface": False}}},
        {"domain": {"cpu": {"features": [{"name": "invtsc", "policy": "disable"}]}}},
        {"spec": {"volumes": [CLAIM]}, "status": claim_status("ReadWriteOnce", "ReadWriteMany")},
        {
            "domain": {"devices": {"disks": [{"name": "data", "disk": {"bus": "virtio"}}]}},
            "spec": {
                "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "shop", "readOnly": True}}],
            },
            "status": claim_status("ReadOnlyMany"),
        },
        {
            "spec": {"volumes": [{"name": "data", "ephemeral": {"persistentVolumeClaim": {"claimName": "shop"}}}]},
            "status": claim_status("ReadOnlyMany"),
        },
        {"spec": {"volumes": [{"name": "a", "containerDisk": {"image": "x"}}]}},
    ],
)
def test_a_machine_without_an_obstacle_is_migratable_without_a_reason(
    make_vmi: MakeVmi, fields: dict[str, Any]
) -> None:
    for condition in described(make_vmi, **fields):
        assert (condition.status, condition.reason, condition.message) == ("True", "", "")


@pytest.mark.parametrize(
    ("fields", "reason", "message"),
    [
        ({"domain": BRIDGE, "spec": {"networks": NETWORKS}}, "InterfaceNotLiveMigratable", BRIDGED),
        (
            {"domain": BRIDGE, "spec": {"networks": NETWORKS}, "annotations": ALLOWED},
            "InterfaceNotLiveMigratable",
            BRIDGED,
        ),
        (
            {"domain": {"cpu": {"features": [{"name": "invtsc"}]}}},
            "NoTSCFrequencyNotLiveMigratable",
            "Invtsc feature exposed to guest",
        ),
        (
            {"launcher_migrates": False},
            "LauncherNotLiveMigratable",
            "the launcher of this guest belongs to a release that does not migrate machines, restart the machine",
        ),
    ],
)
def test_an_obstacle_beside_disks_is_named_in_both_conditions(
    make_vmi: MakeVmi, fields: dict[str, Any], reason: str, message: str
) -> None:
    live, storage = described(make_vmi, **fields)
    assert (live.status, live.reason, live.message) == ("False", reason, message)
    assert (storage.status, storage.reason, storage.message) == ("False", "NotMigratable", f"{reason}: {message}")


@pytest.mark.parametrize(
    ("volume", "status", "what"),
    [
        (CLAIM, claim_status("ReadWriteOnce"), "PVC shop is not shared"),
        (CLAIM, claim_status("ReadOnlyMany"), "PVC shop is not shared"),
        ({"name": "data", "dataVolume": {"name": "shop"}}, claim_status("ReadWriteOnce"), "PVC shop is not shared"),
        (CLAIM, {}, "Unable to determine if PVC shop is shared"),
        (
            {"name": "data", "ephemeral": {"persistentVolumeClaim": {"claimName": "shop"}}},
            claim_status("ReadWriteOnce"),
            "PVC shop is not shared",
        ),
    ],
)
def test_a_claim_that_is_not_shared_forbids_migration_unless_its_content_is_copied(
    make_vmi: MakeVmi, volume: dict[str, Any], status: dict[str, Any], what: str
) -> None:
    live, storage = described(make_vmi, spec={"volumes": [volume]}, status=status)
    message = f"cannot migrate VMI: {what}, {SHARED}"
    assert (live.status, live.reason, live.message) == ("False", "DisksNotLiveMigratable", message)
    assert storage.status == "True"


def test_the_first_obstacle_counts_and_storage_migration_names_all_but_disks(make_vmi: MakeVmi) -> None:
    domain = {**BRIDGE, "cpu": {"features": [{"name": "invtsc"}]}}
    live, storage = described(
        make_vmi, domain=domain, spec={"networks": NETWORKS, "volumes": [CLAIM]}, status=claim_status("ReadWriteOnce")
    )
    assert live.reason == "InterfaceNotLiveMigratable"
    assert storage.message == (
        f"InterfaceNotLiveMigratable: {BRIDGED}, NoTSCFrequencyNotLiveMigratable: Invtsc feature exposed to guest"
    )


def test_a_spec_that_only_another_release_accepts_is_not_migratable(make_vmi: MakeVmi) -> None:
    vmi = make_vmi(spec={"somethingNew": 1})
    spec = accepted(vmi)
    assert isinstance(spec, RefusedSpec)
    for condition in migratable.conditions(vmi, spec, launcher_migrates=True):
        assert condition.status == "False"
        assert "somethingNew" in condition.message


@pytest.mark.parametrize(
    ("volumes", "disks", "method"),
    [
        ([], [], "LiveMigration"),
        ([CLAIM], [], "LiveMigration"),
        ([{"name": "data", "dataVolume": {"name": "shop"}}], [], "LiveMigration"),
        ([{"name": "a", "containerDisk": {"image": "x"}}], [], "BlockMigration"),
        ([{"name": "a", "emptyDisk": {"capacity": "1Gi"}}], [], "BlockMigration"),
        ([{"name": "a", "ephemeral": {"persistentVolumeClaim": {"claimName": "c"}}}], [], "BlockMigration"),
        ([{"name": "a", "cloudInitNoCloud": {"userData": "x"}}], [], "BlockMigration"),
        ([{"name": "a", "configMap": {"name": "c"}}], [{"name": "a", "cdrom": {}}], "LiveMigration"),
        ([CLAIM, {"name": "a", "secret": {"secretName": "s"}}], [{"name": "a", "disk": {}}], "BlockMigration"),
    ],
)
def test_the_method_says_whether_a_disk_is_copied(
    make_vmi: MakeVmi, volumes: list[dict[str, Any]], disks: list[dict[str, Any]], method: str
) -> None:
    vmi = make_vmi(domain={"devices": {"disks": disks}}, spec={"volumes": volumes})
    spec = accepted(vmi)
    assert isinstance(spec, AcceptedSpec), str(spec)
    assert migratable.migration_method(spec) == method


def test_a_machine_that_evictions_are_to_migrate_warns_once_when_it_cannot(make_vmi: MakeVmi) -> None:
    cannot = Condition("LiveMigratable", "False", "DisksNotLiveMigratable", "words")
    can = Condition("LiveMigratable", "True")
    plain = accepted(make_vmi())
    assert isinstance(plain, AcceptedSpec)
    spec = replace(plain, spec=msgspec.structs.replace(plain.spec, eviction_strategy="LiveMigrate"))
    warning = "EvictionStrategy is set but vmi is not migratable; words"
    assert migratable.must_migrate_but_cannot(spec, None, cannot) == warning
    assert migratable.must_migrate_but_cannot(spec, can, cannot) == warning
    assert migratable.must_migrate_but_cannot(spec, cannot, cannot) == ""
    assert migratable.must_migrate_but_cannot(spec, None, can) == ""
    assert migratable.must_migrate_but_cannot(plain, None, cannot) == ""
