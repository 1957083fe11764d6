"""libvirt and QEMU of the launcher's image do what the double of the hypervisor does in unit tests."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import libvirt
import libvirt_qemu
import pytest
from virt_launcher.domain.files import DomainFiles
from virt_launcher.domain.host import Host
from virt_launcher.domain.xml import domain_xml

from tests.integration.launcher.images import Images
from tests.integration.launcher.pod import PRIVATE, Pod
from tests.support.hypervisor.conformance import CHECKS, Check
from tests.support.patience import PATIENCE

# libvirtd without a launcher: the test is the launcher.
ENTRYPOINT = ["/usr/lib/kubevirt/supervisor", "launcher", "/bin/sleep", "infinity"]
LIBVIRTD = ["--", "libvirtd", "/usr/lib/kubevirt/libvirtd-session"]
# ICH9's power management by I/O ports: its base address 0x600, its I/O space enabled, SLP_EN with sleep type 0.
# (Intel 82801I, 13.1.11 and 13.8.3.2; QEMU's hw/acpi/ich9.c)
POWER_OFF = (
    "o /4 0xcf8 0x8000f840",
    "o /4 0xcfc 0x601",
    "o /4 0xcf8 0x8000f844",
    "o /1 0xcfc 0x80",
    "o /2 0x604 0x2000",
)
FILES = DomainFiles.below(Path(PRIVATE))


class RealPod:
    """conformance.Pod on a container of the launcher's image."""

    def __init__(self, pod: Pod, uri: str) -> None:
        self._pod = pod
        self.host = Host(uri)

    def xml(self, machine_type: str = "q35", name: str = "default_demo") -> str:
        machine = self._pod.machine(machine_type=machine_type)
        machine.ClearField("kernel_boot")
        return domain_xml(machine, FILES).replace("<name>default_demo</name>", f"<name>{name}</name>")

    async def kill_qemu(self) -> None:
        await self._pod.kill("qemu")

    async def end_qemu(self) -> None:
        await asyncio.to_thread(self._power_off)

    async def restart_libvirtd(self) -> None:
        await self._pod.kill("libvirtd")

    async def suspend_libvirtd(self) -> None:
        await self._pod.kill("libvirtd", signal.SIGSTOP)

    async def resume_libvirtd(self) -> None:
        await self._pod.kill("libvirtd", signal.SIGCONT)

    def _power_off(self) -> None:
        """Have the chipset sleep in state S5, as a guest does that powers off. QEMU then waits until libvirtd ends it.

        After QEMU's command `quit` it ends at once, and libvirtd takes one of 50 such ends for a crash.
        """
        with contextlib.closing(libvirt.open(self.host.uri)) as connection:
            (domain,) = connection.listAllDomains()
            for command in ("stop", *POWER_OFF):  # stopped: the firmware uses the same ports
                libvirt_qemu.qemuMonitorCommand(domain, command, libvirt_qemu.VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP)


@pytest.fixture
async def real(images: Images) -> AsyncIterator[RealPod]:
    """A pod in which libvirtd runs."""
    pod = Pod(images)
    try:
        pod.make_network()
        await pod.start(entrypoint=[*ENTRYPOINT, *LIBVIRTD])
        folder = pod.volumes["private"] / "run"
        made = RealPod(pod, f"qemu:///session?socket={folder}/libvirt/libvirt-sock")
        await _connected(made.host)
        yield made
    finally:
        await pod.remove()


async def _connected(host: Host) -> None:
    changed = asyncio.Event()
    host.subscribe(changed.set)
    async with asyncio.timeout(PATIENCE):
        while not host.connected:
            changed.clear()
            await changed.wait()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_libvirt_and_qemu(check: Check, real: RealPod) -> None:
    await check(real)
