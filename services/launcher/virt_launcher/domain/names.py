"""Names that libvirt, QEMU and this launcher agree on. Imports nothing, for virt-probe starts once in a few seconds."""

from __future__ import annotations

# One pod, one libvirtd, one domain. A fixed name keeps QEMU's socket paths below a unix socket's 107 characters.
DOMAIN_NAME = "guest"
EMULATOR = "/usr/bin/qemu-system-x86_64"

AGENT_CHANNEL = "org.qemu.guest_agent.0"
"""The name by which guest agents, and libvirt, know their channel."""
