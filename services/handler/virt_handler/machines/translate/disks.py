"""Translates the disks of a Machine. Pure; called by machine.py.

The controller read the claims when it created the pod and stored their mode and size in the VMI's status, from which
they are taken here.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from kubevirt.launcher.v1 import machine_pb2
from virt_core.conventions import launcher_pod
from virt_core.objects.quantity import parse_quantity
from virt_core.rpc.words import number
from virt_core.validation.refusal import Refusal, UnsupportedSpec, display, refused
from virt_core.vmi.accepted import AcceptedSpec
from virt_core.vmi.instance import VirtualMachineInstance
from virt_core.vmi.rules.volumes import decoded_base64
from virt_core.vmi.spec.effective import (
    DEFAULT_VOLUME_LABEL,
    DiskKind,
    EffectiveDisk,
    claim_of,
    empty_disk_bytes,
)
from virt_core.vmi.spec.volumes import CloudInit, PersistentVolumeClaim, Volume

from virt_handler.machines.translate.credentials import key_folders

_DEVICES = {
    DiskKind.DISK: machine_pb2.DISK_DEVICE_DISK,
    DiskKind.CDROM: machine_pb2.DISK_DEVICE_CDROM,
    DiskKind.LUN: machine_pb2.DISK_DEVICE_LUN,
}
_IMAGE = "disk.img"  # KubeVirt's name for the image in a claim's file system
_MI = 1 << 20
_LARGEST = (1 << 63) - 1  # the contract's create_bytes


def machine_disks(vmi: VirtualMachineInstance, spec: AcceptedSpec, hostname: str) -> list[machine_pb2.Disk]:
    """The disks in the order of the guest's slots.

    Raises:
        UnsupportedSpec: the status has no information about a claim, or somebody has changed it to what is not allowed.
    """
    claims = {
        entry.get("name"): entry.get("persistentVolumeClaimInfo") for entry in vmi.raw_status.get("volumeStatus", [])
    }
    disks = [_disk(vmi, disk, hostname, claims) for disk in spec.disks]
    for disk in disks:
        if disk.HasField("cloud_init"):
            disk.cloud_init.public_key_folders.extend(key_folders(spec.spec, disk.cloud_init.source))
    return disks


def _disk(vmi: VirtualMachineInstance, disk: EffectiveDisk, hostname: str, claims: dict[Any, Any]) -> machine_pb2.Disk:
    wanted, volume = disk.disk, disk.volume
    size = wanted.block_size.custom if wanted.block_size is not None else None
    result = machine_pb2.Disk(
        name=disk.name,
        device=_DEVICES[disk.kind],
        bus=number(machine_pb2.DiskBus, disk.bus),
        boot_order=wanted.boot_order or 0,
        serial=wanted.serial,
        read_only=disk.read_only,
        shareable=bool(wanted.shareable),
        logical_block_size=size.logical if size is not None else 0,
        physical_block_size=size.physical if size is not None else 0,
        tray_open=disk.tray_open,
        dedicated_io_thread=bool(wanted.dedicated_io_thread),
    )
    if wanted.cache:
        result.cache = number(machine_pb2.DiskCache, wanted.cache)
    if wanted.io:
        result.io = number(machine_pb2.DiskIo, wanted.io)
    if wanted.error_policy:
        result.error_policy = number(machine_pb2.DiskErrorPolicy, wanted.error_policy)
    if volume.container_disk is not None:
        result.container_disk.socket_path = launcher_pod.container_disk_socket(volume.name)
        result.container_disk.path = volume.container_disk.path
    elif volume.cloud_init_no_cloud is not None:
        result.cloud_init.source = machine_pb2.CLOUD_INIT_SOURCE_NO_CLOUD
        _cloud_init(result.cloud_init, vmi, volume.name, volume.cloud_init_no_cloud, hostname)
    elif volume.cloud_init_config_drive is not None:
        result.cloud_init.source = machine_pb2.CLOUD_INIT_SOURCE_CONFIG_DRIVE
        _cloud_init(result.cloud_init, vmi, volume.name, volume.cloud_init_config_drive, hostname)
    elif volume.empty_disk is not None:
        result.empty_disk.capacity_bytes = empty_disk_bytes(volume)
    elif (claim := claim_of(volume)) is not None:
        _claim(result, volume, claim, claims.get(volume.name))
    else:
        result.folder.path = launcher_pod.volume_folder(volume.name)
        result.folder.volume_label = _volume_label(volume)
    return result


def _cloud_init(
    made: machine_pb2.CloudInit, vmi: VirtualMachineInstance, volume: str, documents: CloudInit, hostname: str
) -> None:
    made.user_data = documents.user_data.encode() or decoded_base64(documents.user_data_base64)
    made.network_data = documents.network_data.encode() or decoded_base64(documents.network_data_base64)
    if documents.secret_ref is not None and documents.secret_ref.name:
        made.user_data_folder = launcher_pod.user_data_folder(volume)
    if documents.network_data_secret_ref is not None and documents.network_data_secret_ref.name:
        made.network_data_folder = launcher_pod.network_data_folder(volume)
    # As in KubeVirt: a guest that restarts with the same disk is the same instance.
    made.instance_id = f"{vmi.metadata.name}.{vmi.metadata.namespace}"
    made.hostname = hostname


def _claim(result: machine_pb2.Disk, volume: Volume, claim: PersistentVolumeClaim, info: Any) -> None:
    ephemeral = volume.ephemeral is not None
    if not isinstance(info, dict):
        source = "dataVolume.name" if volume.data_volume is not None else "persistentVolumeClaim.claimName"
        field = f"volumes[{volume.name}].{source}"
        raise UnsupportedSpec(refused(field, claim.claim_name, "a claim that is listed in status.volumeStatus"))
    if info.get("volumeMode") == "Block":
        result.block_device.path = launcher_pod.block_device(volume.name)
        result.block_device.ephemeral = ephemeral
        return
    result.image_file.path = f"{launcher_pod.volume_folder(volume.name)}/{_IMAGE}"
    result.image_file.ephemeral = ephemeral
    if not ephemeral and not claim.read_only:
        where = f"status.volumeStatus[{volume.name}].persistentVolumeClaimInfo"
        result.image_file.create_bytes = _usable_bytes(info, where)


def _usable_bytes(info: dict[str, Any], where: str) -> int:
    """The space for an image in a claim's file system, in whole MiB; 0 if its size is unknown. `where` is the info's
    path. Users can write a VMI's status."""
    for source in ("capacity", "requests"):
        size = (info.get(source) or {}).get("storage")
        if size:
            number = _number(f"{where}.{source}.storage", size, _LARGEST, "a size in bytes")
            overhead = _number(f"{where}.filesystemOverhead", info.get("filesystemOverhead", "0"), 1, "a share up to 1")
            return int(number * (1 - overhead)) // _MI * _MI
    return 0


def _number(field: str, value: object, largest: int, allowed: str) -> Decimal:
    try:
        number = parse_quantity(str(value))
    except ValueError:
        number = Decimal(-1)
    if not 0 <= number <= largest:
        raise UnsupportedSpec(Refusal(field, f"{display(value)} is not allowed, use {allowed}"))
    return number


def _volume_label(volume: Volume) -> str:
    if volume.service_account is not None:
        return ""  # none, as in KubeVirt
    labelled = volume.config_map or volume.secret or volume.downward_api
    return (labelled.volume_label if labelled is not None else "") or DEFAULT_VOLUME_LABEL
