"""Disks of each kind that a migration treats in its own way, in both pods. Used by test_migration_disks.py and
test_migration_between_releases.py."""

from __future__ import annotations

import os

from kubevirt.launcher.v1 import machine_pb2

from tests.integration.launcher.container_disks import VOLUMES, give_to_the_pod
from tests.integration.launcher.launcher_pair import LauncherPair

MIB = 1 << 20
DISK, VIRTIO = machine_pb2.DISK_DEVICE_DISK, machine_pb2.DISK_BUS_VIRTIO


def disks(pair: LauncherPair) -> list[machine_pb2.Disk]:
    """One of each kind that a migration treats in its own way; what they need is in both pods."""
    content = os.urandom(MIB)
    for side in pair.sides:
        folder = side.image("root") / "disk"
        folder.mkdir()
        (folder / "only.img").write_bytes(content)
        (folder / "only.img").chmod(0o644)
        side.start_sidecar("root", side.image("root"))
    claim = pair.source.volume("claim")
    (claim / "disk.img").write_bytes(content)
    give_to_the_pod(claim)
    # Shared by both nodes: the same file.
    shared = pair.target.volumes["volumes"] / "claim"
    shared.mkdir()
    os.link(claim / "disk.img", shared / "disk.img")
    give_to_the_pod(shared)
    made = [
        pair.source.container_disk(serial="root"),
        machine_pb2.Disk(name="scratch", device=DISK, bus=VIRTIO, serial="scratch"),
        machine_pb2.Disk(name="seed", device=DISK, bus=VIRTIO, serial="seed"),
        machine_pb2.Disk(name="claim", device=DISK, bus=VIRTIO, serial="claim"),
        machine_pb2.Disk(name="cd", device=machine_pb2.DISK_DEVICE_CDROM, bus=machine_pb2.DISK_BUS_SATA),
    ]
    made[1].empty_disk.capacity_bytes = 8 * MIB
    made[2].cloud_init.source = machine_pb2.CLOUD_INIT_SOURCE_NO_CLOUD
    made[2].cloud_init.user_data = b"#cloud-config\n# of the seed\n"
    made[3].image_file.path = f"{VOLUMES}/claim/disk.img"
    made[4].cloud_init.source = machine_pb2.CLOUD_INIT_SOURCE_NO_CLOUD
    return made
