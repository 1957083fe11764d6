"""Disks of every kind as a guest sees them, what persists of its writes, and images that must be refused."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.cluster import apply, get, kubectl, until
from tests.e2e.guest_shell import Shell, disk
from tests.e2e.guests import Guest, booting_from_disk, created, disk_manifest, image, running

pytestmark = pytest.mark.parallel

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
    """A ConfigMap."""
    metadata = {"name": "disk-settings", "namespace": "default"}
    apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"colour": "blue"}})
    yield
    kubectl("delete", "configmap", "disk-settings", "--ignore-not-found")


def _container_disk(path: str = "", name: str = "guest-disk") -> dict[str, Any]:
    return {"containerDisk": {"image": image(name), **({"path": path} if path else {})}}


async def test_an_empty_disk_larger_than_the_node_is_thin() -> None:
    with running(disk_manifest("thin", {"scratch": {"emptyDisk": {"capacity": "500Gi"}}})) as (guest,):
        async with Shell.of(guest) as shell:
            assert await shell.run(f"blockdev --getsize64 {disk('scratch')}") == str(500 << 30)
            await shell.run(f"dd if=/dev/zero of={disk('scratch')} bs=1M seek=400000 count=1 conv=fsync 2>/dev/null")
        assert guest.vmi["status"]["volumeStatus"][0]["size"] == 500 << 30


async def test_uefi_boots_the_same_image_from_sata() -> None:
    body = booting_from_disk(disk_manifest("uefi", {"root": {**_container_disk(), "disk": {"bus": "sata"}}}))
    body["spec"]["domain"]["firmware"]["bootloader"] = {"efi": {"secureBoot": False}}
    body["spec"]["domain"]["memory"]["guest"] = "192Mi"
    with running(body) as (guest,):
        async with Shell.of(guest) as shell:
            await shell.silence()
            assert "firmware=uefi" in await shell.run("cat /proc/cmdline")
            assert "runtime-map" in await shell.run("ls /sys/firmware/efi")


async def test_sata_disks_and_cdroms_and_the_watchdog_of_a_guest_that_knows_them(objects: None) -> None:
    volumes: dict[str, dict[str, Any]] = {
        "plain": {"emptyDisk": {"capacity": "5Mi"}, "disk": {}},
        "settings": {"configMap": {"name": "disk-settings"}, "cdrom": {}},
    }
    body = disk_manifest("sata", volumes)
    spec = body["spec"]["domain"]
    container = spec["firmware"]["kernelBoot"]["container"]
    container |= {"kernelPath": "/boot/generic/vmlinuz", "initrdPath": "/boot/generic/initrd"}
    spec["devices"]["watchdog"] = {"name": "dog", "i6300esb": {"action": "poweroff"}}
    with running(body) as (guest,):
        async with Shell.of(guest) as shell:
            assert await shell.run("cat /sys/block/sda/size") == str((5 << 20) // 512)
            await shell.run("mount -t iso9660 -o ro /dev/sr0 /tmp")
            assert await shell.run("cat /tmp/colour") == "blue"
            # Fed once, and then never again.
            await shell.type("watchdog -F -T 2 -t 1000 /dev/watchdog")
            until(lambda: guest.phase in ("Failed", "Succeeded"), "the watchdog to end the guest")


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
            until(lambda guest=guest: "disk root" in _message(guest), f"what is wrong with {guest.name}", every=0.5)  # type: ignore[misc]
        print(f"{len(guests)} refused within {time.monotonic() - started:.0f} s")
        messages = {guest.name: _message(guest) for guest in guests}
        for name, reason in expected.items():
            assert reason in messages[name], messages[name]
        assert not [guest.name for guest in guests if guest.vmi["status"]["phase"] == "Running"]


def test_a_secret_without_its_key_is_named_in_the_user_s_words(objects: None) -> None:
    apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "disk-empty", "namespace": "default"}})
    volumes = {"seed": {"cloudInitNoCloud": {"secretRef": {"name": "disk-empty"}}}}
    try:
        with created(disk_manifest("keyless", volumes)) as (guest,):
            until(lambda: "Secret disk-empty has no key userdata or userData" in _message(guest), "the key")
            print(_message(guest))
            assert "/var/run" not in _message(guest)
    finally:
        kubectl("delete", "secret", "disk-empty", "--ignore-not-found")


def _message(guest: Guest) -> str:
    conditions = get("vmi", guest.name).get("status", {}).get("conditions", [])
    return " ".join(condition.get("message", "") for condition in conditions)
