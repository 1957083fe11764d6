"""etcd, API server, controller manager and scheduler as plain processes of the host. Called by `up` and `status`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from localcluster import api_client, processes, waiting
from localcluster.progress import say
from localcluster.settings import API_PORT, HOST_ADDRESS, POD_NETWORK, SERVICE_NETWORK, Cluster

PARTS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
ETCD = "http://127.0.0.1:2379"
READY_SECONDS = 90


def audit_policy() -> dict[str, object]:
    """Log each completed request once, with its user, for benchmarks that count requests."""
    health = {"level": "None", "nonResourceURLs": ["/readyz*", "/livez*", "/healthz*"]}
    return {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [health, {"level": "Metadata"}],
    }


def flags(cluster: Cluster) -> dict[str, list[str]]:
    """The flags of each part. A dead node becomes NotReady after 12 s, its pods are evicted 5 s later."""
    pki, conf = cluster.pki, cluster.pki
    etcd = [
        f"--data-dir={cluster.state}/etcd",
        f"--listen-client-urls={ETCD}",
        f"--advertise-client-urls={ETCD}",
        "--listen-peer-urls=http://127.0.0.1:2380",
        "--unsafe-no-fsync",  # data is lost only if the machine dies, not if the process is killed
        "--log-level=warn",
    ]
    apiserver = [
        f"--etcd-servers={ETCD}",
        f"--advertise-address={HOST_ADDRESS}",
        f"--secure-port={API_PORT}",
        f"--tls-cert-file={pki}/apiserver.crt",
        f"--tls-private-key-file={pki}/apiserver.key",
        f"--client-ca-file={pki}/ca.crt",
        f"--service-account-key-file={pki}/sa.key",
        f"--service-account-signing-key-file={pki}/sa.key",
        "--service-account-issuer=https://kubernetes.default.svc",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged",
        f"--service-cluster-ip-range={SERVICE_NETWORK}",
        f"--requestheader-client-ca-file={pki}/front-proxy-ca.crt",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--proxy-client-cert-file={pki}/front-proxy.crt",
        f"--proxy-client-key-file={pki}/front-proxy.key",
        "--enable-aggregator-routing",  # no kube-proxy on the host: services are reached by their endpoints
        f"--kubelet-client-certificate={pki}/kubelet-client.crt",
        f"--kubelet-client-key={pki}/kubelet-client.key",
        f"--kubelet-certificate-authority={pki}/ca.crt",
        "--kubelet-preferred-address-types=InternalIP",
        "--default-not-ready-toleration-seconds=5",
        "--default-unreachable-toleration-seconds=5",
        f"--audit-policy-file={cluster.state}/audit-policy.json",
        f"--audit-log-path={cluster.audit_log}",
        "--audit-log-maxsize=2000",  # MB; a rotated file would make counts wrong
        "--audit-log-maxbackup=1",
    ]
    controllers = [
        f"--kubeconfig={conf}/controllers.conf",
        f"--service-account-private-key-file={pki}/sa.key",
        f"--root-ca-file={pki}/ca.crt",
        f"--cluster-signing-cert-file={pki}/ca.crt",
        f"--cluster-signing-key-file={pki}/ca.key",
        "--use-service-account-credentials",
        f"--cluster-cidr={POD_NETWORK}",
        "--allocate-node-cidrs=false",  # a node's pod network follows from its number
        "--leader-elect=false",
        "--node-monitor-period=1s",
        "--node-monitor-grace-period=12s",
    ]
    scheduler = [f"--kubeconfig={conf}/scheduler.conf", "--leader-elect=false"]
    return dict(zip(PARTS, (etcd, apiserver, controllers, scheduler), strict=True))


def is_up(cluster: Cluster) -> bool:
    return all_alive(cluster, PARTS) and api_client.is_ready(cluster)


def all_alive(cluster: Cluster, parts: Iterable[str]) -> bool:
    return all(processes.alive(cluster, part) for part in parts)


def start_store(cluster: Cluster, kube: Path) -> None:
    """Start etcd and the API server if they are dead, without waiting until they are ready."""
    (cluster.state / "audit-policy.json").write_text(json.dumps(audit_policy()))
    if not processes.alive(cluster, "etcd"):
        # Its many connections to etcd are restored with growing delays, and /readyz does not check them.
        orphan = processes.alive(cluster, "kube-apiserver")
        processes.kill([orphan] if orphan else [])
    for part in PARTS[:2]:
        start_if_dead(cluster, kube, part)


def finish(cluster: Cluster, kube: Path) -> None:
    """Wait for the API server, then start controller manager and scheduler. Raises PartFailed."""
    part = "kube-apiserver"  # becomes ready after etcd
    is_alive = partial(all_alive, cluster, PARTS[:2])
    waiting.until(part, lambda: api_client.is_ready(cluster), READY_SECONDS, cluster.log(part), is_alive)
    for part in PARTS[2:]:
        start_if_dead(cluster, kube, part)


def start_if_dead(cluster: Cluster, kube: Path, part: str) -> None:
    if not processes.alive(cluster, part):
        say(f"starting {part}")
        processes.start(cluster, part, [str(kube), part, *flags(cluster)[part]])
