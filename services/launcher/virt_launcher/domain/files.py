"""The hypervisor's own files in the launcher's private folder. Made by app.py, named in XML and read by guest.py.

What the handler must know too, such as the sockets of consoles, comes with the machine instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


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

    @classmethod
    def below(cls, folder: Path) -> DomainFiles:
        """The files of a launcher whose private folder is `folder`."""
        return cls(
            folder / "guest-agent", folder / "disks", folder / "firmware-variables.fd", folder / "screenshot.png"
        )
