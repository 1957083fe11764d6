"""The copier of a guest's serial console: all output arrives, and the file to which QEMU appends stays small."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from kubevirt.launcher.v1 import command_pb2

from tests.integration.launcher.commands import run
from tests.integration.launcher.images import Images
from tests.integration.launcher.waiting import changes_until
from tests.support.patience import PATIENCE

if TYPE_CHECKING:
    from tests.integration.launcher.pod import Pod

MIB = 1 << 20
BOUND = 16 * MIB + 4 * MIB
"""What may lie in the file, and what may be written while the copier takes a breath."""


@pytest.fixture
def program(images: Images) -> str:
    return f"{images.launcher}/usr/lib/kubevirt/console-log"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Where QEMU will write."""
    return tmp_path / "virt-serial0-log"


@asynccontextmanager
async def copying(program: str, log: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """The copier of `log`; the reader holds back what it has not been asked for."""
    started = await asyncio.create_subprocess_exec(
        program, str(log), stdout=subprocess.PIPE, stderr=subprocess.PIPE, limit=1 << 16
    )
    try:
        yield started
    finally:
        with contextlib.suppress(ProcessLookupError):
            started.kill()
        await started.communicate()


async def read(copier: asyncio.subprocess.Process, length: int) -> bytes:
    assert copier.stdout is not None
    async with asyncio.timeout(PATIENCE):
        return await copier.stdout.readexactly(length)


async def end(copier: asyncio.subprocess.Process, number: signal.Signals = signal.SIGTERM) -> tuple[bytes, bytes]:
    """What it wrote besides, on standard output and error."""
    copier.send_signal(number)
    async with asyncio.timeout(PATIENCE):
        return await copier.communicate()


def write(log: Path, text: bytes) -> None:
    """As QEMU does: at the end, wherever that is."""
    with log.open("ab") as file:
        file.write(text)


def lines(first: int, count: int) -> bytes:
    """Lines of 64 bytes, each with its number."""
    return b"".join(b"%063d\n" % number for number in range(first, first + count))


def on_disk(log: Path) -> int:
    return log.stat().st_blocks * 512


async def test_a_file_that_comes_later_is_copied_and_what_is_left_comes_before_the_end(program: str, log: Path) -> None:
    async with copying(program, log) as copier:
        (log.parent / "something-else").touch()
        write(log, b"SeaBIOS\r\n")
        assert await read(copier, 9) == b"SeaBIOS\r\n"
        write(log, b"login: ")
        assert await end(copier) == (b"login: ", b"")
    assert copier.returncode == 0


async def test_without_a_file_it_ends_at_sigterm(program: str, log: Path) -> None:
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # inherited: it waits to be asked for
    try:
        async with copying(program, log) as copier:
            assert await end(copier) == (b"", b"")
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    assert copier.returncode == 0


async def test_what_was_copied_leaves_the_file_and_the_writer_goes_on_at_its_end(program: str, log: Path) -> None:
    amount = 48 * MIB // 64
    with log.open("ab", buffering=0) as qemu:  # open all the time, as QEMU has it
        async with copying(program, log) as copier:
            for first in range(0, amount, MIB // 64):
                text = lines(first, MIB // 64)
                qemu.write(text)
                assert await read(copier, len(text)) == text
                assert on_disk(log) <= BOUND
            await changes_until(log, lambda: on_disk(log) <= MIB)
            assert await end(copier) == (b"", b"")
        assert log.stat().st_size == 48 * MIB


async def test_a_killed_one_goes_on_where_it_stopped(program: str, log: Path) -> None:
    copied = lines(0, 100) + b"in the middle of a "  # ends within a block, and within a line
    async with copying(program, log) as copier:
        write(log, copied)
        assert await read(copier, len(copied)) == copied
        await changes_until(log, lambda: nothing_left(log))
        await end(copier, signal.SIGKILL)
    write(log, b"line\n")
    async with copying(program, log) as copier:
        assert await read(copier, 5) == b"line\n"
        assert await end(copier) == (b"", b"")
    async with copying(program, log) as copier:  # nothing is left for the next
        assert await end(copier) == (b"", b"")


async def test_the_oldest_is_dropped_when_nobody_takes_it(program: str, log: Path) -> None:
    amount = 40 * MIB // 64
    async with copying(program, log) as copier:
        for first in range(0, amount, MIB // 64):
            write(log, lines(first, MIB // 64))
            if log.stat().st_size > BOUND:
                await changes_until(log, lambda: on_disk(log) <= BOUND)
        out, errors = await end(copier)
    assert errors == b""
    *parts, last = re.split(rb"console-log: (\d+) bytes of the console were dropped here\n", out)
    assert parts, "nothing was dropped"
    assert len(last) >= 8 * MIB
    written, place = lines(0, amount), 0
    for text, dropped in zip(parts[::2], parts[1::2], strict=True):
        # A line that was cut short is ended, and that end is not the guest's.
        kept = text if written.startswith(text, place) else text.removesuffix(b"\n")
        assert written.startswith(kept, place)
        place += len(kept) + int(dropped)
    assert written[place:] == last


async def test_qemu_adds_to_the_file_whatever_was_taken_out_of_it_before_a_reset_and_after(
    program: str, pod: Pod
) -> None:
    log = pod.volumes["private"] / "virt-serial0-log"
    async with copying(program, log) as copier:
        await pod.start_machine(pod.machine())
        await _read_until(copier, b"guest-demo: booted")
        assert _flags(pod.processes()["qemu"], log) & os.O_APPEND
        before = log.stat().st_size
        await pod.command(reset=command_pb2.Reset())
        await _read_until(copier, b"guest-demo: booted")
        assert log.stat().st_size > before
        await changes_until(log, lambda: nothing_left(log))


def nothing_left(log: Path) -> bool:
    return not log.read_bytes().strip(b"\0")


async def _read_until(copier: asyncio.subprocess.Process, text: bytes) -> None:
    assert copier.stdout is not None
    async with asyncio.timeout(PATIENCE):
        await copier.stdout.readuntil(text)


def _flags(pid: int, path: Path) -> int:
    """With which the process has the file open."""
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(descriptor.stat(), path.stat()):
                fdinfo = Path(f"/proc/{pid}/fdinfo/{descriptor.name}").read_text()
                found = re.search(r"^flags:\s*([0-7]+)", fdinfo, re.MULTILINE)
                assert found
                return int(found[1], 8)
    raise AssertionError(f"process {pid} does not have {path} open")


@pytest.fixture
def ramfs(tmp_path: Path) -> Iterator[Path]:
    """A file system without holes."""
    folder = tmp_path / "ramfs"
    folder.mkdir()
    run("mount", "-t", "ramfs", "none", str(folder))
    try:
        yield folder
    finally:
        run("umount", "--lazy", str(folder))


async def test_without_holes_the_file_is_truncated_now_and_then_with_a_single_message(
    program: str, ramfs: Path
) -> None:
    log, amount = ramfs / "log", 40 * MIB // 64
    largest = 0
    async with copying(program, log) as copier:
        for first in range(0, amount, MIB // 64):
            text = lines(first, MIB // 64)
            write(log, text)
            assert await read(copier, len(text)) == text
            largest = max(largest, log.stat().st_size)
            if log.stat().st_size >= 16 * MIB:
                await changes_until(log, lambda: log.stat().st_size == 0)
        out, errors = await end(copier)
    assert out == b""
    assert errors.count(b"no holes in this file system") == 1
    assert largest <= BOUND


@pytest.mark.parametrize("kind", ["symbolic link", "pipe", "folder"])
async def test_anything_but_a_file_is_refused_by_name(program: str, log: Path, kind: str) -> None:
    if kind == "symbolic link":
        log.symlink_to("/etc/passwd")
    elif kind == "pipe":
        os.mkfifo(log)
    else:
        log.mkdir()
    async with copying(program, log) as copier:
        out, errors = await copier.communicate()
    assert out == b""
    assert str(log).encode() in errors
    assert copier.returncode == 1
