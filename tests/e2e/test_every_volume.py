"""One small guest with a volume of every kind, on virtio and SCSI, as disks and CD-ROMs: what it reads, and what
becomes of what it writes.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.claims import LAUNCHER, claim, folder_of_node, in_node, loop_device, node_name
from tests.e2e.cluster import apply, kubectl
from tests.e2e.guest_shell import Shell, disk
from tests.e2e.guests import booting_from_disk, disk_manifest, image, running

pytestmark = pytest.mark.parallel

USER_DATA = "#cloud-config\n# é, and longer than an inline document may be\n" + "#" * 3000 + "\n"
NETWORK_DATA = "version: 2\nethernets: {eth0: {dhcp4: true}}\n"
MIB = 1 << 20
SCSI: dict[str, Any] = {"disk": {"bus": "scsi"}}
CDROM: dict[str, Any] = {"cdrom": {"bus": "scsi"}}

PLACE = 100 * 512  # a sector of no file system's and no boot loader's
READ = f"dd if={{}} bs=512 skip={PLACE // 512} count=1 2>/dev/null | tr -d '\\000'"
WRITE = f"echo by-the-guest | dd of={{}} bs=512 seek={PLACE // 512} conv=fsync 2>/dev/null"


def _named(name: str) -> dict[str, Any]:
    return {"name": name, "namespace": "default"}


@pytest.fixture(scope="module")
def objects(suite: None) -> Iterator[None]:
    """A Secret, a ConfigMap and a service account."""
    encoded = base64.b64encode(USER_DATA.encode()).decode()
    bodies: tuple[dict[str, Any], ...] = (
        {"apiVersion": "v1", "kind": "Secret", "metadata": _named("every-secret"), "data": {"userdata": encoded}},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": _named("every-settings"), "data": {"colour": "blue"}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _named("every-account")},
    )
    apply(*bodies)
    yield
    for body in bodies:
        kubectl("delete", body["kind"], body["metadata"]["name"], "--ignore-not-found")


def _volumes() -> dict[str, dict[str, Any]]:
    """By name. The one that boots is not the first."""
    container_disk = {"containerDisk": {"image": image("guest-disk")}}
    files, blocks, base = ({"persistentVolumeClaim": {"claimName": f"every-{name}"}} for name in ("f", "b", "e"))
    field = {"path": "labels/colour", "fieldRef": {"fieldPath": "metadata.labels['colour']"}}
    return {
        "scratch": {"emptyDisk": {"capacity": "3Mi"}},
        "root": {**container_disk, "device": {"bootOrder": 1, "cache": "writeback"}},
        "original": {**container_disk, "disk": {"bus": "scsi", "readonly": True}},
        "files": {**files, **SCSI},
        "blocks": blocks,
        "ephemeral": {"ephemeral": base, **SCSI},
        "cloud": {"cloudInitNoCloud": {"secretRef": {"name": "every-secret"}, "networkData": NETWORK_DATA}, **CDROM},
        "settings": {"configMap": {"name": "every-settings", "volumeLabel": "SETTINGS"}, **CDROM},
        "keys": {"secret": {"secretName": "every-secret"}},
        "account": {"serviceAccount": {"serviceAccountName": "every-account"}, **SCSI},
        "fields": {"downwardAPI": {"fields": [field]}, **CDROM},
    }


def _mark(device: str, text: str) -> None:
    """Write `text` at the place of a device."""
    with Path(device).open("r+b") as opened:
        opened.seek(PLACE)
        opened.write(text.encode() + b"\n")


def _put(folder: str, text: str) -> None:
    """An image of 1 MiB in a volume of the node."""
    made = f"head -c {PLACE} /dev/zero >{folder}/disk.img && echo {text} >>{folder}/disk.img"
    in_node("sh", "-c", f"{made} && truncate -s {MIB} {folder}/disk.img && chown {LAUNCHER} {folder}/disk.img")


def _kept(folder: str) -> str:
    """What the place of the image holds now."""
    return in_node("sh", "-c", f"tail -c +{PLACE + 1} {folder}/disk.img | head -n 1").strip()


async def test_a_guest_boots_from_its_disk_and_has_a_volume_of_every_kind(objects: None, tmp_path: Path) -> None:
    body = booting_from_disk(disk_manifest("every", _volumes(), node=node_name()))
    body["metadata"]["labels"] = {"colour": "green"}
    with (
        folder_of_node("every-files") as files,
        folder_of_node("every-base") as base,
        loop_device(tmp_path / "device.img", 4 * MIB) as device,
        claim("every-f", files, "Filesystem", "1Mi"),
        claim("every-e", base, "Filesystem", "1Mi"),
        claim("every-b", device, "Block", "4Mi"),
    ):
        _put(files, "of-the-files")
        _put(base, "of-the-base")
        _mark(device, "of-the-device")
        with running(body) as (guest,):
            async with Shell.of(guest) as shell:
                await shell.silence()
                assert "firmware=bios" in await shell.run("cat /proc/cmdline")
                await _reads_every_document(shell)
                await _reads_and_writes_every_image(shell)
            volumes = {volume["name"]: volume for volume in guest.vmi["status"]["volumeStatus"]}
            assert set(volumes) == set(_volumes())
            assert {name for name, volume in volumes.items() if volume["target"].startswith("vd")} == {
                name
                for name, definition in _volumes().items()
                if "disk" not in definition and "cdrom" not in definition
            }
        assert _kept(files) == "by-the-guest"
        assert _kept(base) == "of-the-base"
        assert Path(device).read_bytes()[PLACE:].startswith(b"by-the-guest\n")


async def _reads_every_document(shell: Shell) -> None:
    documents = {"user-data": USER_DATA, "network-config": NETWORK_DATA}
    await _mount(shell, "cloud")
    assert '"local-hostname": "every"' in await shell.run("cat /tmp/meta-data")
    for name, text in documents.items():
        assert (await shell.run(f"sha256sum </tmp/{name}")).split()[0] == hashlib.sha256(text.encode()).hexdigest()
    await _mount(shell, "settings")
    assert await shell.run("cat /tmp/colour") == "blue"
    label = "dd if={} bs=1 skip=32808 count=8 2>/dev/null"  # of the primary volume descriptor
    assert await shell.run(label.format(disk("settings"))) == "SETTINGS"
    await _mount(shell, "keys")
    assert (await shell.run("sha256sum </tmp/userdata")).split()[0] == hashlib.sha256(USER_DATA.encode()).hexdigest()
    await _mount(shell, "account")
    assert await shell.run("cat /tmp/namespace") == "default"
    payload = (await shell.run("cat /tmp/token")).split(".")[1]
    token = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    assert token["sub"] == "system:serviceaccount:default:every-account"
    await _mount(shell, "fields")
    assert await shell.run("cat /tmp/labels/colour") == "green"


async def _mount(shell: Shell, name: str) -> None:
    """That file system, at /tmp."""
    await shell.run(f"umount /tmp 2>/dev/null; mount -t iso9660 -o ro {disk(name)} /tmp")


async def _reads_and_writes_every_image(shell: Shell) -> None:
    sizes = {"scratch": 3 * MIB, "files": MIB, "ephemeral": MIB, "blocks": 4 * MIB}
    for name, size in sizes.items():
        assert await shell.run(f"blockdev --getsize64 {disk(name)}") == str(size), name
    found = {"scratch": "", "files": "of-the-files", "ephemeral": "of-the-base", "blocks": "of-the-device"}
    for name, text in found.items():
        assert await shell.run(READ.format(disk(name))) == text, name
    for name in (*found, "root"):
        await shell.run(WRITE.format(disk(name)))
    await shell.run("echo 3 >/proc/sys/vm/drop_caches")
    for name in (*found, "root"):
        assert await shell.run(READ.format(disk(name))) == "by-the-guest", name
    # The same image twice: what is written to one is not in the other.
    for name, read_only in (("original", "1"), ("root", "0")):
        assert await shell.run(f"blockdev --getro {disk(name)}") == read_only, name
    assert "by-the-guest" not in await shell.run(READ.format(disk("original")))
