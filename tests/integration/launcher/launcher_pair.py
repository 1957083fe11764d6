"""Two launcher pods whose namespaces are joined, as those of two nodes, and the guest of one that moves to the other.

Used by test_migration_*.py. Both pods have the same volumes' paths, sidecars and boot files.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.integration.launcher.commands import run
from tests.integration.launcher.container_disks import PodWithDisks
from tests.integration.launcher.domain_events import DomainEvents
from tests.integration.launcher.images import Images
from tests.integration.launcher.pod import PRIVATE
from tests.support.patience import PATIENCE

MIGRATION = "6d1c3f0a-0000-4000-8000-000000000001"
_PYTHON = ("/opt/kubevirt/bin/python3", "-I", "-B", "-c")

_CERTIFICATES = f"""
import asyncio, sys
from pathlib import Path
from virt_launcher.migration.certificates import Certificates
certificates = Certificates(Path("{PRIVATE}/.pki/libvirt"))
if sys.argv[1] == "identity":
    print(asyncio.run(certificates.identity("{MIGRATION}", sys.argv[2])))
elif sys.argv[1] == "trust":
    certificates.trust(sys.argv[2])
else:
    certificates.forget()
"""
_LISTENING = f"""
import asyncio, sys, time
from pathlib import Path
from virt_launcher.migration.listening import Listening
listening = Listening(Path("{PRIVATE}"))
began = time.monotonic()
asyncio.run(listening.open(sys.argv[1]) if sys.argv[1:] else listening.close())
print(time.monotonic() - began)
"""


class Side(PodWithDisks):
    """One of both pods."""

    def __init__(self, images: Images, address: str) -> None:
        super().__init__(images)
        self.address = address

    async def bring_up(self) -> None:
        """Start all of it; the launcher has no machine yet."""
        self.make_network()
        self.share_processes()
        placed = self.place_boot_files()
        assert placed.returncode == 0, placed.stderr
        await self.start()
        await self.peer.negotiate(timeout=PATIENCE)

    def python(self, program: str, *argv: str) -> str:
        """The output of a program that runs in the launcher's container with the launcher's code."""
        ended = self.run_inside(*_PYTHON, program, *argv)
        assert ended.returncode == 0, f"{ended.stderr}\n{self.log[-4000:]}"
        return ended.stdout

    def qemu_log(self) -> str:
        """QEMU's command line and complaints."""
        return "".join(path.read_text() for path in (self.private / "cache/libvirt/qemu/log").glob("*.log"))

    def make_identity(self) -> str:
        """The certificate authority of this side."""
        return self.python(_CERTIFICATES, "identity", self.address)

    def trust(self, authority: str) -> None:
        """Trust the other side."""
        self.python(_CERTIFICATES, "trust", authority)

    def forget(self) -> None:
        """Remove the certificates."""
        self.python(_CERTIFICATES, "forget")

    def listen(self) -> float:
        """Have libvirtd listen; how many seconds that took."""
        return float(self.python(_LISTENING, self.address))

    def stop_listening(self) -> float:
        """Have libvirtd not listen; how many seconds that took."""
        return float(self.python(_LISTENING))


class LauncherPair:
    """Source and target, each with what its libvirt says of the domain."""

    def __init__(self, source: Images, target: Images, *, network: str = "10.99.0.") -> None:
        self.source, self.target = Side(source, f"{network}1"), Side(target, f"{network}2")
        self.target.uid = self.source.uid  # of the machine
        self.device = "mig0"  # of either pod towards the other
        self.events: dict[str, DomainEvents] = {}

    @property
    def sides(self) -> tuple[Side, Side]:
        return self.source, self.target

    async def bring_up(self) -> None:
        """Start both."""
        for side in self.sides:
            await side.bring_up()
        await self.join()

    async def join(self) -> None:
        """Join both, and listen to the events of both."""
        device, first, second = self.device, self.source.name, self.target.name
        run("ip", "link", "add", device, "netns", first, "type", "veth", "peer", "name", device, "netns", second)
        for side in self.sides:
            prefix = ("/64", "nodad") if ":" in side.address else ("/24",)
            run("ip", "-n", side.name, "addr", "add", side.address + prefix[0], *prefix[1:], "dev", device)
            run("ip", "-n", side.name, "link", "set", device, "up")
            if side.name not in self.events:
                self.events[side.name] = DomainEvents(side)
                await self.events[side.name].start()

    def onward(self, images: Images) -> LauncherPair:
        """This target, which gets another address, as the source for another pod, which is not started yet."""
        network, device = ("10.98.0.", "mig1") if self.device == "mig0" else ("10.99.0.", "mig0")
        made = LauncherPair(images, images, network=network)
        shutil.rmtree(made.source.folder)
        self.target.address = made.source.address
        made.source, made.device, made.target.uid = self.target, device, self.target.uid
        made.events = {name: events for name, events in self.events.items() if name == self.target.name}
        return made

    def introduce(self) -> None:
        """Certificates of both, each with the other's trust."""
        authorities = [side.make_identity() for side in self.sides]
        for side, authority in zip(self.sides, reversed(authorities), strict=True):
            side.trust(authority)

    def cut(self) -> None:
        """Cut the link."""
        run("ip", "-n", self.target.name, "link", "set", self.device, "down")

    async def remove(self) -> None:
        """Leave nothing."""
        for events in self.events.values():
            await events.stop()
        for side in self.sides:
            await side.remove()


def files_below(folder: Path) -> list[str]:
    """Relative paths of all files."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())
