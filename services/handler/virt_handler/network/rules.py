"""The nftables rules of a pod's network namespace, as input of ``nft -f``. Pure; called by plan.py."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface

from virt_core.vmi.spec.devices import Port

POD_LINK = "eth0"  # what CNI plugins call a pod's card
BRIDGE = "k6t-eth0"

MIGRATION_PORTS = (16514, 49152, 49153)
"""Ports of a target's launcher: libvirt's for TLS, and the first two of its range for QEMU's memory and disks."""


@dataclass(frozen=True, slots=True)
class IncomingMigration:
    """A guest that is about to arrive from another pod."""

    source: IPv4Address
    """The address of the source's pod."""


def none() -> str:
    """Removes our table."""
    return "table ip kubevirt\ndelete table ip kubevirt\n"


def masquerade(guest: IPv4Interface, ports: Iterable[Port], incoming: IncomingMigration | None) -> str:
    """Replaces our table by the translation between the pod's address and the guest's."""
    # The first two lines make the rest idempotent: adding a table that exists changes nothing, so deleting never fails.
    return f"""\
table ip kubevirt
delete table ip kubevirt
table ip kubevirt {{
  chain prerouting {{
    type nat hook prerouting priority dstnat; policy accept;
{_exempted(incoming)}{_inbound(guest, tuple(ports))}
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr {guest.ip} oifname "{POD_LINK}" masquerade
  }}
  chain forward {{
    type filter hook forward priority filter; policy accept;
    iifname "{BRIDGE}" ip saddr != {guest.ip} drop comment "no forged senders"
  }}
}}
"""


def _exempted(incoming: IncomingMigration | None) -> str:
    """Leaves the source's connections for a migration to the launcher. Connections that exist keep this decision when
    the rule goes."""
    if incoming is None:
        return ""
    ports = ", ".join(str(port) for port in MIGRATION_PORTS)
    return f'    iifname "{POD_LINK}" ip saddr {incoming.source} tcp dport {{ {ports} }} return\n'


def _inbound(guest: IPv4Interface, ports: tuple[Port, ...]) -> str:
    """Forwards all incoming traffic to the guest, or only the listed ports."""
    if not ports:
        return f'    iifname "{POD_LINK}" dnat to {guest.ip}'
    return "\n".join(
        f'    iifname "{POD_LINK}" {(port.protocol or "TCP").lower()} dport {port.port} dnat to {guest.ip}'
        for port in ports
    )
