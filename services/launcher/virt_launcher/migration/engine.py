"""What a launcher needs for a live migration: composed when the first call about one arrives, or when the record has
one.

Called by on_demand.py. Nothing of this package's modules but on_demand.py is loaded before.
"""

from __future__ import annotations

import asyncio
from functools import partial

from virt_launcher.domain.files import DomainFiles
from virt_launcher.domain.host import Host
from virt_launcher.domain.hypervisor import Hypervisor
from virt_launcher.machine.keeper import Keeper
from virt_launcher.migration.certificates import Certificates
from virt_launcher.migration.connections import Connections
from virt_launcher.migration.listening import Listening
from virt_launcher.migration.servicer import MigrationServicer
from virt_launcher.migration.source import Source
from virt_launcher.migration.target import Target
from virt_launcher.settings import Settings

_PKI = ".pki/libvirt"  # below $HOME: where libvirt's clients of a session look


class Engine:
    """Both sides, and the servicer that calls them."""

    def __init__(
        self, settings: Settings, instance_id: str, keeper: Keeper, host: Host, finished: asyncio.Event
    ) -> None:
        certificates = Certificates(settings.state_folder / _PKI)
        files = DomainFiles.below(settings.state_folder)
        self._source = Source(keeper, host, certificates, partial(_connect, host.uri), qemu=_qemu(files))
        self._target = Target(files, keeper, host, certificates, Listening(settings.state_folder))
        self.servicer = MigrationServicer(
            settings, instance_id, keeper, source=self._source, target=self._target, finished=finished
        )

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._source.run(), name="migration source")
            group.create_task(self._target.run(), name="migration target")


def _qemu(files: DomainFiles) -> str:
    """The version of QEMU; empty outside of an image. libvirt would look at QEMU for half a second to know it."""
    hypervisor = Hypervisor.recorded(files.hypervisor)
    return hypervisor.qemu if hypervisor is not None else ""


def _connect(uri: str, address: str) -> Connections:
    from virt_launcher.migration import calls

    return Connections(uri, calls.uri(address))
