"""Hostile entries in a pod's folder are refused."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from virt_handler.launchers.folder_events import FolderEvents
from virt_handler.launchers.peer_process import connect, names_pod
from virt_handler.launchers.pod_folders import HostilePath, PodFolders

from tests.support.patience import PATIENCE
from tests.unit.handler.demo import POD_UID

NAME = "launcher-sock"


class Place:
    """A kubelet's folder with one pod's emptyDir `sockets`."""

    def __init__(self, root: Path) -> None:
        self.root = root / "pods"
        self.root.mkdir()
        self.sockets = self.root / POD_UID / "volumes" / "kubernetes.io~empty-dir" / "sockets"
        self.listeners: list[socket.socket] = []

    def listen(self, path: Path, owner: int = 107) -> None:
        listener = socket.socket(socket.AF_UNIX)
        # pytest's folders may exceed a socket address; the descriptor of the folder never does.
        folder = os.open(path.parent, os.O_PATH)
        listener.bind(f"/proc/self/fd/{folder}/{path.name}")
        os.close(folder)
        listener.listen()
        os.chown(path, owner, owner)
        self.listeners.append(listener)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    if os.geteuid() != 0:
        pytest.skip("needs root: sockets of another owner are made")
    made = Place(tmp_path)
    yield made
    for listener in made.listeners:
        listener.close()


@pytest.fixture
async def folders(place: Place) -> Iterator[PodFolders]:  # type: ignore[misc]
    events = FolderEvents()
    made = PodFolders(place.root, events)
    yield made
    made.close()
    events.close()


async def test_a_socket_of_the_launcher_is_found_and_connected(place: Place, folders: PodFolders) -> None:
    place.sockets.mkdir(parents=True)
    place.listen(place.sockets / NAME)
    descriptor = await folders.wait_for_socket(POD_UID, "sockets", NAME)
    with connect(descriptor):
        accepted, _ = place.listeners[0].accept()
        accepted.close()
    os.close(descriptor)


async def test_folders_and_socket_may_come_one_after_the_other(place: Place, folders: PodFolders) -> None:
    waiting = asyncio.create_task(folders.wait_for_socket(POD_UID, "sockets", NAME))
    loop = asyncio.get_running_loop()
    for folder in (*reversed(place.sockets.relative_to(place.root).parents[:-1]), Path()):
        await loop.run_in_executor(None, lambda: None)  # a turn of the loop, in which the waiter looks and watches
        (place.sockets if folder == Path() else place.root / folder).mkdir()
    temporary = place.sockets / "temporary"
    place.listen(temporary)
    temporary.rename(place.sockets / NAME)
    async with asyncio.timeout(PATIENCE):
        os.close(await waiting)


async def test_a_pod_folder_that_goes_and_comes_again_is_waited_for(place: Place, folders: PodFolders) -> None:
    place.sockets.mkdir(parents=True)
    waiting = asyncio.create_task(folders.wait_for_socket(POD_UID, "sockets", NAME))
    await asyncio.get_running_loop().run_in_executor(None, lambda: None)
    for folder in (place.sockets, *list(place.sockets.parents)[:3]):
        folder.rmdir()
    place.sockets.mkdir(parents=True)
    place.listen(place.sockets / NAME)
    async with asyncio.timeout(PATIENCE):
        os.close(await waiting)


@pytest.mark.parametrize("trap", ["symlink", "file", "owner", "folder"])
async def test_anything_but_the_launchers_own_socket_is_refused(place: Place, folders: PodFolders, trap: str) -> None:
    place.sockets.mkdir(parents=True)
    if trap == "symlink":
        place.listen(place.root / "elsewhere")
        (place.sockets / NAME).symlink_to(place.root / "elsewhere")
    elif trap == "file":
        (place.sockets / NAME).touch()
        os.chown(place.sockets / NAME, 107, 107)
    elif trap == "folder":
        (place.sockets / NAME).mkdir()
        os.chown(place.sockets / NAME, 107, 107)
    else:
        place.listen(place.sockets / NAME, owner=0)
    with pytest.raises(HostilePath, match=NAME):
        folders.open_socket(POD_UID, "sockets", NAME)
    with pytest.raises(HostilePath, match=NAME):
        await folders.wait_for_socket(POD_UID, "sockets", NAME)


async def test_a_folder_on_the_way_that_is_a_link_is_refused(place: Place, folders: PodFolders) -> None:
    place.sockets.parent.mkdir(parents=True)
    (place.root / "elsewhere").mkdir()
    place.sockets.symlink_to(place.root / "elsewhere")
    place.listen(place.root / "elsewhere" / NAME)
    with pytest.raises(HostilePath):
        folders.open_socket(POD_UID, "sockets", NAME)


@pytest.mark.parametrize("uid", ["", "..", "../../etc", POD_UID.upper(), POD_UID + "/x", POD_UID[:-1]])
async def test_a_pod_uid_is_a_uuid_and_nothing_else(folders: PodFolders, uid: str) -> None:
    with pytest.raises(HostilePath, match="pod UID"):
        folders.open_socket(uid, "sockets", NAME)


async def test_a_socket_replaced_after_it_was_opened_is_not_the_one_connected(
    place: Place, folders: PodFolders
) -> None:
    place.sockets.mkdir(parents=True)
    place.listen(place.sockets / NAME)
    descriptor = folders.open_socket(POD_UID, "sockets", NAME)
    (place.sockets / NAME).unlink()
    place.listen(place.root / "elsewhere")
    (place.sockets / NAME).symlink_to(place.root / "elsewhere")
    with connect(descriptor):
        place.listeners[0].setblocking(False)
        place.listeners[1].setblocking(False)
        accepted, _ = place.listeners[0].accept()
        accepted.close()
        with pytest.raises(BlockingIOError):
            place.listeners[1].accept()
    os.close(descriptor)


def test_a_process_is_in_the_pod_that_its_cgroup_names() -> None:
    systemd = POD_UID.replace("-", "_")
    yes = (
        f"0::/kubepods/burstable/pod{POD_UID}/1234",
        f"9:pids:/\n4:memory:/k8s/node1/kubepods/besteffort/pod{POD_UID}/abc",
        f"0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{systemd}.slice/cri-containerd-1.scope",
    )
    no = (
        "0::/",
        f"0::/system.slice/mypod{POD_UID}/x",
        f"0::/kubepods/pod{POD_UID}0/x",
        "0::/kubepods/pod1b8f3c52-1f7e-4f0a-9d43-7a1f5f2f9c00/x",
    )
    assert all(names_pod(text, POD_UID) for text in yes)
    assert not any(names_pod(text, POD_UID) for text in no)
