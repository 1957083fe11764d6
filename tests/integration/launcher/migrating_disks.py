"""Disks of each kind that a migration treats in its own way, in both pods. Used by test_migration_disks.py and
test_migration_between_releases.py."""

from __future__ import annotations

import os

from kubevirt.launcher.v1 import machine_pb2

from tests.integration.launcher.container_disks import VOLUMES, give_to_the_pod
from tests.integration.launcher.launcher_pair import Side

MIB = 1 << 20
DISK, VIRTIO = machine_pb2.DISK_DEVICE_DISK, machine_pb2.DISK_BUS_VIRTIO


def disks(*sides: Side, content: bytes = b"") -> list[machine_pb2.Disk]:
    """One of each kind; what they need is in all pods. `content` is in the containerDisk and in the claim."""
    content = content or os.urandom(MIB)
    for side in sides:
        place(side, content, sides[0])
    made = [
        sides[0].container_disk(serial="root"),
        machine_pb2.Disk(name="scratch", device=DISK, bus=VIRTIO, serial="scratch"),
        machine_pb2.Disk(name="seed", device=DISK, bus=VIRTIO, serial="seed"),
        machine_pb2.Disk(name="claim", device=DISK, bus=VIRTIO, serial="claim"),
        machine_pb2.Disk(name="cd", device=machine_pb2.DISK_DEVICE_CDROM, bus=machine_pb2.DISK_BUS_SATA),
    ]
    made[0].cache = machine_pb2.DISK_CACHE_WRITEBACK
    made[1].empty_disk.capacity_bytes = 8 * MIB
    made[2].cloud_init.source = machine_pb2.CLOUD_INIT_SOURCE_NO_CLOUD
    made[2].cloud_init.user_data = b"#cloud-config\n# of the seed\n"
    made[3].image_file.path = f"{VOLUMES}/claim/disk.img"
    made[4].cloud_init.source = machine_pb2.CLOUD_INIT_SOURCE_NO_CLOUD
    return made


def place(side: Side, content: bytes, other: Side) -> None:
    """What the disks need in a pod. The claim is the other pod's, if that is another."""
    folder = side.image("root") / "disk"
    folder.mkdir()
    (folder / "only.img").write_bytes(content)
    (folder / "only.img").chmod(0o644)
    side.start_sidecar("root", side.image("root"))
    claim = side.volume("claim") / "disk.img"
    if side is other:
        claim.write_bytes(content)
    else:  # shared by all nodes: the same file
        os.link(other.volumes["volumes"] / "claim/disk.img", claim)
    give_to_the_pod(claim.parent)
