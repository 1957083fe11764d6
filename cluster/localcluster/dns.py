"""Cluster DNS: CoreDNS as a process of the host. The kubelets configure it as name server of every pod. Called by
`up`."""

from __future__ import annotations

import secrets
import socket
import struct
from pathlib import Path

from localcluster import processes, waiting
from localcluster.progress import say
from localcluster.settings import CLUSTER_DOMAIN, HOST_ADDRESS, Cluster

PART = "coredns"
READY_SECONDS = 30
TIMEOUT_SECONDS = 1.0
RESOLV_CONF = Path("/etc/resolv.conf")


def corefile(cluster: Cluster, has_upstream: bool) -> str:
    """has_upstream: whether the host has a name server. Without one, only names of the cluster can be resolved."""
    upstream = f"loop\n    forward . {RESOLV_CONF}" if has_upstream else ""
    return f""".:53 {{
    bind {HOST_ADDRESS}
    errors
    ready {HOST_ADDRESS}:8181
    health {HOST_ADDRESS}:8080
    cache 5
    kubernetes {CLUSTER_DOMAIN} in-addr.arpa ip6.arpa {{
        kubeconfig {cluster.pki}/admin.conf
        fallthrough in-addr.arpa ip6.arpa
        ttl 5
    }}
    {upstream}
}}
"""


def question(name: str, identifier: int) -> bytes:
    """A DNS query for the IPv4 address of a name (RFC 1035, section 4)."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack(">6H", identifier, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">2H", 1, 1)


def answers(name: str = f"kubernetes.default.svc.{CLUSTER_DOMAIN}") -> bool:
    """Whether the cluster's DNS server knows an address for the name."""
    identifier = secrets.randbelow(1 << 16)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.settimeout(TIMEOUT_SECONDS)
        try:
            udp.connect((HOST_ADDRESS, 53))
            udp.send(question(name, identifier))
            answer = udp.recv(4096)
        except OSError:
            return False
    got, flags, _, records = struct.unpack(">4H", answer[:8])
    return bool(got == identifier and flags & 0xF == 0 and records > 0)


def is_up(cluster: Cluster) -> bool:
    return processes.alive(cluster, PART) is not None and answers()


def start(cluster: Cluster, kube: Path) -> None:
    if processes.alive(cluster, PART):
        return
    say("starting coredns")
    has_upstream = RESOLV_CONF.exists() and "nameserver" in RESOLV_CONF.read_text()
    path = cluster.state / "Corefile"
    path.write_text(corefile(cluster, has_upstream))
    processes.start(cluster, PART, [str(kube), "coredns", "-conf", str(path)])


def wait(cluster: Cluster) -> None:
    waiting.until(PART, answers, READY_SECONDS, cluster.log(PART), lambda: processes.alive(cluster, PART))
