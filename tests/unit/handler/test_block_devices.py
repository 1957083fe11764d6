"""The launcher becomes the owner of a claim's block device, and of nothing else below its root."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from virt_handler.launchers.block_devices import NoBlockDevice, give
from virt_handler.launchers.hostile_steps import without_links

USER = 107
PATH = "/dev/kubevirt/data"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where the device would be."""
    (tmp_path / "dev" / "kubevirt").mkdir(parents=True)
    return tmp_path / PATH.lstrip("/")


@pytest.fixture
def root(tmp_path: Path) -> Iterator[int]:
    """The launcher's root folder."""
    folder = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY)
    yield folder
    os.close(folder)


def test_a_block_device_becomes_the_launchers(root: int, place: Path) -> None:
    try:
        os.mknod(place, 0o600 | stat.S_IFBLK, os.makedev(7, 250))
    except PermissionError:
        pytest.skip("this user may not make device nodes")
    give(root, PATH, USER)
    give(root, PATH, USER)
    assert (place.stat().st_uid, stat.S_IMODE(place.stat().st_mode)) == (USER, 0o600)


def test_a_path_that_a_link_makes_very_deep_is_refused_and_not_walked(root: int, tmp_path: Path) -> None:
    folder = tmp_path
    for _ in range(150):
        folder /= "a"
        folder.mkdir()
    (tmp_path / "var").symlink_to("a/" * 150)
    with pytest.raises(OSError, match="/var/run/kubevirt leads through too many links or folders, or upwards"):
        without_links(root, "/var/run/kubevirt")


def test_a_file_a_link_and_nothing_are_left_alone(root: int, place: Path, tmp_path: Path) -> None:
    with pytest.raises(NoBlockDevice, match="No such file"):
        give(root, PATH, USER)
    place.write_text("a file")
    with pytest.raises(NoBlockDevice, match="is not a block device"):
        give(root, PATH, USER)
    place.unlink()
    (tmp_path / "victim").write_text("not the launcher's")
    place.symlink_to(tmp_path / "victim")
    with pytest.raises(NoBlockDevice, match="is not a block device"):
        give(root, PATH, USER)
    assert (tmp_path / "victim").stat().st_uid == os.getuid()


def test_a_folder_that_is_a_link_is_not_followed(root: int, place: Path, tmp_path: Path) -> None:
    place.parent.rmdir()
    (tmp_path / "elsewhere").mkdir()
    place.parent.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(NoBlockDevice, match="Not a directory"):
        give(root, PATH, USER)
