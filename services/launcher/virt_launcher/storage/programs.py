"""Runs a helper program for a disk, bounded in time and memory, and keeps what it complains of.

Called by execute.py, which knows what a program's exit status means for a disk.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from virt_launcher.storage.image_header import UnusableImage

_TIMEOUT = 60.0  # seconds
# An image may be made so that reading it takes for ever or all memory. qemu-img needs 100 MiB of addresses for itself;
# the tables of an image of 1 TiB that is full take 64 MiB and, read from a slow disk, seconds.
_LIMITS = ("/usr/bin/prlimit", f"--as={1 << 30}", "--cpu=30", "--core=0")
# An image's own words may be in the output, and no program of ours has more to complain of.
_LONGEST_OUTPUT = 16 << 10


@dataclass(frozen=True, slots=True)
class Programs:
    """Where the helper programs are."""

    qemu_img: str = "/usr/bin/qemu-img"
    xorriso: str = "/usr/bin/xorriso"


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended."""

    program: str
    status: int
    """Its exit status, negative for a signal."""

    complaint: str
    """Its whole standard error, printable, in one line."""

    @property
    def by_signal(self) -> bool:
        """Whether it did not end by itself."""
        return self.status < 0

    def __str__(self) -> str:
        how = f"was ended by {_signal(-self.status)}" if self.by_signal else f"ended with status {self.status}"
        return f"{self.program} {how}" + (f": {self.complaint}" if self.complaint else "")


class HelperFailed(UnusableImage):
    """A helper program failed, for which the image need not be the reason: another attempt may succeed."""


async def run(*argv: str) -> Ended:
    """Run a program to its end.

    Raises:
        UnusableImage: it takes too long.
    """
    process = await asyncio.create_subprocess_exec(
        *_LIMITS,
        *argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={"LC_ALL": "C.UTF-8", "HOME": os.environ.get("TMPDIR", "/")},
    )
    name = Path(argv[0]).name
    assert process.stderr is not None
    try:
        async with asyncio.timeout(_TIMEOUT):
            complaint = await _complaint(process.stderr)
            return Ended(name, await process.wait(), complaint)
    except TimeoutError:
        raise UnusableImage(f"takes too long: {name} did not end within {_TIMEOUT:.0f} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _complaint(stream: asyncio.StreamReader) -> str:
    """All that is written, printable, in one line."""
    output = b""
    while chunk := await stream.read(4096):
        output = (output + chunk)[:_LONGEST_OUTPUT]
    lines = (line.strip() for line in output.decode(errors="replace").splitlines())
    return "; ".join("".join(letter if letter.isprintable() else "?" for letter in line) for line in lines if line)


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
