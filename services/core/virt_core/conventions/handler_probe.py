"""How virt-operator knows that a virt-handler serves ProbeService (handler/v1/probe.proto). Pure; never changes."""

from __future__ import annotations

MACHINE_PROBE = "machine-probe"
"""Feature in GetInfo of such a handler."""
