"""Pictures of the guest's first display. Called by servicer.py.

QEMU writes PNG to a file in the private folder, so neither libvirt's stream of an older format nor an image library is
needed. The guest decides about the size of the display. A QEMU that hangs, with its disk for example, holds one of
host.py's few threads, so until it answers nobody asks again.
"""

from __future__ import annotations

import asyncio

from virt_core.conventions.screenshot import LARGEST_PICTURE

from virt_launcher.domain import guest
from virt_launcher.domain.files import DomainFiles
from virt_launcher.domain.host import Host, InCall
from virt_launcher.errors import CommandRefused, HypervisorUnavailable
from virt_launcher.settings import Settings

_TIMEOUT = 30.0  # seconds


class Screenshots:
    """Takes screenshots, one at a time."""

    def __init__(self, settings: Settings, host: Host) -> None:
        self._path = DomainFiles.below(settings.state_folder).screenshot
        self._host = host
        self._one_at_a_time = asyncio.Lock()
        self._call = InCall()

    async def take(self) -> bytes:
        """A picture as PNG.

        Raises:
            CommandRefused: the picture is too large.
            HypervisorRefused: there is no display, or it shows nothing.
            HypervisorUnavailable: libvirtd does not answer, or QEMU has not given the last picture yet.
        """
        async with self._one_at_a_time:
            if self._call.busy:
                raise HypervisorUnavailable("QEMU has not given the last picture yet")
            try:
                await self._host.call(guest.take_screenshot, str(self._path), self._call, timeout=_TIMEOUT)
                size = self._path.stat().st_size
                if size > LARGEST_PICTURE:
                    raise CommandRefused(
                        f"the picture has {size} bytes, more than {LARGEST_PICTURE}", reason="TOO_LARGE"
                    )
                return self._path.read_bytes()
            finally:
                self._path.unlink(missing_ok=True)
