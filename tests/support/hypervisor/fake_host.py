"""A double of libvirtd, QEMU and the guest of one pod, and of a launcher process's connection to them.

FakeHypervisor outlives the launcher, as libvirtd and QEMU do; each launcher process has a FakeHost of its own, which
stands in for virt_launcher.domain.host.Host. Nothing here is decided for the launcher: conformance.py holds both to
what libvirt does. Methods of FakeHypervisor with the name of a function of domain/guest.py or domain/guest_agent.py are
that function.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree as ET

from virt_launcher.domain.observation import DiskError, DomainPhase, Observation, ShutoffReason, StallReason
from virt_launcher.errors import AgentUnavailable, HypervisorRefused, HypervisorUnavailable

from tests.support.hypervisor.fake_agent import FakeAgent
from tests.support.hypervisor.fake_statistics import FakeStatistics

MACHINE_TYPES = {"q35": "pc-q35-7.2", "pc": "pc-i440fx-7.2"}
DISK_BYTES = 1 << 20
_WITH_QEMU = frozenset(
    {
        DomainPhase.STANDING,
        DomainPhase.MIGRATING,
        DomainPhase.STALLED,
        DomainPhase.RUNNING,
        DomainPhase.PANICKED,
    }
)


# Of QEMU 7.2 and libvirt 9.0.
_LOCK_MESSAGE = (
    "internal error: process exited while connecting to monitor: 2026-11-29T04:15:00.000000Z qemu-system-x86_64: "
    'Failed to get "write" lock\nIs another process using the image [{}]?'
)


def _image(domain: ET.Element) -> str:
    source = domain.find("devices/disk/source")
    return "" if source is None else source.get("file", "")


class FakeHypervisor(FakeStatistics):
    """libvirtd, QEMU and the guest.

    Attributes:
        phase: of the domain.
        lives: how many QEMU processes have executed an instruction of the guest.
        refusals: the message with which libvirt refuses, by the name of the function.
        locked: another process uses the image of the first disk.
        hanging: names of functions that do not return.
        calls: names of the functions that were called.
        description: of the domain.
        before_cpus_start: called when the launcher starts the guest's CPUs.
        changed: called when the phase has changed.
        guest_hears_power_button: the guest shuts down when its power button is pressed.
    """

    def __init__(self) -> None:
        super().__init__()
        self.phase = DomainPhase.ABSENT
        self.reason = ShutoffReason.UNKNOWN
        self.stall = StallReason.OTHER
        self.failed_disks: tuple[DiskError, ...] = ()
        self.domain: ET.Element | None = None
        self.agent: FakeAgent | None = None
        self.answers = True
        self.lives = 0
        self.resets = 0
        self.refusals: dict[str, str] = {}
        self.hanging: set[str] = set()
        self.locked = False
        self.calls: list[str] = []
        self.before_cpus_start: Callable[[], None] = lambda: None
        self.changed: Callable[[], None] = lambda: None
        self.guest_hears_power_button = False
        self.description = ""
        self._ending = False
        self._executed = False
        self._hosts: list[FakeHost] = []

    @property
    def has_qemu(self) -> bool:
        """Whether there is a QEMU process."""
        return self.phase in _WITH_QEMU

    def connect(self) -> FakeHost:
        """The connection of another launcher process; the one before is gone."""
        self._hosts = [FakeHost(self)]
        return self._hosts[0]

    # --- what happens without the launcher ---

    def kill_qemu(self) -> None:
        """QEMU dies, for example because it has no memory left."""
        self._end(ShutoffReason.CRASHED)

    def power_off(self) -> None:
        """The guest shuts itself down."""
        if self.phase is DomainPhase.RUNNING:
            self._end(ShutoffReason.SHUTDOWN)

    def panic(self) -> None:
        """The guest's kernel panics; QEMU stays."""
        if self.phase is DomainPhase.RUNNING:
            self._become(DomainPhase.PANICKED)

    def stall_on(self, *errors: DiskError) -> None:
        """QEMU stops the CPUs because of its disks."""
        if self.phase is DomainPhase.RUNNING:
            self.stall, self.failed_disks = StallReason.IO_ERROR, errors
            self._become(DomainPhase.STALLED)

    def start_agent(self) -> FakeAgent:
        """The guest starts its agent."""
        self.agent = FakeAgent()
        self.notify()
        return self.agent

    def stop_agent(self) -> None:
        """The guest stops its agent."""
        self.agent = None
        self.notify()

    def stop_libvirtd(self) -> None:
        """libvirtd dies; QEMU does not."""
        self.answers = False
        if self.phase is DomainPhase.SHUTOFF:
            self.reason = ShutoffReason.UNKNOWN  # libvirtd keeps the reason in memory only
        self.notify()

    def start_libvirtd(self) -> None:
        """The supervisor starts libvirtd again."""
        self.answers = True
        for host in self._hosts:
            host.connections += 1
        self.notify()

    def miss_qemu(self) -> None:
        """libvirtd finds that QEMU died in its absence, after it accepted connections. It sends no event of this."""
        self.phase, self.reason, self.agent = DomainPhase.SHUTOFF, ShutoffReason.CRASHED, None

    def interrupt_start(self) -> None:
        """libvirtd dies while it starts QEMU, and its successor is about to end that QEMU."""
        self.phase, self._ending = DomainPhase.RUNNING, True
        self.start_libvirtd()

    def end_interrupted_start(self) -> None:
        """libvirtd has ended that QEMU. It sends no event of this."""
        self.phase, self.reason, self._ending = DomainPhase.SHUTOFF, ShutoffReason.UNKNOWN, False

    def notify(self) -> None:
        """An event reaches the launcher, or its connection changes."""
        for host in self._hosts:
            host.notify()

    # --- domain/guest.py ---

    def observe(self) -> Observation:
        if self.phase is DomainPhase.SHUTOFF:
            return Observation(self.phase, self.reason)
        if self.phase is DomainPhase.STALLED:
            return Observation(self.phase, stall=self.stall)
        return Observation(self.phase, ending=self._ending)

    def observe_incoming(self) -> Observation:
        seen = self.observe()
        if seen.phase in (DomainPhase.STANDING, DomainPhase.SHUTOFF):
            return replace(seen, committed_by=self.description)
        return seen

    def handed_over_by(self) -> str:
        return self.description if self.phase is not DomainPhase.ABSENT else ""

    def create_standing(self, xml: str) -> None:
        try:
            domain = ET.fromstring(xml)
        except ET.ParseError as error:
            raise HypervisorRefused(f"(domain_definition): {error}") from error
        if domain.tag != "domain" or domain.find("name") is None:
            raise HypervisorRefused("XML error: domain without a name")
        if self.has_qemu:
            raise HypervisorRefused("Requested operation is not valid: domain is already running")
        if self.locked:
            raise HypervisorRefused(_LOCK_MESSAGE.format(_image(domain)))
        self.domain = domain
        self._executed = False
        self._become(DomainPhase.STANDING)

    def disk_capacities(self, targets: list[str]) -> list[int]:
        found = {target.get("dev") for target in self._require().findall("devices/disk/target")}
        for target in targets:
            if target not in found:
                raise HypervisorRefused(f"invalid argument: invalid path {target} not assigned to domain")
        return [DISK_BYTES for _ in targets]

    def disk_errors(self) -> tuple[DiskError, ...]:
        self._require_qemu()
        return self.failed_disks

    def machine_type(self) -> str:
        kind = self._require().find("os/type")
        name = "" if kind is None else kind.get("machine", "")
        return MACHINE_TYPES.get(name, name)

    def start_cpus(self) -> None:
        self._require_qemu()
        if self.phase is DomainPhase.RUNNING:
            raise HypervisorRefused("Requested operation is not valid: domain is already running")
        if self.phase is DomainPhase.PANICKED:
            raise HypervisorRefused("Requested operation is not valid: domain is crashed")
        self.before_cpus_start()
        self.failed_disks = ()
        if not self._executed:
            self._executed = True
            self.lives += 1
        self._become(DomainPhase.RUNNING)

    def stop_cpus(self) -> None:
        self._require_qemu()
        if self.phase is DomainPhase.RUNNING:
            self._become(DomainPhase.STANDING)

    def reset(self) -> None:
        self._require_qemu()
        self.resets += 1

    def press_reboot_button(self) -> None:
        self._require_qemu()
        self.resets += 1

    def press_power_button(self) -> None:
        self._require_qemu()
        if self.guest_hears_power_button:
            self.power_off()

    def take_screenshot(self, path: str, in_call: object) -> None:
        del path, in_call
        raise HypervisorRefused("there is no display")

    def destroy(self) -> None:
        self._require_qemu()
        self._end(ShutoffReason.DESTROYED)

    # --- domain/guest_agent.py ---

    def is_connected(self) -> bool:
        return self.agent is not None and self.has_qemu

    def ask(self, command: str, timeout: int) -> str:
        if self.agent is None or not self.has_qemu:
            raise AgentUnavailable("Guest agent is not responding: QEMU guest agent is not connected")
        if self.agent.hangs:
            raise AgentUnavailable(f"Guest agent is not responding: no answer within {timeout} s")
        return self.agent.answer(command)

    def reboot(self) -> None:
        self.ask('{"execute": "guest-ping"}', 1)
        self.resets += 1

    def _require(self) -> ET.Element:
        if self.domain is None:
            raise HypervisorRefused("Domain not found: no domain")
        return self.domain

    def _require_qemu(self) -> None:
        self._require()
        if not self.has_qemu:
            raise HypervisorRefused("Requested operation is not valid: domain is not running")

    def _end(self, reason: ShutoffReason) -> None:
        if self.has_qemu:
            self.reason, self.agent = reason, None
            self._become(DomainPhase.SHUTOFF)

    def _become(self, phase: DomainPhase) -> None:
        self.phase = phase
        self.changed()
        self.notify()


