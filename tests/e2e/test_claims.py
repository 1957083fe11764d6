"""PersistentVolumeClaims as disks: data outlives the guest, unless the claim is ephemeral or read-only."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.claims import claim, folder_of_node, in_node, loop_device, node_name
from tests.e2e.cluster import until
from tests.e2e.guest_shell import Shell, disk
from tests.e2e.guests import created, disk_manifest, running

pytestmark = pytest.mark.parallel

WRITE = "echo {text} | dd of={device} bs=512 seek=9 conv=fsync 2>/dev/null"
READ = "dd if={device} bs=512 skip=9 count=1 2>/dev/null | tr -d '\\000'"


async def test_what_is_written_to_a_claim_outlives_the_guest_but_not_if_it_is_ephemeral() -> None:
    here = node_name()
    data = {"persistentVolumeClaim": {"claimName": "files"}}
    with folder_of_node("guest-claims") as folder, claim("files", folder, "Filesystem", "64Mi"):
        with running(disk_manifest("writer", {"data": data}, node=here)) as (guest,):
            (volume,) = guest.vmi["status"]["volumeStatus"]
            assert volume["persistentVolumeClaimInfo"]["claimName"] == "files"
            image_bytes = int(in_node("stat", "-c", "%s", f"{folder}/disk.img"))
            async with Shell.of(guest) as shell:
                # The file system's own needs are left out.
                assert await shell.run(f"blockdev --getsize64 {disk('data')}") == str(image_bytes)
                assert image_bytes < 64 << 20
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


async def test_a_claim_whose_folder_is_root_s_gets_an_image_and_one_of_a_foreign_owner_is_named() -> None:
    """The guest of an image that its launcher may not use waits, and starts once the owner allows it."""
    here, volumes = node_name(), {"data": {"persistentVolumeClaim": {"claimName": "of-root"}}}
    with (
        folder_of_node("guest-of-root", owner="0") as folder,
        claim("of-root", folder, "Filesystem", "64Mi", source="hostPath"),
    ):
        with running(disk_manifest("first-on-root", volumes, node=here)) as (guest,):
            async with Shell.of(guest) as shell:
                await shell.run(WRITE.format(text="kept", device=disk("data")))
            assert in_node("stat", "-c", "%u:%g %a %s", folder, f"{folder}/disk.img").split("\n")[:2] == [
                "0:0 755 4096",
                f"107:107 660 {int((64 << 20) * 0.945) >> 20 << 20}",
            ]
        in_node("chown", "4242", f"{folder}/disk.img")
        in_node("chmod", "600", f"{folder}/disk.img")
        with created(disk_manifest("second-on-root", volumes, node=here)) as (guest,):
            until(lambda: guest.condition("Synchronized").get("reason") == "VolumeNotUsable", "the owner to be named")
            message = guest.condition("Synchronized")["message"]
            print(message)
            assert message == (
                "disk data (PersistentVolumeClaim of-root) has a disk.img that belongs to user 4242 with mode 0600, "
                "use one that user 107 can read and write"
            )
            assert guest.phase in ("Scheduling", "Scheduled")
            in_node("chown", "107", f"{folder}/disk.img")
            until(lambda: guest.phase == "Running", "the guest to start once it may")
            async with Shell.of(guest) as shell:
                assert await shell.run(READ.format(device=disk("data"))) == "kept"


async def test_a_block_claim_is_the_guests_disk(tmp_path: Path) -> None:
    volumes = {"data": {"persistentVolumeClaim": {"claimName": "blocks"}}}
    backing = tmp_path / "device.img"
    with loop_device(backing, 8 << 20) as device, claim("blocks", device, "Block", "8Mi"):
        with running(disk_manifest("blockwriter", volumes, node=node_name())) as (guest,):
            async with Shell.of(guest) as shell:
                assert await shell.run(f"blockdev --getsize64 {disk('data')}") == str(8 << 20)
                await shell.run(WRITE.format(text="to-the-device", device=disk("data")))
        assert Path(device).read_bytes()[9 * 512 :].startswith(b"to-the-device\n")
