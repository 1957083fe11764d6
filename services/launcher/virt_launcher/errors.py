"""Errors inside the launcher. Each class tells the caller how to react."""

from __future__ import annotations


class HypervisorUnavailable(Exception):
    """libvirt does not answer: the guest's state is unknown, wait for the connection. `waited` is for how many
    seconds this call waited for an answer."""

    def __init__(self, message: str, waited: float = 0.0) -> None:
        super().__init__(message)
        self.waited = waited


class HypervisorRefused(Exception):
    """libvirt returned an error: a retry of the same call gives the same error."""


class UnusableDisk(Exception):
    """A disk cannot be attached, and a retry does not help: the machine cannot be started. `disk` is its name."""

    def __init__(self, disk: str, reason: str) -> None:
        super().__init__(f"disk {disk}: {reason}")
        self.disk = disk


class CommandRefused(Exception):
    """The machine's state does not allow the command. `reason` is for programs."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class AgentUnavailable(Exception):
    """There is no guest agent, or it did not answer in time: the effect of the call is unknown."""


class AgentRefused(Exception):
    """The guest agent returned an error or an invalid response."""


class UnusableSecret(Exception):
    """A mounted Secret cannot be read. The message names its folder and nothing of its content."""