class FakeHost:
    """The connection of one launcher process.

    Attributes:
        dies_in: at which of the next calls the process ends; None: it lives.
        dies_after_effect: that call is done before the process ends.
        died: set when the process has ended: its tasks are to be cancelled.
        connections: how many connections to libvirtd there have been.
    """

    def __init__(self, hypervisor: FakeHypervisor) -> None:
        self._hypervisor = hypervisor
        self._subscribers: list[Callable[[], None]] = []
        self.connections = 1
        self.dies_in: int | None = None
        self.dies_after_effect = False
        self.died = asyncio.Event()

    def subscribe(self, changed: Callable[[], None]) -> None:
        """As Host's."""
        self._subscribers.append(changed)
        changed()

    @property
    def connected(self) -> bool:
        """As Host's."""
        return self._hypervisor.answers

    def notify(self) -> None:
        """An event, a connection or a disconnection."""
        for changed in self._subscribers:
            asyncio.get_running_loop().call_soon(changed)

    async def call(self, function: Callable[..., Any], *arguments: object, timeout: float) -> Any:
        """As Host's."""
        name = function.__name__
        await asyncio.sleep(0)
        if not self._hypervisor.answers:
            raise HypervisorUnavailable("no connection to libvirtd")
        await self._die_if_due(after_effect=False)
        self._hypervisor.calls.append(name)
        if name in self._hypervisor.hanging:
            await asyncio.sleep(timeout)
            raise HypervisorUnavailable(f"libvirtd took longer than {timeout:.0f} s", timeout)
        if name in self._hypervisor.refusals:
            raise HypervisorRefused(self._hypervisor.refusals[name])
        result = getattr(self._hypervisor, name)(*arguments)
        await self._die_if_due(after_effect=True)
        await asyncio.sleep(0)
        return result

    async def call_agent(self, function: Callable[..., Any], *arguments: object, timeout: float) -> Any:
        """As Host's."""
        return await self.call(function, *arguments, timeout=timeout)

    async def _die_if_due(self, *, after_effect: bool) -> None:
        if self.dies_in is None or self.dies_after_effect is not after_effect:
            return
        self.dies_in -= 1
        if self.dies_in < 0:
            self.died.set()
            await asyncio.Event().wait()
