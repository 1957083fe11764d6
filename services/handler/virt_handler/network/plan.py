"""Plans a pod's network namespace for its guest. Pure; called by machines/plan.py, executed by execute.py.

Masquerade: the guest has the same private address in every pod, behind NAT. Traffic that arrives on the pod's card goes
to the guest, the guest's traffic leaves with the pod's address. Bridge: the guest has the pod's address, which is
removed from the pod's card. Addresses and names are KubeVirt's, because tools and guests' manifests rely on them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv4Network

from virt_core.conventions.labels import LAUNCHER_UID
from virt_core.vmi.accepted import AcceptedSpec
from virt_core.vmi.spec.effective import network_cidr

from virt_handler.network.rules import BRIDGE, DepartedGuest, IncomingMigration, forwarding, masquerade, none

TAP = "tap0"
# Without a MAC address of its own a bridge uses the lowest MAC of its ports and changes it with them. Guests would lose
# their router until their ARP cache expires.
BRIDGE_MAC = "02:00:00:00:00:00"
# Address of a bridged guest's bridge, so that DHCP requests can be answered on it; link-local, as in KubeVirt.
BRIDGED_ADDRESS = IPv4Interface("169.254.75.10/32")


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


def network_plan(
    pod: PodNetwork, spec: AcceptedSpec, *, queues: bool, moving: IncomingMigration | DepartedGuest | None = None
) -> NetworkPlan | None:
    """The plan for the guest's interface; None without an interface.

    `moving`: the launcher is the target of a migration, the source reaches it, and nobody else does. Or it was the
    source, and the guest is reached through it. A bridged guest does not move.
    """
    if not spec.interfaces:
        return None
    interface = spec.interfaces[0]
    if interface.bridge is not None:
        uplink = Uplink(pod, other_mac(pod.mac))
        return NetworkPlan(BRIDGE, BRIDGE_MAC, BRIDGED_ADDRESS, TAP, LAUNCHER_UID, queues, pod.mtu, none(), uplink)
    router, guest = masqueraded(spec)
    if isinstance(moving, DepartedGuest):
        ruleset = forwarding(moving, interface.ports)
    else:
        ruleset = masquerade(guest, interface.ports, moving)
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
