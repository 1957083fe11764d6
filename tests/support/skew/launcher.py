"""Run with the packages of one release: its launcher, on its own double of the hypervisor, in the folder of argv[1]."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import cast

from virt_launcher import app
from virt_launcher.domain.host import Host
from virt_launcher.settings import Settings

from tests.support.hypervisor.fake_host import FakeHypervisor


async def main(folder: Path) -> None:
    """Until the machine has ended, or SIGTERM."""
    (folder / "termination-log").touch()
    (folder / "resolv.conf").touch()
    settings = Settings(
        socket=folder / "sock",
        state_folder=folder,
        resolv_conf=folder / "resolv.conf",
        termination_message=folder / "termination-log",
    )
    host = FakeHypervisor().connect()
    host.uri = "test:///default"  # libvirt's own double, where a migration has a connection of its own
    await app.run(settings, cast(Host, host))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
