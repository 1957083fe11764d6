"""A launcher's libvirtd takes what QEMU can do from the image if it is of this very QEMU, and asks QEMU otherwise.

Each QEMU that is started opens its program: the guest's, and before it those that libvirt only asks.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import shutil
import struct
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from kubevirt.launcher.v1 import state_pb2

from tests.integration.launcher.commands import run
from tests.integration.launcher.images import Images
from tests.integration.launcher.pod import Pod
from tests.support.patience import PATIENCE

KEPT = "/usr/lib/kubevirt/capabilities"
CACHED = "cache/libvirt/qemu/cache/capabilities"
MARK = "<!-- asked when the image was built -->"
IN_OPEN, IN_CLOSE_NOWRITE = 0x20, 0x10  # sys/inotify.h
_EVENT = struct.Struct("iIII")


class Opened:
    """Counts how often a file is opened from now on. Of equal events that wait one is left, and this process may be
    late to read them: so the file's closing is an event, too."""

    def __init__(self, path: str) -> None:
        self.count = 0
        libc = ctypes.CDLL(None, use_errno=True)
        self._watch = libc.inotify_init1(os.O_NONBLOCK)
        assert libc.inotify_add_watch(self._watch, path.encode(), IN_OPEN | IN_CLOSE_NOWRITE) > 0
        asyncio.get_running_loop().add_reader(self._watch, self._read)

    def _read(self) -> None:
        self.count += sum(bool(mask & IN_OPEN) for _, mask, _, _ in _EVENT.iter_unpack(os.read(self._watch, 1 << 16)))

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._watch)
        os.close(self._watch)


@asynccontextmanager
async def network_only(images: Images) -> AsyncIterator[Pod]:
    """A pod with its network, whose launcher is not started."""
    made = Pod(images)
    try:
        made.make_network()
        yield made
    finally:
        await made.remove()


@pytest.fixture
async def unstarted(images: Images) -> AsyncIterator[Pod]:
    async with network_only(images) as pod:
        yield pod


@pytest.fixture
async def unstarted_too(images: Images) -> AsyncIterator[Pod]:
    async with network_only(images) as pod:
        yield pod


async def start_guest(pod: Pod, kept: Path | None = None, cpu_model: str = "") -> tuple[int, float]:
    """Start the launcher, with `kept` in place of the image's answers, and a machine; how many QEMUs were started, and
    the seconds from the container's start to a running guest."""
    opened = Opened(f"{pod.images.launcher}/usr/bin/qemu-system-x86_64")
    try:
        began = time.monotonic()
        await pod.start({KEPT: (kept, "ro")} if kept else {})
        await pod.peer.negotiate(timeout=PATIENCE)
        machine = pod.machine()
        machine.ClearField("kernel_boot")
        machine.cpu_model.name = cpu_model
        assert (await pod.start_machine(machine)).phase == state_pb2.MACHINE_PHASE_RUNNING, pod.log
        return opened.count, time.monotonic() - began
    finally:
        opened.close()


def cached(pod: Pod) -> str:
    """What libvirt has in its cache now."""
    (found,) = (pod.volumes["private"] / CACHED).iterdir()
    return found.read_text()


async def test_no_qemu_is_probed_for_cached_capabilities(unstarted: Pod) -> None:
    started, seconds = await start_guest(unstarted)
    print(f"container started to guest running: {seconds:.2f} s")
    assert started == 1, "only the guest's own"
    assert MARK in cached(unstarted)
    await unstarted.kill("libvirtd")
    await unstarted.wait_for_phase(state_pb2.MACHINE_PHASE_RUNNING)
    assert MARK in cached(unstarted)


def of_another_qemu(folder: Path) -> None:
    origin = folder / "origin"
    program, size, rest = origin.read_text().split(" ", 2)
    origin.write_text(f"{program} {int(size) + 1} {rest}")


def of_another_time(folder: Path) -> None:
    origin = folder / "origin"
    first, rest = origin.read_text().split("\n", 1)
    program, size, modified = first.split()
    origin.write_text(f"{program} {size} {int(modified) - 1}\n{rest}")


def of_no_known_origin(folder: Path) -> None:
    (folder / "origin").unlink()


def of_another_libvirt(folder: Path) -> None:
    (kept,) = folder.glob("*.xml")
    text = kept.read_text()
    kept.write_text(text.replace("<selfvers>", "<selfvers>1"))
    assert kept.read_text() != text


def cut_short(folder: Path) -> None:
    (kept,) = folder.glob("*.xml")
    kept.write_text(kept.read_text()[:5000])


def two_of_them(folder: Path) -> None:
    (kept,) = folder.glob("*.xml")
    shutil.copy(kept, folder / "another.xml")


def nothing(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


@pytest.mark.parametrize(
    "changed",
    [of_another_qemu, of_another_time, of_no_known_origin, of_another_libvirt, cut_short, two_of_them, nothing],
)
async def test_foreign_answers_are_not_taken(unstarted: Pod, changed: Callable[[Path], None]) -> None:
    kept = unstarted.folder / "kept"
    shutil.copytree(f"{unstarted.images.launcher}{KEPT}", kept)
    changed(kept)
    started, seconds = await start_guest(unstarted, kept)
    print(f"container started to guest running: {seconds:.2f} s")
    assert started > 1, "QEMU was asked"
    assert MARK not in cached(unstarted), "libvirt wrote what it was told"


_PRINT_CPU = """
import libvirt
text = libvirt.open("qemu:///session").listAllDomains()[0].XMLDesc()
print(text[text.index("<cpu") : text.index("</cpu>")])
"""


def live_cpu(pod: Pod) -> str:
    """The guest's processor, as libvirt knows it since QEMU runs."""
    python = ("/opt/kubevirt/bin/python", "-I", "-c", _PRINT_CPU)
    return run("runc", "exec", "--user", "107:107", pod.name, *python)


@pytest.mark.parametrize("cpu_model", ["", "Skylake-Client", "EPYC"])
async def test_the_processor_is_known_as_well_as_by_probing_qemu(
    unstarted: Pod, unstarted_too: Pod, cpu_model: str
) -> None:
    kept = unstarted_too.folder / "kept"
    kept.mkdir()
    assert (await start_guest(unstarted, None, cpu_model))[0] == 1
    assert (await start_guest(unstarted_too, kept, cpu_model))[0] > 1
    cpu = live_cpu(unstarted)
    assert cpu == live_cpu(unstarted_too) and "<feature policy=" in cpu
