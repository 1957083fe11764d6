"""The hypervisor's files in the launcher's private folder and in its image. Used in XML and by machine/execute.py.

Paths that the handler uses as well, such as the sockets of consoles, are part of the machine instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from virt_core.conventions.launcher_pod import HYPERVISOR_RECORD

from virt_launcher.domain.names import domain_name


@dataclass(frozen=True, slots=True)
class DomainFiles:
    """Absolute paths."""

    agent_socket: Path
    """The other end of the guest agent's channel."""

    disks: Path
    """A folder for disks that the launcher makes."""

    firmware_variables: Path
    """The UEFI variable store of this machine."""

    screenshot: Path
    """What the hypervisor writes a picture to, for as long as it takes to read it."""

    logs: Path
    """The folder of libvirt's logs, one for each domain: XDG_CACHE_HOME of the image's session libvirtd."""

    hypervisor: Path = Path(HYPERVISOR_RECORD)
    """The image's record of its QEMU and libvirt."""

    @classmethod
    def below(cls, folder: Path) -> DomainFiles:
        """The files of a launcher whose private folder is `folder`."""
        return cls(
            folder / "guest-agent",
            folder / "disks",
            folder / "firmware-variables.fd",
            folder / "screenshot.png",
            folder / "cache/libvirt/qemu/log",
        )

    def log_of(self, namespace: str, name: str) -> Path:
        """What libvirt and QEMU wrote of the machine."""
        return self.logs / f"{domain_name(namespace, name)}.log"
