"""The hypervisor's own files in the launcher's private folder. Made by app.py, named in XML and read by guest.py.

What the handler must know too, such as the sockets of consoles, comes with the machine instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class DomainFiles:
    """Absolute paths.

    Attributes:
        agent_socket: the other end of the guest agent's channel.
        disks: a folder for disks that the launcher makes.
        firmware_variables: the UEFI variable store of this machine.
        screenshot: what the hypervisor writes a picture to, for as long as it takes to read it.
    """

    agent_socket: Path
    disks: Path
    firmware_variables: Path
    screenshot: Path

    @classmethod
    def below(cls, folder: Path) -> DomainFiles:
        """The files of a launcher whose private folder is `folder`."""
        return cls(
            folder / "guest-agent", folder / "disks", folder / "firmware-variables.fd", folder / "screenshot.png"
        )
