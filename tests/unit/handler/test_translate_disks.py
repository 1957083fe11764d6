"""Translation of a VirtualMachineInstance's volumes to a Machine's disks."""

from __future__ import annotations

import base64
import gzip
from typing import Any

import pytest
from kubevirt.launcher.v1 import machine_pb2
from virt_core.objects.kubevirt import Configuration
from virt_core.validation.refusal import UnsupportedSpec
from virt_handler.network.plan import PodNetwork

from tests.unit.handler.demo import MakeVmi, translated

POD = PodNetwork(1450, ("10.244.1.7",))


def disks(
    make_vmi: MakeVmi,
    volumes: list[dict[str, Any]],
    wanted: list[dict[str, Any]] | None = None,
    status: list[dict[str, Any]] | None = None,
    **spec: Any,
) -> list[machine_pb2.Disk]:
    vmi = make_vmi(
        domain={"devices": {"disks": wanted or []}},
        spec={"volumes": volumes, **spec},
        status={"volumeStatus": status or []},
    )
    return list(translated(vmi, Configuration(), POD).disks)


def test_settings_of_a_disk_are_carried_over(make_vmi: MakeVmi) -> None:
    wanted = {
        "name": "root",
        "disk": {"bus": "scsi"},
        "bootOrder": 1,
        "cache": "writethrough",
        "serial": "S1",
        "errorPolicy": "report",
        "blockSize": {"custom": {"logical": 512, "physical": 4096}},
    }
    (disk,) = disks(make_vmi, [{"name": "root", "containerDisk": {"image": "i", "path": "/d.img"}}], [wanted])
    assert (disk.device, disk.bus, disk.boot_order) == (machine_pb2.DISK_DEVICE_DISK, machine_pb2.DISK_BUS_SCSI, 1)
    assert (disk.cache, disk.serial) == (machine_pb2.DISK_CACHE_WRITETHROUGH, "S1")
    assert disk.error_policy == machine_pb2.DISK_ERROR_POLICY_REPORT
    assert (disk.logical_block_size, disk.physical_block_size) == (512, 4096)
    assert disk.container_disk.socket_path == "/var/run/kubevirt/container-disks/root.sock"
    assert disk.container_disk.path == "/d.img"


def test_a_cd_drive_is_read_only_and_its_tray_may_be_open(make_vmi: MakeVmi) -> None:
    wanted = [{"name": "cd", "cdrom": {"tray": "open"}}]
    (disk,) = disks(make_vmi, [{"name": "cd", "emptyDisk": {"capacity": "1Gi"}}], wanted)
    assert (disk.device, disk.bus, disk.read_only, disk.tray_open) == (
        machine_pb2.DISK_DEVICE_CDROM,
        machine_pb2.DISK_BUS_SATA,
        True,
        True,
    )
    assert disk.empty_disk.capacity_bytes == 1 << 30


def test_public_keys_for_cloud_init_are_named_as_folders_of_its_form(make_vmi: MakeVmi) -> None:
    def keys(secret: str, method: str) -> dict[str, Any]:
        return {"sshPublicKey": {"source": {"secret": {"secretName": secret}}, "propagationMethod": {method: {}}}}

    for kind, method in (("cloudInitNoCloud", "noCloud"), ("cloudInitConfigDrive", "configDrive")):
        credentials = [keys("a", method), keys("a", method), keys("b.c", method)]
        volume = {"name": "seed", kind: {"userData": "x"}}
        (disk,) = disks(make_vmi, [volume], accessCredentials=credentials)
        assert list(disk.cloud_init.public_key_folders) == [
            "/var/run/kubevirt/access-credentials/a",
            "/var/run/kubevirt/access-credentials/b.c",
        ]


