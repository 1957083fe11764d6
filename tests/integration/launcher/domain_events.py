"""What a pod's libvirt says of its domain, with times: from it follows when the guest ran there.

Used by launcher_pair.py. The listener runs in the launcher's container and connects again to a libvirtd that restarted.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from dataclasses import dataclass

from tests.integration.launcher.pod import Pod
from tests.support.patience import PATIENCE

_LISTEN = """
import libvirt, time
libvirt.registerErrorHandler(lambda *_: None, None)
libvirt.virEventRegisterDefaultImpl()
names = {getattr(libvirt, n): n.removeprefix("VIR_DOMAIN_EVENT_").lower() for n in dir(libvirt)
         if n in ("VIR_DOMAIN_EVENT_STARTED", "VIR_DOMAIN_EVENT_SUSPENDED", "VIR_DOMAIN_EVENT_RESUMED",
                  "VIR_DOMAIN_EVENT_STOPPED", "VIR_DOMAIN_EVENT_CRASHED")}
def happened(connection, domain, event, detail, opaque):
    print(time.time(), names.get(event, event), detail, flush=True)
while True:
    try:
        connection = libvirt.open("qemu:///session")
        connection.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, happened, None)
        connection.setKeepAlive(5, 3)
    except libvirt.libvirtError:
        time.sleep(0.02)
        continue
    print(time.time(), "connected", 0, flush=True)
    while connection.isAlive():
        libvirt.virEventRunDefaultImpl()
"""


@dataclass(frozen=True)
class Happened:
    """An event; `detail` is libvirt's number of the reason."""

    at: float
    event: str
    detail: int


class DomainEvents:
    """The events of one pod's domain since the start of the listener."""

    def __init__(self, pod: Pod) -> None:
        self._pod = pod
        self.all: list[Happened] = []
        self._more = asyncio.Condition()
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Returns when the listener is connected."""
        # By another name than the launcher's, so that Pod.processes() does not take it for the launcher.
        argv = ("runc", "exec", self._pod.name, "/opt/kubevirt/bin/python3", "-I", "-B", "-c", _LISTEN)
        self._process = await asyncio.create_subprocess_exec(
            *argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self._reading = asyncio.create_task(self._read(), name="events of a domain")
        await self.wait_for("connected")

    async def wait_for(self, event: str, count: int = 1) -> None:
        """Wait until an event has happened `count` times."""
        try:
            async with asyncio.timeout(PATIENCE), self._more:
                await self._more.wait_for(lambda: sum(known.event == event for known in self.all) >= count)
        except TimeoutError:
            raise AssertionError(f"no event {event}: {self.all}") from None

    async def stop(self) -> None:
        """End the listener."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
        if self._reading is not None:
            await self._reading

    async def _read(self) -> None:
        assert self._process is not None and self._process.stdout is not None
        async for line in self._process.stdout:
            at, event, detail = line.decode().split()
            async with self._more:
                self.all.append(Happened(float(at), event, int(detail)))
                self._more.notify_all()


def running_times(events: list[Happened]) -> list[tuple[float, float]]:
    """When the guest's CPUs ran: beginnings and ends. A guest that starts paused is suspended or not resumed."""
    times: list[tuple[float, float]] = []
    since: float | None = None
    for known in events:
        if known.event == "resumed" and since is None:
            since = known.at
        elif known.event in ("suspended", "stopped", "crashed") and since is not None:
            times.append((since, known.at))
            since = None
    return times if since is None else [*times, (since, float("inf"))]
