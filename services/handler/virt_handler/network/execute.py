"""Reads and changes a pod's network namespace. Each function runs inside it, by namespace.run_inside.

Each step checks before it changes: after a crash the handler repeats all steps, and a tap device that a guest uses is
neither recreated nor set down.
"""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
from pathlib import Path
from typing import Any

from virt_handler.network import netlink, remembered
from virt_handler.network.plan import NetworkPlan, PodNetwork, Route, Uplink
from virt_handler.network.rules import BRIDGE, POD_LINK

_NFT_SECONDS = 10.0
# From <linux/if_tun.h>.
_TUNSETIFF, _TUNSETPERSIST, _TUNSETOWNER, _TUNSETGROUP = 0x400454CA, 0x400454CB, 0x400454CC, 0x400454CE
_IFF_TAP, _IFF_MULTI_QUEUE, _IFF_NO_PI, _IFF_VNET_HDR = 0x0002, 0x0100, 0x1000, 0x4000
_IFF_UP = 0x1  # <linux/if.h>
_AF_INET = 2
_SCOPE_GLOBAL = 0
_MAIN_TABLE, _BY_KERNEL = 254, 2  # RT_TABLE_MAIN and RTPROT_KERNEL of <linux/rtnetlink.h>


class NetworkFailed(Exception):
    """The namespace could not be read or changed: retry later, all steps are repeatable."""


def read_pod_network() -> PodNetwork:
    """MTU, addresses and routes of the pod's card, or their original values if the guest has taken them over.

    Raises:
        NetworkFailed: the pod has no such card.
    """
    pyroute2 = netlink.load()
    try:
        with pyroute2.route() as route:
            bridge = _link(route, BRIDGE)
            before = remembered.read(bridge.get("ifalias")) if bridge is not None else None
            if before is not None:
                return before
            link = _link(route, POD_LINK)
            if link is None:
                raise NetworkFailed(f"the pod has no {POD_LINK}")
            found = _addresses(route, link["index"])
            return PodNetwork(
                mtu=int(link.get("mtu")),
                addresses=tuple(str(address.get("address")) for address in found),
                prefix_length=found[0]["prefixlen"] if found else 32,
                mac=str(link.get("address")),
                routes=_routes(route, link["index"]),
            )
    except (pyroute2.error, OSError) as error:
        raise NetworkFailed(f"reading the pod's network: {error}") from error


def prepare(plan: NetworkPlan) -> None:
    """Set up the namespace as in `plan`.

    Raises:
        NetworkFailed: the message names the step.
    """
    pyroute2 = netlink.load()
    try:
        with pyroute2.route() as route:
            bridge = _ensure_bridge(route, plan)
            if plan.uplink is not None:
                _ensure_uplink(route, plan.uplink, bridge)
            _ensure_tap(route, plan, bridge)
        if plan.uplink is None:
            Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    except (pyroute2.error, OSError) as error:
        raise NetworkFailed(f"creating bridge {plan.bridge} and tap device {plan.tap}: {error}") from error
    _load_rules(plan.ruleset)


def _link(route: Any, name: str) -> Any:
    indexes = route.link_lookup(ifname=name)
    return route.get_links(indexes[0])[0] if indexes else None


def _addresses(route: Any, index: int) -> list[Any]:
    return [a for a in route.get_addr(family=_AF_INET, index=index) if a["scope"] == _SCOPE_GLOBAL]


def _routes(route: Any, index: int) -> tuple[Route, ...]:
    """Routes of the main table through that card, without those that the kernel adds for its addresses."""
    found = []
    for entry in route.get_routes(family=_AF_INET, table=_MAIN_TABLE, oif=index):
        if entry["proto"] != _BY_KERNEL:
            destination = f"{entry.get('dst') or '0.0.0.0'}/{entry['dst_len']}"  # noqa: S104 - the default route
            found.append(Route(destination, str(entry.get("gateway") or "")))
    return tuple(found)


def _ensure_bridge(route: Any, plan: NetworkPlan) -> int:
    if _link(route, plan.bridge) is None:
        # A MAC address of its own from the start, and no forwarding delay for new ports.
        route.link("add", ifname=plan.bridge, kind="bridge", address=plan.bridge_mac, br_forward_delay=0)
    link = _link(route, plan.bridge)
    index: int = link["index"]
    has = {address.get("address") for address in route.get_addr(family=_AF_INET, index=index)}
    if str(plan.router.ip) not in has:
        route.addr("add", index=index, address=str(plan.router.ip), prefixlen=plan.router.network.prefixlen)
    _ensure_up(route, link, plan.mtu)
    return index


def _ensure_uplink(route: Any, uplink: Uplink, bridge: int) -> None:
    """Store the original configuration, then change it, so that a handler that crashes in between can be replaced."""
    if remembered.read(route.get_links(bridge)[0].get("ifalias")) is None:
        route.link("set", index=bridge, ifalias=remembered.write(uplink.remembered))
    link = _link(route, POD_LINK)
    index: int = link["index"]
    for address in _addresses(route, index):
        route.addr("del", index=index, address=address.get("address"), prefixlen=address["prefixlen"])
    if link.get("address") != uplink.mac:
        route.link("set", index=index, address=uplink.mac)
    if link.get("master") != bridge:
        route.link("set", index=index, master=bridge)
    # A node's bridge with hairpin ports (e.g. flannel's) sends the guest's broadcasts back. The pod's bridge must not
    # learn the guest's MAC on the uplink from them: it would no longer forward frames to the guest.
    route.brport("set", index=index, learning=0)


def _ensure_tap(route: Any, plan: NetworkPlan, bridge: int) -> None:
    if _link(route, plan.tap) is None:
        _make_tap(plan.tap, plan.owner, queues=plan.queues)
    link = _link(route, plan.tap)
    if link.get("master") != bridge:
        route.link("set", index=link["index"], master=bridge)
    _ensure_up(route, link, plan.mtu)


def _ensure_up(route: Any, link: Any, mtu: int) -> None:
    if link.get("mtu") != mtu:
        route.link("set", index=link["index"], mtu=mtu)
    if not link["flags"] & _IFF_UP:
        route.link("set", index=link["index"], state="up")


def _make_tap(name: str, owner: int, *, queues: bool) -> None:
    """Create a persistent tap device. TUNSETPERSIST is the last step, so that an incomplete device disappears."""
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    try:
        flags = _IFF_TAP | _IFF_NO_PI | _IFF_VNET_HDR | (_IFF_MULTI_QUEUE if queues else 0)
        request = struct.pack("16sH22x", name.encode(), flags)
        fcntl.ioctl(device, _TUNSETIFF, request)
        fcntl.ioctl(device, _TUNSETOWNER, owner)
        fcntl.ioctl(device, _TUNSETGROUP, owner)
        fcntl.ioctl(device, _TUNSETPERSIST, 1)
    finally:
        os.close(device)


def _load_rules(ruleset: str) -> None:
    command = ["nft", "-f", "-"]
    try:
        subprocess.run(command, input=ruleset, text=True, capture_output=True, check=True, timeout=_NFT_SECONDS)
    except subprocess.CalledProcessError as error:
        raise NetworkFailed(f"loading nftables rules: {error}: {error.stderr.strip()}") from error
    except (subprocess.TimeoutExpired, OSError) as error:
        raise NetworkFailed(f"loading nftables rules: {error}") from error
