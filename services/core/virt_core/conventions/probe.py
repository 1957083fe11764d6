"""The command line of virt-probe. Pure and tiny: the program starts once in a few seconds.

The controller writes it into the probes of a launcher pod, the launcher's image has the program.
"""

from __future__ import annotations

PROGRAM = "/usr/lib/kubevirt/virt-probe"
PING, EXEC = "guest-agent-ping", "exec"
"""Verbs: is the guest's agent there, and does a command in the guest succeed; the command follows "--"."""

TIMEOUT = "--timeout"
"""Option of both verbs: whole seconds."""
