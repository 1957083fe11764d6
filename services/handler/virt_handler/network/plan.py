"""Plans a pod's network namespace for its guest. Pure; called by machines/plan.py, executed by execute.py.

Masquerade: the guest has the same private address in every pod, behind NAT. Traffic that arrives on the pod's card goes
to the guest, the guest's traffic leaves with the pod's address. Bridge: the guest has the pod's address, which is
removed from the pod's card. Addresses and names are KubeVirt's, because tools and guests' manifests rely on them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from virt_core.conventions.labels import LAUNCHER_UID
from virt_core.vmi.accepted import AcceptedSpec
from virt_core.vmi.spec.devices import Port
from virt_core.vmi.spec.effective import network_cidr

POD_LINK = "eth0"  # what CNI plugins call a pod's card
BRIDGE = "k6t-eth0"
TAP = "tap0"
# Without a MAC address of its own a bridge uses the lowest MAC of its ports and changes it with them. Guests would lose
# their router until their ARP cache expires.
BRIDGE_MAC = "02:00:00:00:00:00"
# Address of a bridged guest's bridge, so that DHCP requests can be answered on it; link-local, as in KubeVirt.
BRIDGED_ADDRESS = IPv4Interface("169.254.75.10/32")

MIGRATION_PORTS = (16514, 49152, 49153)
"""Ports of a target's launcher: libvirt's for TLS, and the first two of its range for QEMU's memory and disks."""


@dataclass(frozen=True, slots=True)
class Route:
    """A route of the pod. `via` is empty for destinations on the link."""

    destination: str
    """A network; "0.0.0.0/0" is the default route."""
    via: str = ""


@dataclass(frozen=True, slots=True)
class PodNetwork:
    """The configuration of the pod's card, before the guest took over its address."""

    mtu: int
    """MTU of the pod's card in bytes."""
    addresses: tuple[str, ...]
    """IPv4 addresses of the pod's card. The first is the pod's address in Kubernetes."""
    prefix_length: int = 32
    """Prefix length of the first address."""
    mac: str = ""
    """MAC address of the pod's card."""
    routes: tuple[Route, ...] = ()


@dataclass(frozen=True, slots=True)
class Uplink:
    """The pod's card as a port of the bridge. The guest takes over its address."""

    remembered: PodNetwork
    """The original configuration, stored on the bridge before any change, for later handler processes."""
    mac: str
    """The card's new MAC address: the guest takes over the original one."""


@dataclass(frozen=True, slots=True)
class NetworkPlan:
    """The desired state of the namespace."""

    bridge: str
    bridge_mac: str
    router: IPv4Interface
    """The bridge's address."""
    tap: str
    owner: int
    """User and group that may attach to the tap device."""
    queues: bool
    """Whether the tap device has several queues."""
    mtu: int
    ruleset: str
    """Input of ``nft -f``: replaces our table atomically; established connections keep their translation."""
    uplink: Uplink | None = None


@dataclass(frozen=True, slots=True)
class IncomingMigration:
    """A guest that is about to arrive from another pod."""

    source: IPv4Address
    """The address of the source's pod."""


def network_plan(
    pod: PodNetwork, spec: AcceptedSpec, *, queues: bool, incoming: IncomingMigration | None = None
) -> NetworkPlan | None:
    """The plan for the guest's interface; None without an interface.

    `incoming`: the launcher is the target of a migration. The source reaches it, and nobody else does.
    """
    if not spec.interfaces:
        return None
    interface = spec.interfaces[0]
    if interface.bridge is not None:
        uplink = Uplink(pod, other_mac(pod.mac))
        return NetworkPlan(
            BRIDGE, BRIDGE_MAC, BRIDGED_ADDRESS, TAP, LAUNCHER_UID, queues, pod.mtu, _no_ruleset(), uplink
        )
    router, guest = masqueraded(spec)
    ruleset = _ruleset(guest, interface.ports, incoming)
    return NetworkPlan(BRIDGE, BRIDGE_MAC, router, TAP, LAUNCHER_UID, queues, pod.mtu, ruleset)


def masqueraded(spec: AcceptedSpec) -> tuple[IPv4Interface, IPv4Interface]:
    """Addresses of router and guest in the network between guest and pod: its first two."""
    network = IPv4Network(network_cidr(spec.networks[0]), strict=False)
    first = int(network.network_address) + 1
    return IPv4Interface((first, network.prefixlen)), IPv4Interface((first + 1, network.prefixlen))


def other_mac(mac: str) -> str:
    """A new MAC address for a card, derived from its old one."""
    return made_mac(f"uplink {mac}")


def made_mac(text: str) -> str:
    """A MAC address derived from `text`: locally administered, unicast."""
    digest = hashlib.sha256(text.encode()).digest()
    return ":".join(f"{octet:02x}" for octet in (0x02, *digest[:5]))


def _no_ruleset() -> str:
    return "table ip kubevirt\ndelete table ip kubevirt\n"


def _ruleset(guest: IPv4Interface, ports: Iterable[Port], incoming: IncomingMigration | None) -> str:
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
