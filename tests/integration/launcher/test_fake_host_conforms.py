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

# libvirtd without a launcher: the test is the launcher.
ENTRYPOINT = ["/usr/lib/kubevirt/supervisor", "launcher", "/bin/sleep", "infinity"]
LIBVIRTD = ["--", "libvirtd", "/usr/lib/kubevirt/libvirtd-session"]
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
        await asyncio.to_thread(self._quit)

    async def restart_libvirtd(self) -> None:
        await self._pod.kill("libvirtd")

    async def suspend_libvirtd(self) -> None:
        await self._pod.kill("libvirtd", signal.SIGSTOP)

    async def resume_libvirtd(self) -> None:
        await self._pod.kill("libvirtd", signal.SIGCONT)

    def _quit(self) -> None:
        """QEMU reports a shutdown and ends, as it does when its guest powers off."""
        connection = libvirt.open(self.host.uri)
        with contextlib.closing(connection), contextlib.suppress(libvirt.libvirtError):  # QEMU ends before it answers
            libvirt_qemu.qemuMonitorCommand(connection.listAllDomains()[0], '{"execute": "quit"}', 0)


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
    async with asyncio.timeout(30):
        while not host.connected:
            changed.clear()
            await changed.wait()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_libvirt_and_qemu(check: Check, real: RealPod) -> None:
    await check(real)
