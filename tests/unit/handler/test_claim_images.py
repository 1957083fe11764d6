"""disk.img of a claim is the launcher's to use, or the reason is clear; nothing else in the volume changes."""

from __future__ import annotations

import ctypes
import os
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from virt_handler.launchers.claim_images import UnusableImage, Wanted, provide
from virt_handler.own_thread import in_own_thread

USER, OTHER = 107, 4242
PATH = "/var/run/kubevirt/volumes/data/disk.img"
SIZE = 8 << 20

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: files of other users are made")


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """The folder of root in which the image should be; /var/run is a link, as in Debian's images."""
    tmp_path.chmod(0o755)
    folder = tmp_path / "run/kubevirt/volumes/data"
    folder.mkdir(parents=True)
    (tmp_path / "var").mkdir()
    (tmp_path / "var/run").symlink_to("/run")
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Iterator[int]:
    """The launcher's root folder."""
    folder = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY)
    yield folder
    os.close(folder)


def as_root_without_power(work: Callable[[], None]) -> None:
    """As a server of NFS with root squash sees root: the owner's permissions are not root's."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = struct.pack("=Ii", 0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3, this thread: capset(2)
    kept = 1 << 6 | 1 << 7  # CAP_SETGID, CAP_SETUID
    assert libc.capset(header, struct.pack("=6I", kept, kept, 0, 0, 0, 0)) == 0
    work()


async def given(root: int, *, size: int = SIZE, writes: bool = True) -> None:
    await in_own_thread("claim image", lambda: provide(root, Wanted(PATH, size, writes), USER))


def seen(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_uid, found.st_mode & 0o777, found.st_size


async def test_an_image_is_made_for_the_launcher_in_a_folder_that_stays_root_s(root: int, volume: Path) -> None:
    await given(root)
    await given(root)
    image = volume / "disk.img"
    assert seen(image) == (USER, 0o660, SIZE)
    assert image.stat().st_blocks == 0
    assert seen(volume)[:2] == (0, 0o755)


@pytest.mark.parametrize("owner", [0, USER])
async def test_an_image_without_size_that_an_interrupted_handler_left_is_completed(
    root: int, volume: Path, owner: int
) -> None:
    image = volume / "disk.img"
    image.touch(0o600)
    os.chown(image, owner, owner)
    await given(root)
    assert seen(image) == (USER, 0o660, SIZE)


async def test_a_folder_that_the_launcher_may_write_to_needs_no_root(root: int, volume: Path) -> None:
    os.chown(volume, USER, USER)
    await given(root)
    assert seen(volume / "disk.img") == (USER, 0o660, SIZE)


async def test_a_folder_that_neither_root_nor_the_launcher_may_write_is_named_with_what_is_allowed(
    root: int, volume: Path
) -> None:
    os.chown(volume, OTHER, OTHER)
    work = lambda: as_root_without_power(lambda: provide(root, Wanted(PATH, SIZE, True), USER))  # noqa: E731
    with pytest.raises(UnusableImage, match=f"belongs to user {OTHER} with mode 0755; let user {USER} write to it, or"):
        await in_own_thread("claim image", work)
    assert list(volume.iterdir()) == []


async def test_an_image_that_the_launcher_can_use_is_left_as_it_is(root: int, volume: Path) -> None:
    image = volume / "disk.img"
    image.write_bytes(b"content")
    os.chown(image, OTHER, USER)
    image.chmod(0o660)
    await given(root)
    assert seen(image) == (OTHER, 0o660, 7)


async def test_an_image_that_root_left_there_becomes_the_launcher_s(root: int, volume: Path) -> None:
    image = volume / "disk.img"
    image.write_bytes(b"content")
    image.chmod(0o600)
    await given(root)
    assert seen(image) == (USER, 0o600, 7)


@pytest.mark.parametrize("writes", [True, False])
async def test_an_image_of_somebody_else_is_refused_with_its_owner_and_what_is_allowed(
    root: int, volume: Path, writes: bool
) -> None:
    image = volume / "disk.img"
    image.write_bytes(b"content")
    os.chown(image, OTHER, OTHER)
    image.chmod(0o600)
    access = "read and write" if writes else "read"
    words = f"belongs to user {OTHER} with mode 0600, use one that user {USER} can {access}$"
    with pytest.raises(UnusableImage, match=words):
        await given(root, writes=writes)
    assert seen(image) == (OTHER, 0o600, 7)


async def test_a_file_of_root_with_a_second_name_is_not_taken_from_root(root: int, volume: Path) -> None:
    (volume / "somewhere").write_bytes(b"another's")
    (volume / "somewhere").chmod(0o600)
    os.link(volume / "somewhere", volume / "disk.img")
    with pytest.raises(UnusableImage, match="belongs to user 0"):
        await given(root)
    assert seen(volume / "somewhere")[0] == 0


@pytest.mark.parametrize("trap", ["symlink", "dangling", "folder", "fifo"])
async def test_anything_but_a_regular_file_is_refused_and_left_alone(root: int, volume: Path, trap: str) -> None:
    image, victim = volume / "disk.img", volume / "victim"
    victim.write_bytes(b"root's")
    victim.chmod(0o600)
    if trap == "symlink":
        image.symlink_to(victim)
    elif trap == "dangling":
        image.symlink_to(volume / "nowhere")
    elif trap == "folder":
        image.mkdir()
    else:
        os.mkfifo(image)
    with pytest.raises(UnusableImage, match="use a regular file"):
        await given(root)
    assert seen(victim) == (0, 0o600, 6)
    assert not (volume / "nowhere").exists()


async def test_a_volume_that_is_a_link_is_not_followed(root: int, volume: Path) -> None:
    volume.rmdir()
    (volume.parent / "elsewhere").mkdir()
    volume.symlink_to("elsewhere")
    with pytest.raises(UnusableImage, match="Not a directory"):
        await given(root)
    assert list((volume.parent / "elsewhere").iterdir()) == []


async def test_a_link_on_the_way_stays_in_the_launchers_root(root: int, volume: Path, tmp_path: Path) -> None:
    (tmp_path / "var/run").unlink()
    (tmp_path / "var/run").symlink_to("../../../run")
    with pytest.raises(UnusableImage, match="upwards"):
        await given(root)


async def test_an_image_that_is_not_made_must_be_there(root: int, volume: Path) -> None:
    with pytest.raises(UnusableImage, match=r"and the volume may only be read: use a claim with one$"):
        await given(root, size=0, writes=False)
    assert list(volume.iterdir()) == []


async def test_a_folder_that_the_launcher_may_not_enter_is_named(root: int, volume: Path) -> None:
    volume.chmod(0o700)
    with pytest.raises(UnusableImage, match="its folder belongs to user 0 with mode 0700, let user 107 enter it"):
        await given(root)


class TestMounted:
    """On a file system of its own."""

    @pytest.fixture
    def mounted(self, volume: Path) -> Iterator[Path]:
        made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=10m,mode=755", "tmpfs", volume], check=False)
        if made.returncode:
            pytest.skip("this user may not mount")
        yield volume
        subprocess.run(["umount", volume], check=True)

    async def test_an_image_may_be_somewhat_smaller_than_the_claim_but_not_much(self, root: int, mounted: Path) -> None:
        with pytest.raises(UnusableImage, match=f"needs {20 << 20} bytes: {10 << 20} are free in its volume"):
            await given(root, size=20 << 20)
        assert list(mounted.iterdir()) == []
        await given(root, size=11 << 20)
        assert seen(mounted / "disk.img") == (USER, 0o660, 10 << 20)

    async def test_a_read_only_volume_is_named(self, root: int, mounted: Path) -> None:
        subprocess.run(["mount", "-o", "remount,ro", mounted], check=True)
        with pytest.raises(UnusableImage, match="and its volume is read-only: use a volume with one"):
            await given(root)
