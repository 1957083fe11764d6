"""What the guest uses. Called by servicer.py for the handler, which asks when Prometheus asks it.

libvirt's answer takes milliseconds. One that hangs holds one of host.py's few threads, so until it returns nobody asks
again.
"""

from __future__ import annotations

import asyncio

from kubevirt.launcher.v1 import machine_pb2, statistics_pb2

from virt_launcher.domain import guest
from virt_launcher.domain.disks_xml import disk_targets
from virt_launcher.domain.host import Host, InCall
from virt_launcher.domain.statistics import machine_statistics
from virt_launcher.errors import HypervisorUnavailable

_TIMEOUT = 2.0  # seconds


class Statistics:
    """Reads statistics, once at a time."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._waiting = asyncio.Lock()
        self._call = InCall()

    async def take(self, machine: machine_pb2.Machine) -> statistics_pb2.MachineStatistics:
        """The machine's, without its file systems.

        Raises:
            HypervisorRefused: there is no domain.
            HypervisorUnavailable: libvirtd does not answer, or has not answered the last question yet.
        """
        if self._waiting.locked() or self._call.busy:
            raise HypervisorUnavailable("libvirtd has not answered the last question for statistics yet")
        async with self._waiting:
            found = await self._host.call(guest.read_statistics, self._call, timeout=_TIMEOUT)
        return machine_statistics(found, machine, disk_targets(machine.disks))
