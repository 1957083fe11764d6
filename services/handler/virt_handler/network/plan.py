"""What a pod's network namespace must hold for its guest. Pure; called by machines/plan.py, done by execute.py.

The guest has the same private address in every pod and stands behind the pod's address (masquerade): what arrives on
the pod's card is translated to the guest, what the guest sends leaves with the pod's address. Addresses and names are
KubeVirt's, which tools and guests' manifests know.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Interface

from virt_core.api.labels import LAUNCHER_UID

POD_LINK = "eth0"  # what CNI plugins call a pod's card
BRIDGE = "k6t-eth0"
TAP = "tap0"
ROUTER = IPv4Interface("10.0.2.1/24")
GUEST = IPv4Interface("10.0.2.2/24")
# A bridge without an address of its own takes its ports' lowest, and changes it with them: guests would lose their
# router for as long as their ARP cache lives.
BRIDGE_MAC = "02:00:00:00:00:00"


@dataclass(frozen=True, slots=True)
class PodNetwork:
    """What was found in the namespace."""

    mtu: int
    """Of the pod's card, in bytes."""
    addresses: tuple[str, ...]
    """IPv4 addresses of the pod's card, first the one that Kubernetes knows."""


@dataclass(frozen=True, slots=True)
class NetworkPlan:
    """What must be there."""

    bridge: str
    bridge_mac: str
    router: IPv4Interface
    tap: str
    owner: int
    """User and group that may attach to the tap device."""
    mtu: int
    ruleset: str
    """For ``nft -f``: replaces our table at once; connections in progress keep their translation."""


def network_plan(pod: PodNetwork) -> NetworkPlan:
    """The plan for one masqueraded interface."""
    return NetworkPlan(BRIDGE, BRIDGE_MAC, ROUTER, TAP, LAUNCHER_UID, pod.mtu, _ruleset())


def _ruleset() -> str:
    # The first two lines make the rest idempotent: adding a table that exists changes nothing, so deleting never fails.
    return f"""\
table ip kubevirt
delete table ip kubevirt
table ip kubevirt {{
  chain prerouting {{
    type nat hook prerouting priority dstnat; policy accept;
    iifname "{POD_LINK}" dnat to {GUEST.ip}
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr {GUEST.ip} oifname "{POD_LINK}" masquerade
  }}
  chain forward {{
    type filter hook forward priority filter; policy accept;
    iifname "{BRIDGE}" ip saddr != {GUEST.ip} drop comment "no forged senders"
  }}
}}
"""
