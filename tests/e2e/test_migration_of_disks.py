"""A guest with every kind of volume that needs no claim moves there and back: what it reads, writes and tells the time
from goes with it. And a guest for whose second pod a quota has no room.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.e2e.cluster import apply, condition_of, get, kubectl, until
from tests.e2e.guest_shell import Shell, disk
from tests.e2e.guests import disk_manifest, image, running
from tests.e2e.migrations import ended, migratable, migrate, migration

pytestmark = pytest.mark.parallel

NAME = "laden"
CDROM: dict[str, Any] = {"cdrom": {"bus": "scsi"}}
PRIORITY = "moves-within-a-quota"


def _named(kind: str, name: str, version: str = "v1", **more: Any) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": "default"}, **more}


@contextmanager
def objects(*bodies: dict[str, Any]) -> Iterator[None]:
    """Meanwhile there are these."""
    apply(*bodies)
    try:
        yield
    finally:
        for body in bodies:
            kubectl("delete", body["kind"], body["metadata"]["name"], "--ignore-not-found")


def laden() -> dict[str, Any]:
    """A guest with a kernel beside its disks, and all of them."""
    field = {"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}
    volumes: dict[str, dict[str, Any]] = {
        "root": {"containerDisk": {"image": image("guest-disk")}, "device": {"cache": "writeback"}},
        "scratch": {"emptyDisk": {"capacity": "3Mi"}},
        "cloud": {"cloudInitNoCloud": {"userData": "#cloud-config\n# of the seed\n"}},
        "settings": {"configMap": {"name": NAME}, **CDROM},
        "keys": {"secret": {"secretName": NAME}, **CDROM},
        "account": {"serviceAccount": {"serviceAccountName": NAME}},
        "fields": {"downwardAPI": {"fields": [field]}, **CDROM},
    }
    body = disk_manifest(NAME, volumes)
    body["spec"]["domain"]["devices"]["inputs"] = [{"name": "tablet", "type": "tablet", "bus": "usb"}]
    return body


READS = {
    "cloud": ("user-data", "of the seed"),
    "settings": ("colour", "blue"),
    "keys": ("colour", "red"),
    "account": ("namespace", "default"),
    "fields": ("name", NAME),
}


async def _is_all_there(shell: Shell) -> None:
    for name in ("root", "scratch"):
        assert f"on-{name}" in await shell.run(f"dd if={disk(name)} bs=512 skip=100 count=1 2>/dev/null | head -n 1")
    for name, (file, text) in READS.items():
        mounted = f"mount -o ro {disk(name)} /mnt && cat /mnt/{file}; umount /mnt"
        assert text in await shell.run(f"mkdir -p /mnt; {mounted}"), name


async def _clock(shell: Shell) -> tuple[float, float]:
    """How far the guest's clock is ahead of ours, in seconds: at least and at most, for a busy guest answers late."""
    asked = time.time()
    clock = int((await shell.run("date +%s")).splitlines()[-1])
    return clock - time.time(), clock + 1 - asked


async def test_a_guest_with_every_volume_moves_there_and_back_with_all_of_them() -> None:
    made = (
        _named("ConfigMap", NAME, data={"colour": "blue"}),
        _named("Secret", NAME, stringData={"colour": "red"}),
        _named("ServiceAccount", NAME),
    )
    with objects(*made), running(laden()) as (guest,):
        async with Shell.of(guest) as shell:
            for name in ("root", "scratch"):
                await shell.run(f"echo on-{name} | dd of={disk(name)} bs=512 seek=100 conv=fsync 2>/dev/null")
            boot, (least, most) = await shell.boot_id(), await _clock(shell)
        for number in range(2):
            status = migrate(f"{NAME}-{number}", NAME)
            assert status["phase"] == "Succeeded", status
            async with Shell.of(guest) as shell:
                assert await shell.boot_id() == boot
                now = await _clock(shell)
                assert now[0] < most + 5 and now[1] > least - 5, (now, least, most)
                if number:
                    await shell.run("echo 3 >/proc/sys/vm/drop_caches")
                    await _is_all_there(shell)
        assert guest.vmi["status"]["migrationMethod"] == "BlockMigration"


@pytest.mark.slow  # a new start and a failed attempt; a unit test shows the condition
def test_a_quota_with_room_for_the_source_alone_is_named_until_it_grows() -> None:
    """The quota counts only pods of a priority class that nobody else has."""
    priority_class = _named("PriorityClass", PRIORITY, "scheduling.k8s.io/v1", value=1)
    del priority_class["metadata"]["namespace"]
    scope = {"scopeName": "PriorityClass", "operator": "In", "values": [PRIORITY]}
    spec = {"hard": {"pods": "1"}, "scopeSelector": {"matchExpressions": [scope]}}
    body = migratable("thrifty")
    body["spec"]["priorityClassName"] = PRIORITY
    with objects(priority_class, _named("ResourceQuota", PRIORITY, spec=spec)), running(body) as (guest,):
        apply(migration("thrifty", "thrifty"))

        def rejected() -> dict[str, Any]:
            return condition_of(get("vmim", "thrifty"), "migrationRejectedByResourceQuota")

        until(lambda: rejected().get("status") == "True", "the quota to be named")
        assert f"exceeded quota: {PRIORITY}" in rejected()["message"]
        spec["hard"] = {"pods": "2"}
        apply(_named("ResourceQuota", PRIORITY, spec=spec))
        status = ended("thrifty")
        assert status["phase"] == "Succeeded", status
        assert not condition_of({"status": status}, "migrationRejectedByResourceQuota")
        assert guest.phase == "Running"