def test_cloud_init_is_inline_decoded_or_named_as_a_folder(make_vmi: MakeVmi) -> None:
    compressed = gzip.compress(b"#cloud-config\n")
    encoded = base64.encodebytes(compressed).decode()  # in lines, as base64(1) prints it
    inline = {"name": "a", "cloudInitNoCloud": {"userDataBase64": encoded, "networkData": "version: 2"}}
    secret = {"name": "b", "cloudInitConfigDrive": {"secretRef": {"name": "s"}}}
    (first,), (second,) = (disks(make_vmi, [volume], hostname="box") for volume in (inline, secret))
    assert first.cloud_init.source == machine_pb2.CLOUD_INIT_SOURCE_NO_CLOUD
    assert first.cloud_init.user_data == compressed
    assert (first.cloud_init.network_data, first.cloud_init.hostname) == (b"version: 2", "box")
    assert first.cloud_init.instance_id == "demo.default"
    assert second.cloud_init.source == machine_pb2.CLOUD_INIT_SOURCE_CONFIG_DRIVE
    assert second.cloud_init.user_data_folder == "/var/run/kubevirt/volumes/b/userdata"
    assert not second.cloud_init.user_data


def test_claims_are_files_or_devices_as_the_status_says(make_vmi: MakeVmi) -> None:
    files = {"volumeMode": "Filesystem", "capacity": {"storage": "1Gi"}, "filesystemOverhead": "0.5"}
    volumes: list[dict[str, Any]] = [
        {"name": "files", "persistentVolumeClaim": {"claimName": "c1"}},
        {"name": "device", "persistentVolumeClaim": {"claimName": "c2"}},
        {"name": "base", "ephemeral": {"persistentVolumeClaim": {"claimName": "c3"}}},
        {"name": "data", "dataVolume": {"name": "c4"}},
    ]
    status = [
        {"name": "files", "target": "", "persistentVolumeClaimInfo": files},
        {"name": "device", "target": "", "persistentVolumeClaimInfo": {"volumeMode": "Block"}},
        {"name": "base", "target": "", "persistentVolumeClaimInfo": files},
        {"name": "data", "target": "", "persistentVolumeClaimInfo": files},
    ]
    first, second, third, fourth = disks(make_vmi, volumes, status=status)
    assert first.image_file.path == "/var/run/kubevirt/volumes/files/disk.img"
    assert (first.image_file.create_bytes, first.image_file.ephemeral) == (1 << 29, False)
    assert second.block_device.path == "/dev/kubevirt/device"
    assert (third.image_file.create_bytes, third.image_file.ephemeral) == (0, True)
    assert fourth.image_file.path == "/var/run/kubevirt/volumes/data/disk.img"
    assert (fourth.image_file.create_bytes, fourth.image_file.ephemeral) == (1 << 29, False)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("filesystemOverhead", "nonsense"),
        ("filesystemOverhead", "NaN"),
        ("filesystemOverhead", "1e99"),
        ("filesystemOverhead", "-1"),
        ("capacity", {"storage": "nonsense"}),
        ("capacity", {"storage": "-1Gi"}),
        ("requests", {"storage": "1e99"}),
    ],
)
def test_nonsense_that_somebody_wrote_about_a_claim_is_refused_by_field(
    make_vmi: MakeVmi, field: str, value: Any
) -> None:
    info = {"volumeMode": "Filesystem", "requests": {"storage": "1Gi"}, field: value}
    status = [{"name": "files", "target": "", "persistentVolumeClaimInfo": info}]
    with pytest.raises(UnsupportedSpec) as refused:
        disks(make_vmi, [{"name": "files", "persistentVolumeClaim": {"claimName": "c1"}}], status=status)
    assert f"status.volumeStatus[files].persistentVolumeClaimInfo.{field}" in str(refused.value)


def test_a_claim_of_which_nothing_is_known_is_named(make_vmi: MakeVmi) -> None:
    with pytest.raises(UnsupportedSpec) as refused:
        disks(make_vmi, [{"name": "root", "persistentVolumeClaim": {"claimName": "c1"}}])
    assert "'c1'" in str(refused.value)


def test_folders_carry_kubevirts_label_unless_the_volume_has_its_own(make_vmi: MakeVmi) -> None:
    volumes: list[dict[str, Any]] = [
        {"name": "m", "configMap": {"name": "m", "volumeLabel": "mine"}},
        {"name": "s", "secret": {"secretName": "s"}},
        {"name": "t", "serviceAccount": {"serviceAccountName": "t"}},
    ]
    found = disks(make_vmi, volumes)
    assert [disk.folder.volume_label for disk in found] == ["mine", "cfgdata", ""]
    assert found[0].folder.path == "/var/run/kubevirt/volumes/m"
