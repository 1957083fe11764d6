"""Keeps claims' images open for as long as the pod lives. Called by prepare.py in a thread.

QEMU opens an image that it writes to again by its path whenever a migration makes it give up or take over the image,
long after the start. So the descriptor behind such a path must outlive this process: it belongs to a process that does
nothing else, which the supervisor adopts when the launcher dies. Images that are only read are opened once.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from virt_launcher.storage.links import link_to

_PROGRAM = "/usr/bin/sleep"


def keep_open(folder: Path, links: Sequence[Path]) -> None:
    """Have the links in the folder, which lead to descriptors of this process, lead to those of a process that stays.
    Ends the processes of earlier preparations in that folder."""
    mark = {"HOLDS_IMAGES_OF": str(folder)}
    earlier = list(_processes(mark))
    if links:
        descriptors = [int(link.readlink().name) for link in links]
        quiet = subprocess.DEVNULL
        holder = subprocess.Popen(
            ["image-holder", "infinity"],
            executable=_PROGRAM,
            env=mark,
            pass_fds=descriptors,
            start_new_session=True,
            stdin=quiet,
            stdout=quiet,
            stderr=quiet,
        )
        holder.returncode = 0  # nobody waits for its end
        for link, descriptor in zip(links, descriptors, strict=True):
            link_to(f"/proc/{holder.pid}/fd/{descriptor}", link)
    for pid in earlier:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):  # the supervisor reaps those that it adopted
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _processes(environment: dict[str, str]) -> Iterator[int]:
    """Processes with exactly this environment, of this launcher or of one before it."""
    variables = "".join(f"{name}={value}\0" for name, value in environment.items()).encode()
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with contextlib.suppress(OSError):
                if (folder / "environ").read_bytes() == variables:
                    yield int(folder.name)
