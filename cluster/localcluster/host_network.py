"""The host's side of the cluster's network: bridge, forwarding, masquerading to the outside, routes to the pods.

The nodes are connected to the bridge. Traffic of nodes and pods that leaves the machine is masqueraded, other traffic
keeps its source. Called by `up` before the nodes, and by `down` to remove it.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

from localcluster.settings import BRIDGE, HOST_ADDRESS, NFT_TABLE, NODE_NETWORK, POD_NETWORK, Cluster, Node

# Without its own MAC a bridge uses the lowest MAC of its ports: the death of a node would change it, and other nodes
# would use the old one until their neighbour entries expire. 02 = locally administered.
BRIDGE_MAC = "02:00:ac:1e:00:01"
FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")


def nft_rules() -> str:
    inside = f"{{ {NODE_NETWORK}, {POD_NETWORK} }}"
    return f"""
table ip {NFT_TABLE}
delete table ip {NFT_TABLE}
table ip {NFT_TABLE} {{
    chain postrouting {{
        type nat hook postrouting priority srcnat; policy accept;
        ip saddr {inside} ip daddr != {inside} oifname != "{BRIDGE}" masquerade
    }}
}}
"""


def link_exists(name: str) -> bool:
    return Path("/sys/class/net", name).exists()


def is_up() -> bool:
    return link_exists(BRIDGE) and FORWARDING.read_text().strip() == "1"


def ensure(cluster: Cluster) -> None:
    """Create bridge, forwarding and masquerading. Records the machine's previous settings for `down`."""
    before = cluster.state / "host-before.json"
    if not before.exists():
        before.write_text(json.dumps({"ip_forward": FORWARDING.read_text().strip()}))
    FORWARDING.write_text("1\n")
    if not link_exists(BRIDGE):
        run("ip", "link", "add", BRIDGE, "address", BRIDGE_MAC, "type", "bridge")
    run("ip", "address", "replace", f"{HOST_ADDRESS}/24", "dev", BRIDGE)
    run("ip", "link", "set", BRIDGE, "up")
    subprocess.run(["nft", "-f", "-"], input=nft_rules(), text=True, check=True)


def connect(node: Node, pid: int) -> None:
    """Connect the bridge to eth0 in the network namespace of pid with a veth pair, and route the node's pods over
    it."""
    if link_exists(node.link):
        run("ip", "link", "delete", node.link)
    peer = ("peer", "name", "eth0", "netns", str(pid))
    run("ip", "link", "add", node.link, "type", "veth", *peer)
    run("ip", "link", "set", node.link, "master", BRIDGE, "up")
    run("ip", "route", "replace", node.pod_network, "via", node.address)


def remove(cluster: Cluster) -> None:
    """Remove everything; the routes disappear with the bridge. Repeatable, and works after a partial setup."""
    for path in Path("/sys/class/net").glob("k8s-node*"):
        subprocess.run(["ip", "link", "delete", path.name], check=False, capture_output=True)
    if link_exists(BRIDGE):
        run("ip", "link", "delete", BRIDGE)
    remove_masquerading()
    before = cluster.state / "host-before.json"
    if before.exists():
        FORWARDING.write_text(json.loads(before.read_text())["ip_forward"])


def remove_masquerading() -> None:
    """Without nft, which `up` installs, there never was any."""
    if shutil.which("nft"):
        subprocess.run(["nft", "delete", "table", "ip", NFT_TABLE], check=False, capture_output=True)


def run(*argv: str) -> None:
    subprocess.run(argv, check=True)
