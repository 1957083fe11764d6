"""Executes an action with short programs. Files are created under a temporary name and renamed.

Called by prepare.py, before the guest runs its first instruction, so that each action may be repeated.
"""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import assert_never

from virt_core import logs

from virt_launcher.storage.actions import Action, CheckQcow2, MakeEmpty, MakeIso, MakeOverlay, MakeZeros
from virt_launcher.storage.image_header import UnusableImage
from virt_launcher.storage.programs import HelperFailed, Programs, run

_log = logs.bound("virt_launcher.storage")

# Exit statuses of qemu-img check: corruption, and leaked clusters, which are harmless.
_CORRUPT, _LEAKED = 2, 3
# Documents have 8 MiB at most, in any number of files with blocks of 2 KiB and several directories.
_MOST_ISO_BYTES = 64 << 20
# A live migration does not copy a CD, the target makes it again. No byte may change below a guest that has it mounted,
# neither by the clock nor by xorriso's release.
_DATE = "2000010100000000"
_SAME_BYTES = (f"--modification-date={_DATE}", "--set_all_file_dates", _DATE, "-p", "kubevirt")


async def execute(action: Action, programs: Programs) -> None:
    """Execute `action`. A program that fails is repeated once.

    Raises:
        UnusableImage: the action failed.
    """
    try:
        await _execute(action, programs)
    except HelperFailed as error:
        _log.warning("repeating a failed action", action=type(action).__name__, error=str(error))
        await _execute(action, programs)


async def _execute(action: Action, programs: Programs) -> None:
    match action:
        case CheckQcow2(path):
            await _check_qcow2(path, programs)
        case MakeOverlay(path, backing, size):
            # The backing file is not opened (-u): it was checked before, and nothing must be probed.
            await _make_qcow2(programs, path, size, "-u", "-b", backing.path, "-F", backing.format)
        case MakeEmpty(path, size):
            await _make_qcow2(programs, path, size)
        case MakeIso(path, label, files):
            await _make_iso(programs, Path(path), label, dict(files))
        case MakeZeros(path, size):
            await asyncio.to_thread(_make_zeros, Path(path), size)
        case _:
            assert_never(action)


async def _check_qcow2(path: str, programs: Programs) -> None:
    ended = await run(programs.qemu_img, "check", "-q", "-f", "qcow2", path)
    if ended.by_signal:
        raise HelperFailed(f"cannot be checked: {ended}")
    if ended.status not in (0, _LEAKED):
        reason = f"is a corrupt qcow2: {ended.complaint or ended}"
        raise UnusableImage(reason) if ended.status == _CORRUPT else HelperFailed(reason)


async def _make_qcow2(programs: Programs, path: str, size: int, *options: str) -> None:
    temporary = Path(f"{path}.part")
    temporary.unlink(missing_ok=True)
    await _make(programs.qemu_img, "create", "-q", "-f", "qcow2", *options, str(temporary), str(size))
    temporary.replace(path)


async def _make_iso(programs: Programs, path: Path, label: str, files: dict[str, bytes]) -> None:
    staging, temporary = path.with_suffix(".files"), path.with_suffix(".part")
    shutil.rmtree(staging, ignore_errors=True)
    temporary.unlink(missing_ok=True)
    staging.mkdir()
    for name, content in files.items():
        file = staging / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    # Rock Ridge and Joliet: Linux and Windows see the original names.
    options = ("-quiet", "-V", label, "-r", "-J", "-joliet-long", "-no-pad", *_SAME_BYTES, "-o", str(temporary))
    await _make(programs.xorriso, "-as", "mkisofs", *options, str(staging))
    shutil.rmtree(staging)
    temporary.replace(path)


def _make_zeros(path: Path, size: int) -> None:
    """Write the zeros: of a file with a hole, QEMU does not find out how O_DIRECT is aligned and assumes 4096 bytes, of
    which the size of an ISO 9660 file system is no multiple (raw_probe_alignment in block/file-posix.c)."""
    if size > _MOST_ISO_BYTES:
        raise UnusableImage(f"cannot be made: {size} bytes are more than an image of documents has")
    temporary = path.with_suffix(".part")
    temporary.write_bytes(bytes(size))
    temporary.replace(path)


async def _make(*argv: str) -> None:
    ended = await run(*argv)
    if ended.status:
        raise HelperFailed(f"cannot be made: {ended}")
