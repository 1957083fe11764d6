"""Names that libvirt, QEMU and this launcher share. Imports nothing, because virt-probe starts every few seconds."""

from __future__ import annotations

# libvirt names files after the domain, NAME.xml for example, and a file's name has 255 bytes. In the paths of QEMU's
# sockets, which have 107 characters, libvirt shortens it by itself.
_LONGEST_DOMAIN_NAME = 200
EMULATOR = "/usr/bin/qemu-system-x86_64"

AGENT_CHANNEL = "org.qemu.guest_agent.0"
"""The name of the guest agent's channel, fixed by agents and libvirt."""


def domain_name(namespace: str, name: str) -> str:
    """NAMESPACE_NAME, as in KubeVirt, shortened if no file could be named after it. By this name people find a guest in
    `ps`, in a VNC client's title and in libvirt's log; the launcher finds it as the only domain of its libvirtd."""
    return f"{namespace}_{name}"[:_LONGEST_DOMAIN_NAME]
