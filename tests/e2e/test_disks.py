"""Disks of every kind as a guest sees them, what becomes of what it writes, and images that must be refused."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.cluster import apply, get, kubectl
from tests.e2e.guest_shell import Shell, disk
from tests.e2e.guests import Guest, booting_from_disk, created, disk_manifest, image, running, until

NETWORK_DATA = "version: 2\nethernets: {eth0: {dhcp4: true}}\n"
USER_DATA = "#cloud-config\n# é, and as long as an inline document may not be\n" + "#" * 3000 + "\n"
CDROM: dict[str, Any] = {"cdrom": {"bus": "scsi"}}

# What each image of guest-hostile is refused for, by the path that the VMI names; "" is the folder of two.
HOSTILE = {
    "": "holds more than one file in /disk, name one by path: one.img, two.img",
    "/hostile/backing.qcow2": "has a backing file, use an image without one",
    "/hostile/data-file.qcow2": "has an external data file, use an image without one",
    "/hostile/corrupt.qcow2": "is a corrupt qcow2",
    "/hostile/link.img": "is a symbolic link at link.img, use a regular file",
    "/hostile/climbing.img": "is a symbolic link at climbing.img, use a regular file",
    "/hostile/empty.img": "is empty",
    "/hostile/absent.img": "cannot be opened at absent.img: No such file or directory",
}


@pytest.fixture(scope="module")
def objects(suite: None) -> Iterator[None]:
    """A Secret, a ConfigMap and a service account."""
    encoded = base64.b64encode(USER_DATA.encode()).decode()
    bodies = (
        {"apiVersion": "v1", "kind": "Secret", "metadata": _named("disk-user-data"), "data": {"userdata": encoded}},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": _named("disk-settings"), "data": {"colour": "blue"}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _named("disk-account")},
    )
    apply(*bodies)
    yield
    for body in bodies:
        kubectl("delete", body["kind"], body["metadata"]["name"], "--ignore-not-found")


def _named(name: str) -> dict[str, Any]:
    return {"name": name, "namespace": "default"}


def _container_disk(path: str = "", name: str = "guest-disk") -> dict[str, Any]:
    return {"containerDisk": {"image": image(name), **({"path": path} if path else {})}}


def _everything() -> dict[str, dict[str, Any]]:
    """A volume of each kind that a small guest can have without a claim, by name. The first one boots."""
    field = {"path": "labels/colour", "fieldRef": {"fieldPath": "metadata.labels['colour']"}}
    cloud_init = {"secretRef": {"name": "disk-user-data"}, "networkData": NETWORK_DATA}
    return {
        "empty": {"emptyDisk": {"capacity": "3Mi"}},
        "root": {**_container_disk(), "device": {"bootOrder": 1, "cache": "writeback"}},
        "read-only": {**_container_disk("/disk/guest.qcow2"), "disk": {"bus": "scsi", "readonly": True}},
        "cloud": {"cloudInitNoCloud": cloud_init},
        "settings": {"configMap": {"name": "disk-settings", "volumeLabel": "SETTINGS"}, **CDROM},
        "keys": {"secret": {"secretName": "disk-user-data"}},
        "account": {"serviceAccount": {"serviceAccountName": "disk-account"}},
        "fields": {"downwardAPI": {"fields": [field]}},
    }


async def test_a_guest_boots_from_its_disk_and_sees_every_other(objects: None) -> None:
    body = booting_from_disk(disk_manifest("disks", _everything()))
    body["metadata"]["labels"] = {"colour": "green"}
    with running(body) as (guest,):
        async with Shell.of(guest) as shell:
            assert "firmware=bios" in await shell.run("cat /proc/cmdline")
            assert await shell.run(f"blockdev --getsize64 {disk('empty')}") == str(3 << 20)
            assert await shell.run(f"blockdev --getro {disk('read-only')} {disk('cloud')} {disk('root')}") == "1\n1\n0"
            # The same image twice, each with its own writes.
            write = f"echo written-here | dd of={disk('root')} bs=512 seek=100 conv=fsync 2>&1"
            await shell.run(write)
            read = "dd if={} bs=512 skip=100 count=1 2>/dev/null | grep -c written-here"
            assert await shell.run(read.format(disk("root"))) == "1"
            assert await shell.run(f"{read.format(disk('read-only'))} || true") == "0"

            seed = await _mounted(shell, "cloud")
            assert "user-data" in seed and "meta-data" in seed and "network-config" in seed
            assert await shell.run("head -n 2 /tmp/user-data | tail -n 1") == USER_DATA.splitlines()[1]
            assert await shell.run("wc -c </tmp/user-data") == str(len(USER_DATA.encode()))
            assert await shell.run("cat /tmp/network-config") == NETWORK_DATA.strip()
            assert '"local-hostname": "disks"' in await shell.run("cat /tmp/meta-data")
            assert "colour" in await _mounted(shell, "settings")
            assert await shell.run("cat /tmp/colour") == "blue"
            assert "userdata" in await _mounted(shell, "keys")
            files = await _mounted(shell, "account")
            assert "token" in files and "namespace" in files
            assert await shell.run("cat /tmp/namespace") == "default"
            await _mounted(shell, "fields")
            assert await shell.run("cat /tmp/labels/colour") == "green"
        volumes = {one["name"]: one for one in guest.vmi["status"]["volumeStatus"]}
        assert set(volumes) == set(_everything())
        assert volumes["empty"]["target"].startswith("vd")
    # What was written has gone with the guest.
    with running(booting_from_disk(disk_manifest("disks", {"root": _container_disk()}))) as (guest,):
        async with Shell.of(guest) as shell:
            assert await shell.run(f"{read.format(disk('root'))} || true") == "0"


async def _mounted(shell: Shell, name: str) -> list[str]:
    """The files on that disk, which is at /tmp now."""
    listed = await shell.run(f"umount /tmp 2>/dev/null; mount -t iso9660 -o ro {disk(name)} /tmp && ls -A /tmp")
    return listed.split()


async def test_uefi_boots_the_same_image_from_sata() -> None:
    body = booting_from_disk(disk_manifest("uefi", {"root": {**_container_disk(), "disk": {"bus": "sata"}}}))
    body["spec"]["domain"]["firmware"]["bootloader"] = {"efi": {"secureBoot": False}}
    body["spec"]["domain"]["memory"]["guest"] = "192Mi"
    with running(body) as (guest,):
        async with Shell.of(guest, boot_s=90) as shell:
            assert "firmware=uefi" in await shell.run("cat /proc/cmdline")
            assert "runtime-map" in await shell.run("ls /sys/firmware/efi")


async def test_sata_disks_and_cdroms_and_the_watchdog_of_a_guest_that_knows_them(objects: None) -> None:
    script = base64.b64encode(b"#!/bin/sh\n").decode()
    volumes: dict[str, dict[str, Any]] = {
        "plain": {"emptyDisk": {"capacity": "5Mi"}, "disk": {}},
        "settings": {"configMap": {"name": "disk-settings"}, "cdrom": {}},
        "drive": {"cloudInitConfigDrive": {"userDataBase64": script}, "cdrom": {"bus": "sata"}},
    }
    body = disk_manifest("sata", volumes)
    spec = body["spec"]["domain"]
    container = spec["firmware"]["kernelBoot"]["container"]
    container |= {"kernelPath": "/boot/generic/vmlinuz", "initrdPath": "/boot/generic/initrd"}
    spec["devices"]["watchdog"] = {"name": "dog", "i6300esb": {"action": "poweroff"}}
    with running(body) as (guest,):
        async with Shell.of(guest, boot_s=90) as shell:
            assert await shell.run("cat /sys/block/sda/size") == str((5 << 20) // 512)
            await shell.run("mount -t iso9660 -o ro /dev/sr0 /tmp")
            assert await shell.run("cat /tmp/colour") == "blue"
            await shell.run("umount /tmp; mount -t iso9660 -o ro /dev/sr1 /tmp")
            assert await shell.run("cat /tmp/openstack/latest/user_data") == "#!/bin/sh"
            assert '"hostname": "sata"' in await shell.run("cat /tmp/openstack/latest/meta_data.json")
            # Fed once, and then never again.
            await shell.type("watchdog -F -T 2 -t 1000 /dev/watchdog")
        until(lambda: guest.phase in ("Failed", "Succeeded"), "the watchdog to end the guest", 60)


def test_each_unusable_image_is_refused_with_what_is_wrong() -> None:
    bodies = {}
    for number, path in enumerate(HOSTILE):
        volumes = {"root": _container_disk(path, "guest-hostile")}
        bodies[path] = booting_from_disk(disk_manifest(f"hostile{number}", volumes))
        bodies[path]["spec"]["domain"]["memory"]["guest"] = "16Mi"
    nothing = booting_from_disk(disk_manifest("hostile-none", {"root": _container_disk("", "guest-demo")}))
    expected = {body["metadata"]["name"]: HOSTILE[path] for path, body in bodies.items()}
    expected["hostile-none"] = "holds no disk: there is no folder /disk"
    with created(*bodies.values(), nothing) as guests:
        started = time.monotonic()
        for guest in guests:
            until(lambda guest=guest: "disk root" in _told(guest), f"what is wrong with {guest.name}", 90, 0.5)  # type: ignore[misc]
        print(f"{len(guests)} refused within {time.monotonic() - started:.0f} s")
        said = {guest.name: _told(guest) for guest in guests}
        for name, reason in expected.items():
            assert reason in said[name], said[name]
        assert not [guest.name for guest in guests if guest.vmi["status"]["phase"] == "Running"]


def _told(guest: Guest) -> str:
    conditions = get("vmi", guest.name).get("status", {}).get("conditions", [])
    return " ".join(one.get("message", "") for one in conditions)
