"""Doing one action: short programs, bounded in time and memory, that write beside a file and put it in its place.

Called by prepare.py.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from pathlib import Path
from typing import assert_never

from virt_launcher.storage.actions import Action, CheckQcow2, MakeEmpty, MakeIso, MakeOverlay
from virt_launcher.storage.image_header import UnusableImage

_TIMEOUT_S = 60.0
# An image may be made so that reading it takes for ever or all memory. qemu-img needs 100 MiB of addresses for itself;
# the tables of an image of 1 TiB that is full take 64 MiB and, read from a slow disk, seconds.
_LIMITS = ("/usr/bin/prlimit", f"--as={1 << 30}", "--cpu=30", "--core=0")
_QEMU_IMG, _XORRISO = (*_LIMITS, "/usr/bin/qemu-img"), (*_LIMITS, "/usr/bin/xorriso")
# Of qemu-img check: what it found wrong is harmless, clusters that nothing refers to.
_LEAKED = 3
_LONGEST_OUTPUT = 500


async def execute(action: Action) -> None:
    """Do `action`.

    Raises:
        UnusableImage: it cannot be done.
    """
    match action:
        case CheckQcow2(path):
            status, lines = await _run(*_QEMU_IMG, "check", "-q", "-f", "qcow2", path)
            if status not in (0, _LEAKED):
                raise UnusableImage(f"is a corrupt qcow2: {lines[0] if lines else f'qemu-img ended with {status}'}")
        case MakeOverlay(path, backing, size):
            # Not opened (-u): it was judged, and nothing of it is to be guessed.
            await _make_qcow2(path, size, "-u", "-b", backing.path, "-F", backing.format)
        case MakeEmpty(path, size):
            await _make_qcow2(path, size)
        case MakeIso(path, label, files):
            await _make_iso(Path(path), label, dict(files))
        case _:
            assert_never(action)


async def _make_qcow2(path: str, size: int, *options: str) -> None:
    temporary = Path(f"{path}.part")
    temporary.unlink(missing_ok=True)
    await _made(*_QEMU_IMG, "create", "-q", "-f", "qcow2", *options, str(temporary), str(size))
    temporary.replace(path)


async def _make_iso(path: Path, label: str, files: dict[str, bytes]) -> None:
    staging, temporary = path.with_suffix(".files"), path.with_suffix(".part")
    shutil.rmtree(staging, ignore_errors=True)
    temporary.unlink(missing_ok=True)
    staging.mkdir()
    for name, content in files.items():
        file = staging / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    # Rock Ridge and Joliet: Linux and Windows see the names as they are.
    options = ("-quiet", "-V", label, "-r", "-J", "-joliet-long", "-no-pad", "-o", str(temporary))
    await _made(*_XORRISO, "-as", "mkisofs", *options, str(staging))
    shutil.rmtree(staging)
    temporary.replace(path)


async def _made(*argv: str) -> None:
    status, lines = await _run(*argv)
    if status:
        raise UnusableImage(f"cannot be made: {lines[-1] if lines else f'{argv[len(_LIMITS)]} ended with {status}'}")


async def _run(*argv: str) -> tuple[int, list[str]]:
    """The program's exit status and what it complained of."""
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={"LC_ALL": "C.UTF-8", "HOME": os.environ.get("TMPDIR", "/")},
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            lines = await _lines(process.stderr)
            return await process.wait(), lines
    except TimeoutError:
        raise UnusableImage(f"takes too long: {argv[len(_LIMITS)]} did not end within {_TIMEOUT_S:.0f} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _lines(stream: asyncio.StreamReader) -> list[str]:
    """The beginning of what is said, printable: an image's own words may be in it."""
    head = b""
    while chunk := await stream.read(4096):
        head = (head + chunk)[:_LONGEST_OUTPUT]
    lines = head.decode(errors="replace").splitlines()
    return ["".join(letter if letter.isprintable() else "?" for letter in line) for line in lines if line.strip()]
