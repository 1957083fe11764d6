"""What a pod's network namespace must hold for its guest. Pure; called by machines/plan.py, done by execute.py.

Masquerade: the guest has the same private address in every pod and stands behind the pod's address: what arrives on
the pod's card is translated to the guest, what the guest sends leaves with the pod's address. Bridge: the guest has
the pod's own address, which is taken off the pod's card. Addresses and names are KubeVirt's, which tools and guests'
manifests know.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv4Network

from virt_core.conventions.labels import LAUNCHER_UID
from virt_core.vmi.accepted import AcceptedSpec
from virt_core.vmi.spec.devices import Port
from virt_core.vmi.spec.effective import network_cidr

POD_LINK = "eth0"  # what CNI plugins call a pod's card
BRIDGE = "k6t-eth0"
TAP = "tap0"
# A bridge without an address of its own takes its ports' lowest, and changes it with them: guests would lose their
# router for as long as their ARP cache lives.
BRIDGE_MAC = "02:00:00:00:00:00"
# Of the bridge of a bridged guest, so that DHCP can be answered on it; link-local, as KubeVirt has it.
BRIDGED_ADDRESS = IPv4Interface("169.254.75.10/32")


@dataclass(frozen=True, slots=True)
class Route:
    """A route of the pod. `via` is empty for what is on the link."""

    destination: str
    """A network, "0.0.0.0/0" for all."""
    via: str = ""


@dataclass(frozen=True, slots=True)
class PodNetwork:
    """What was found in the namespace, or what had been found before the pod's address was taken off for a guest."""

    mtu: int
    """Of the pod's card, in bytes."""
    addresses: tuple[str, ...]
    """IPv4 addresses of the pod's card, first the one that Kubernetes knows."""
    prefix_length: int = 32
    """Of the first address."""
    mac: str = ""
    """Of the pod's card."""
    routes: tuple[Route, ...] = ()


@dataclass(frozen=True, slots=True)
class Uplink:
    """The pod's card as a port of the bridge, its address being the guest's."""

    remembered: PodNetwork
    """Written on the bridge before anything is changed, for whoever comes after this process."""
    mac: str
    """The card's from then on: its own goes to the guest."""


@dataclass(frozen=True, slots=True)
class NetworkPlan:
    """What must be there."""

    bridge: str
    bridge_mac: str
    router: IPv4Interface
    """The bridge's address."""
    tap: str
    owner: int
    """User and group that may attach to the tap device."""
    queues: bool
    """Whether the tap device has several."""
    mtu: int
    ruleset: str
    """For ``nft -f``: replaces our table at once; connections in progress keep their translation."""
    uplink: Uplink | None = None


def network_plan(pod: PodNetwork, spec: AcceptedSpec, *, queues: bool) -> NetworkPlan | None:
    """The plan for the guest's one interface; None without one."""
    if not spec.interfaces:
        return None
    interface = spec.interfaces[0]
    if interface.bridge is not None:
        uplink = Uplink(pod, other_mac(pod.mac))
        return NetworkPlan(
            BRIDGE, BRIDGE_MAC, BRIDGED_ADDRESS, TAP, LAUNCHER_UID, queues, pod.mtu, _no_ruleset(), uplink
        )
    router, guest = masqueraded(spec)
    ruleset = _ruleset(guest, interface.ports)
    return NetworkPlan(BRIDGE, BRIDGE_MAC, router, TAP, LAUNCHER_UID, queues, pod.mtu, ruleset)


def masqueraded(spec: AcceptedSpec) -> tuple[IPv4Interface, IPv4Interface]:
    """Router and guest of the network between guest and pod: its first two addresses."""
    network = IPv4Network(network_cidr(spec.networks[0]), strict=False)
    first = int(network.network_address) + 1
    return IPv4Interface((first, network.prefixlen)), IPv4Interface((first + 1, network.prefixlen))


def other_mac(mac: str) -> str:
    """A card's new address, made from its old one."""
    return made_mac(f"uplink {mac}")


def made_mac(text: str) -> str:
    """An address that is always the same for the same text: locally administered, unicast."""
    digest = hashlib.sha256(text.encode()).digest()
    return ":".join(f"{octet:02x}" for octet in (0x02, *digest[:5]))


def _no_ruleset() -> str:
    return "table ip kubevirt\ndelete table ip kubevirt\n"


def _ruleset(guest: IPv4Interface, ports: Iterable[Port]) -> str:
    # The first two lines make the rest idempotent: adding a table that exists changes nothing, so deleting never fails.
    return f"""\
table ip kubevirt
delete table ip kubevirt
table ip kubevirt {{
  chain prerouting {{
    type nat hook prerouting priority dstnat; policy accept;
{_inbound(guest, tuple(ports))}
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


def _inbound(guest: IPv4Interface, ports: tuple[Port, ...]) -> str:
    """All that arrives is for the guest, or what arrives on the ports that are named."""
    if not ports:
        return f'    iifname "{POD_LINK}" dnat to {guest.ip}'
    return "\n".join(
        f'    iifname "{POD_LINK}" {(port.protocol or "TCP").lower()} dport {port.port} dnat to {guest.ip}'
        for port in ports
    )
