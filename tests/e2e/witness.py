"""What shows when a guest ran in one launcher pod: its libvirt's events, and the guest's ticks inside the pod.

Nothing of the suite is asked, and a pod that the guest has left passes on only what comes from outside. Composed by
move_watch.py; running_times and ran_at_once judge what witnesses saw.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import combinations

_RETRY = 0.1  # seconds
LOST, ENDED = "lost", "ended"  # libvirtd has died; the container has ended, and the guest with it
_RUNS, _STANDS = ("running", "resumed"), ("standing", "suspended", "stopped", "crashed", ENDED)

# Runs in the launcher's container. Never starts a libvirtd itself, as libvirt's clients of a session do. A guest behind
# masquerade has this address in each pod, and a guest of tests/guest-image ticks every 0.2 s at this port.
_LISTEN = """
import os
os.environ["LIBVIRT_AUTOSTART"] = "0"
import libvirt, socket, threading, time
def tell(event, *details):
    print(f"{time.time()} {event} {' '.join(map(str, details))}\\n", end="", flush=True)
def follow_ticks():
    while True:
        try:
            with socket.create_connection(("10.0.2.2", 7777), 1) as guest:
                guest.settimeout(2)
                for line in guest.makefile():
                    words = line.split()
                    if len(words) == 4 and words[0] == "tick":
                        tell("tick", words[1], words[3].removeprefix("boot="))
        except (OSError, ValueError):
            pass
        time.sleep(0.1)
threading.Thread(target=follow_ticks, daemon=True).start()
libvirt.registerErrorHandler(lambda *_: None, None)
libvirt.virEventRegisterDefaultImpl()
words = ("STARTED", "SUSPENDED", "RESUMED", "STOPPED", "CRASHED")
names = {getattr(libvirt, "VIR_DOMAIN_EVENT_" + word): word.lower() for word in words}
def happened(connection, domain, event, detail, opaque):
    tell(names.get(event, event), detail)
libvirt.virEventAddTimeout(5000, lambda *_: None, None)  # the loop looks now and then whether libvirtd is alive
while True:
    try:
        connection = libvirt.open("qemu:///session")
        connection.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, happened, None)
        runs = any(domain.isActive() and domain.state()[0] == 1 for domain in connection.listAllDomains())
        connection.setKeepAlive(5, 3)
    except libvirt.libvirtError:
        time.sleep(0.02)
        continue
    tell("running" if runs else "standing", 0)
    while connection.isAlive():
        libvirt.virEventRunDefaultImpl()
    tell("lost", 0)
"""


@dataclass(frozen=True, slots=True)
class Happened:
    """An event of the domain; `detail` is libvirt's number of the reason."""

    at: float
    event: str
    detail: int = 0


@dataclass(slots=True)
class Witness:
    """Of one launcher pod."""

    pod: str
    uid: str
    address: str
    on_event: Callable[[], None]
    events: list[Happened] = field(default_factory=list)
    ticks: dict[tuple[str, int], float] = field(default_factory=dict)
    """When a tick came first, by boot id and number."""

    async def run(self) -> None:
        """Returns when the container has ended, and the guest with it."""
        while not self.events:
            await self._read()
            await asyncio.sleep(_RETRY)
        self._note(Happened(time.time(), ENDED))

    def happened_since(self, moment: float, *events: str) -> bool:
        """Whether one of the events came after `moment`."""
        return any(known.event in events and known.at >= moment for known in self.events)

    @property
    def last_tick(self) -> tuple[float, str]:
        """Moment and boot id."""
        return max(((at, boot) for (boot, _), at in self.ticks.items()), default=(0.0, ""))

    async def _read(self) -> None:
        argv = ("exec", self.pod, "-c", "compute", "--", "/opt/kubevirt/bin/python3", "-I", "-B", "-c", _LISTEN)
        process = await asyncio.create_subprocess_exec(
            "kubectl", *argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        try:
            assert process.stdout is not None
            async for line in process.stdout:
                match line.decode().split():
                    case [at, "tick", number, boot]:
                        self.ticks.setdefault((boot, int(number)), float(at))
                    case [at, event, detail]:
                        self._note(Happened(float(at), event, int(detail)))
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    def _note(self, event: Happened) -> None:
        self.events.append(event)
        self.on_event()


@dataclass(frozen=True, slots=True)
class Interval:
    """When the guest's CPUs ran for certain: what a dead libvirtd did not see is not in it."""

    began: float
    ended: float


def running_times(events: Iterable[Happened]) -> list[Interval]:
    """From the events of one pod."""
    times: list[Interval] = []
    since: float | None = None
    lost: float | None = None
    for known in events:
        if known.event == LOST:
            lost = known.at
        elif known.event in _RUNS:
            since, lost = known.at if since is None else since, None
        elif known.event in _STANDS:
            if since is not None:
                times.append(Interval(since, lost or known.at))
            since = lost = None
    if since is not None:
        times.append(Interval(since, lost or float("inf")))
    return times


def ran_at_once(witnesses: Iterable[Witness]) -> list[str]:
    """Where two pods of one guest ran it at the same time: by libvirt's events, and by ticks that came from both."""
    found = []
    for one, other in combinations(witnesses, 2):
        found += [
            f"{one.pod} {here} and {other.pod} {there}"
            for here in running_times(one.events)
            for there in running_times(other.events)
            if here.began < there.ended and there.began < here.ended
        ]
        if twice := one.ticks.keys() & other.ticks.keys():
            found.append(f"ticks {sorted(twice)[:5]} came from {one.pod} and from {other.pod}")
    return found
