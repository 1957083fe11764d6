"""PersistentVolumeClaims as disks: what is written outlives the guest, unless the claim is ephemeral or only read.

The cluster has no provisioner: the volumes are folders and loop devices of one node, made by hand.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from localcluster import node
from localcluster.settings import Cluster

from tests.e2e.cluster import apply, kubectl
from tests.e2e.guest_shell import Shell, disk
from tests.e2e.guests import disk_manifest, running

FOLDER = "/var/lib/guest-claims"  # on the node
WRITE = "echo {text} | dd of={device} bs=512 seek=9 conv=fsync 2>/dev/null"
READ = "dd if={device} bs=512 skip=9 count=1 2>/dev/null | tr -d '\\000'"


def in_node(*argv: str) -> str:
    """Run a command in the node of the volumes."""
    done = node.exec(1, list(argv))
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


@contextmanager
def claim(name: str, source: dict[str, Any], mode: str, size: str) -> Iterator[None]:
    """A volume of the first node and a claim that is bound to it."""
    where = {"key": "kubernetes.io/hostname", "operator": "In", "values": [Cluster.load().node(1).name]}
    common = {"storageClassName": "", "volumeMode": mode, "accessModes": ["ReadWriteOnce"]}
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"e2e-{name}"},
        "spec": {
            **common,
            **source,
            "capacity": {"storage": size},
            "claimRef": {"namespace": "default", "name": name},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [where]}]}},
        },
    }
    body = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {**common, "volumeName": f"e2e-{name}", "resources": {"requests": {"storage": size}}},
    }
    apply(volume, body)
    try:
        yield
    finally:
        kubectl("delete", "pvc", name, "--ignore-not-found", "--timeout=60s")
        kubectl("delete", "pv", f"e2e-{name}", "--ignore-not-found", "--timeout=60s")


@pytest.fixture
def folder() -> Iterator[str]:
    """A folder of the node that the launcher may write to, as a provisioner would give it away."""
    in_node("install", "-d", "-o", "107", "-g", "107", FOLDER)
    yield FOLDER
    in_node("rm", "-rf", FOLDER)


@pytest.fixture
def device(tmp_path: Path) -> Iterator[str]:
    """A block device of 8 MiB, the same on this machine and in the node."""
    backing = tmp_path / "device.img"
    with backing.open("wb") as file:
        file.truncate(8 << 20)
    made = subprocess.run(["losetup", "--find", "--show", str(backing)], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        pytest.skip(f"this machine gives no loop device for a claim of mode Block: {made.stderr.strip()}")
    name = made.stdout.strip()
    try:
        if node.exec(1, ["test", "-b", name]).returncode != 0:
            pytest.skip(f"the node does not see {name} of this machine")
        yield name
    finally:
        subprocess.run(["losetup", "--detach", name], check=True)


async def test_what_is_written_to_a_claim_outlives_the_guest_but_not_if_it_is_ephemeral(folder: str) -> None:
    here = Cluster.load().node(1).name
    data = {"persistentVolumeClaim": {"claimName": "files"}}
    with claim("files", {"local": {"path": folder}}, "Filesystem", "64Mi"):
        with running(disk_manifest("writer", {"data": data}, node=here)) as (guest,):
            (told,) = guest.vmi["status"]["volumeStatus"]
            assert told["persistentVolumeClaimInfo"]["claimName"] == "files"
            async with Shell.of(guest) as shell:
                # The file system's own needs are left out.
                assert await shell.run(f"blockdev --getsize64 {disk('data')}") == str(size_of_image())
                assert size_of_image() < 64 << 20
                await shell.run(WRITE.format(text="first", device=disk("data")))
        ephemeral = {"ephemeral": data}
        with running(disk_manifest("tourist", {"data": ephemeral}, node=here)) as (guest,):
            async with Shell.of(guest) as shell:
                assert await shell.run(READ.format(device=disk("data"))) == "first"
                await shell.run(WRITE.format(text="second", device=disk("data")))
                assert await shell.run(READ.format(device=disk("data"))) == "second"
        only_read = {"persistentVolumeClaim": {"claimName": "files", "readOnly": True}}
        with running(disk_manifest("reader", {"data": only_read}, node=here)) as (guest,):
            async with Shell.of(guest) as shell:
                assert await shell.run(READ.format(device=disk("data"))) == "first"
                assert await shell.run(f"blockdev --getro {disk('data')}") == "1"


def size_of_image() -> int:
    """Of disk.img in the volume."""
    return int(in_node("stat", "-c", "%s", f"{FOLDER}/disk.img"))


async def test_a_block_claim_is_the_guests_disk(device: str) -> None:
    here = Cluster.load().node(1).name
    volumes = {"data": {"persistentVolumeClaim": {"claimName": "blocks"}}}
    block = claim("blocks", {"local": {"path": device}}, "Block", "8Mi")
    with block, running(disk_manifest("blockwriter", volumes, node=here)) as (guest,):
        async with Shell.of(guest) as shell:
            assert await shell.run(f"blockdev --getsize64 {disk('data')}") == str(8 << 20)
            await shell.run(WRITE.format(text="to-the-device", device=disk("data")))
    assert Path(device).read_bytes()[9 * 512 :].startswith(b"to-the-device\n")
