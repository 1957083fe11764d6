"""The nftables rules of a pod's network namespace, as input of ``nft -f``. Pure; called by plan.py."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface

from virt_core.vmi.spec.devices import Port

POD_LINK = "eth0"  # what CNI plugins call a pod's card
BRIDGE = "k6t-eth0"

# Ports of a target's launcher: libvirt's for TLS, and the first two of its range for QEMU's memory and disks.
_MIGRATION_PORTS = "{ 16514, 49152, 49153 }"


@dataclass(frozen=True, slots=True)
class IncomingMigration:
    """A guest that is about to arrive from another pod."""

    source: IPv4Address
    """The address of the source's pod."""


@dataclass(frozen=True, slots=True)
class DepartedGuest:
    """A guest that has left for another pod, for good."""

    target: IPv4Address
    """The address of the pod in which it is."""


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
{_exempted(incoming)}{_inbound(guest.ip, tuple(ports))}
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


def forwarding(departed: DepartedGuest, ports: Iterable[Port]) -> str:
    """Replaces our table: what arrives for the guest goes on to the pod in which it is, with this pod's address.

    The conntrack zone hides everything that was tracked before, so a SYN that the guest has not answered is translated
    again when it is repeated. What belongs to an older connection is left to the pod's kernel, which resets it, unless
    it is the launcher's. No client is passed on to the target's launcher, where it would be taken for the source.
    """
    return f"""\
table ip kubevirt
delete table ip kubevirt
table ip kubevirt {{
  chain arriving {{
    type filter hook prerouting priority raw; policy accept;
    iifname "{POD_LINK}" ct zone set 1
  }}
  chain leaving {{
    type filter hook output priority raw; policy accept;
    oifname "{POD_LINK}" ct zone set 1
  }}
  chain prerouting {{
    type nat hook prerouting priority dstnat; policy accept;
    iifname "{POD_LINK}" tcp flags & (fin | syn | rst | ack) != syn return
    iifname "{POD_LINK}" tcp dport {_MIGRATION_PORTS} return
{_inbound(departed.target, tuple(ports))}
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    oifname "{POD_LINK}" ct status dnat masquerade
  }}
  chain forward {{
    type filter hook forward priority filter; policy accept;
    iifname "{BRIDGE}" drop comment "the guest has left"
  }}
}}
"""


def _exempted(incoming: IncomingMigration | None) -> str:
    """Leaves the source's connections for a migration to the launcher. Connections that exist keep this decision when
    the rule goes."""
    if incoming is None:
        return ""
    return f'    iifname "{POD_LINK}" ip saddr {incoming.source} tcp dport {_MIGRATION_PORTS} return\n'


def _inbound(guest: IPv4Address, ports: tuple[Port, ...]) -> str:
    """Forwards all incoming traffic to that address, or only the listed ports."""
    if not ports:
        return f'    iifname "{POD_LINK}" dnat to {guest}'
    return "\n".join(
        f'    iifname "{POD_LINK}" {(port.protocol or "TCP").lower()} dport {port.port} dnat to {guest}'
        for port in ports
    )
