"""What can go wrong inside the launcher. Each class says what the caller does about it."""

from __future__ import annotations


class HypervisorUnavailable(Exception):
    """libvirt does not answer: conclude nothing about the guest, wait until the connection is back."""


class HypervisorRefused(Exception):
    """libvirt answered and said no: repeating the same call gives the same answer."""


class UnusableDisk(Exception):
    """A disk cannot be attached and could not be next time: the machine cannot be started.

    Attributes:
        disk: its name.
    """

    def __init__(self, disk: str, reason: str) -> None:
        super().__init__(f"disk {disk}: {reason}")
        self.disk = disk
