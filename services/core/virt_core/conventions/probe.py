"""The command line of virt-probe. Pure, and small because the kubelet starts the program every few seconds.

The controller writes the command into the probes of a launcher pod; the program is in the launcher's image.
"""

from __future__ import annotations

PROGRAM = "/usr/lib/kubevirt/virt-probe"
PING, EXEC = "guest-agent-ping", "exec"
"""Verbs: check that the guest agent answers; run a command in the guest. The command follows "--"."""

TIMEOUT = "--timeout"
"""Option of both verbs: whole seconds."""
