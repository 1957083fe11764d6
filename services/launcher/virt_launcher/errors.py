"""What can go wrong inside the launcher. Each class says what the caller does about it."""

from __future__ import annotations


class HypervisorUnavailable(Exception):
    """libvirt does not answer: conclude nothing about the guest, wait until the connection is back."""


class HypervisorRefused(Exception):
    """libvirt answered and said no: repeating the same call gives the same answer."""
