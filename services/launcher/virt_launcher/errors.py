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


class CommandRefused(Exception):
    """The machine is not in a state for the command: change something first. `reason` is for programs."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class AgentUnavailable(Exception):
    """No guest agent, or one that does not answer in time: whether it did what it was asked is unknown."""


class AgentRefused(Exception):
    """The guest agent answered with an error, or with something that is no answer."""
