"""The shell on a small guest's serial console, for end-to-end tests: a command and what it printed."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path

from localcluster.console import Console

from tests.e2e.guests import Guest
from tests.support.patience import PATIENCE

_PROMPT = b"ready # "
_ANNOUNCED = re.compile(r"guest-demo: [^\n]*\n?")  # what the guest says of itself, in the middle of anything


class Shell:
    """A shell that is at its prompt."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @classmethod
    @contextlib.asynccontextmanager
    async def of(cls, guest: Guest, boot_s: float = PATIENCE) -> AsyncIterator[Shell]:
        """The shell of a guest that boots within `boot_s` seconds."""
        async with Console.open(Path(os.environ["KUBECONFIG"]), "default", guest.name) as console:
            await console.send(b"\n")  # the prompt may have been written before anybody read it
            await console.read_until(_PROMPT, boot_s)
            yield cls(console)

    async def run(self, command: str, seconds: float = PATIENCE) -> str:
        """What `command` printed; fails if it failed."""
        # The echo of what is typed must not look like the marks.
        await self._console.send(f"echo be''gun; {command}; echo en''ded=$?\n".encode())
        await self._console.read_until(b"begun\r\n", seconds)
        printed = await self._console.read_until(b"ended=", seconds)
        status = (await self._console.read_until(b"\n", seconds)).strip()
        text = printed.removesuffix(b"ended=").decode(errors="replace").replace("\r\n", "\n")
        text = _ANNOUNCED.sub("", text).strip()
        assert status == b"0", f"{command}: {status.decode()}\n{text}"
        return text

    async def boot_id(self) -> str:
        """Another one after each boot."""
        return (await self.run("cat /proc/sys/kernel/random/boot_id")).splitlines()[-1]

    async def silence(self) -> None:
        """End the guest's ticks, which would be in the midst of answers; a kernel with `ticks=off` writes none."""
        await self.run("killall guest-services")

    @property
    def seen(self) -> bytes:
        """Everything that has been on the console since it was opened."""
        return bytes(self._console.seen)

    async def expect(self, text: bytes, seconds: float = PATIENCE) -> None:
        """Wait for what the guest writes of itself."""
        await self._console.read_until(text, seconds)

    async def type(self, command: str) -> None:
        """Begin something whose end nobody waits for."""
        await self._console.send(command.encode() + b"\n")

    async def booted_again(self, seconds: float = PATIENCE) -> None:
        """Wait for the prompt of the next boot."""
        await self._console.read_until(b"guest-demo: booted", seconds)
        await self._console.send(b"\n")
        await self._console.read_until(_PROMPT, seconds)


def disk(serial: str) -> str:
    """A shell expression: the device of the disk or CD-ROM drive with that serial."""
    return f"$(find-disk {serial})"
