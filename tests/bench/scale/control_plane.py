"""A control plane of the bench's own: etcd, API server, scheduler, and the controller manager while nodes fail.

Plain processes on the loopback address, in a folder that is removed first. It can run beside the local cluster, whose
binary it uses.

Every client has a certificate of its own in system:masters: the audit log tells them apart, and no limit of the API
server slows one down.
"""

from __future__ import annotations

import json
import shutil
import ssl
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from localcluster import control_plane, kube_binary, pki, waiting
from localcluster.settings import Cluster
from virt_core.conventions import components

from tests.bench.scale.parts import Parts

FOLDER = Path("/tmp/kubevirt-scale")
POLICIES = "admissionregistration.k8s.io", "v1beta1"
"""Group and version of mutating admission policies, which an API server of today serves only if it is told so."""

ADDRESS = "127.0.0.1"
_API_PORT, _ETCD_PORT, _ETCD_PEER_PORT, _SCHEDULER_PORT, _MANAGER_PORT = range(26443, 26448)
_READY_SECONDS = 90.0
SCHEDULER, MANAGER, KWOK, BENCH = "kube-scheduler", "kube-controller-manager", "kwok", "bench"
USERS = (BENCH, SCHEDULER, MANAGER, KWOK, components.CONTROLLER, components.HANDLER)


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """Its folder, and the processes that run."""

    folder: Path
    parts: Parts
    kube: Path

    @property
    def audit_log(self) -> Path:
        """One line for each request of virt-controller and of what plays virt-handler."""
        return self.folder / "audit.json"

    def kubeconfig(self, user: str) -> Path:
        """Of one of USERS."""
        return self.folder / f"{user}.conf"

    def start_manager(self) -> None:
        """Start the controllers that notice dead nodes and end their pods."""
        self.parts.start(
            MANAGER,
            [
                str(self.kube),
                MANAGER,
                f"--kubeconfig={self.kubeconfig(MANAGER)}",
                "--leader-elect=false",
                f"--secure-port={_MANAGER_PORT}",
                "--controllers=node-lifecycle-controller,taint-eviction-controller,pod-garbage-collector-controller",
                "--kube-api-qps=2000",
                "--kube-api-burst=4000",
                "--node-monitor-period=1s",
                "--node-monitor-grace-period=12s",
            ],
        )


@contextmanager
def running(cluster: Cluster) -> Iterator[ControlPlane]:
    """A new and empty control plane until the end of the block."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    (FOLDER / "pki").mkdir(parents=True, mode=0o700)
    kube = kube_binary.ensure(cluster)
    with Parts.running(FOLDER) as parts:
        plane = ControlPlane(FOLDER, parts, kube)
        _write_files(plane)
        for part in ("etcd", "kube-apiserver"):
            parts.start(part, [str(kube), part, *_flags(plane)[part]])
        waiting.until("kube-apiserver", _is_ready, _READY_SECONDS, parts.log("kube-apiserver"), parts.all_alive)
        parts.start(SCHEDULER, [str(kube), SCHEDULER, *_flags(plane)[SCHEDULER]])
        yield plane


def _flags(plane: ControlPlane) -> dict[str, list[str]]:
    folder = plane.folder / "pki"
    etcd = f"http://{ADDRESS}:{_ETCD_PORT}"
    return {
        "etcd": [
            f"--data-dir={plane.folder}/etcd",
            f"--listen-client-urls={etcd}",
            f"--advertise-client-urls={etcd}",
            f"--listen-peer-urls=http://{ADDRESS}:{_ETCD_PEER_PORT}",
            "--unsafe-no-fsync",
            "--quota-backend-bytes=8000000000",
            "--log-level=warn",
        ],
        "kube-apiserver": [
            f"--etcd-servers={etcd}",
            f"--bind-address={ADDRESS}",
            f"--advertise-address={ADDRESS}",
            "--endpoint-reconciler-type=none",
            f"--secure-port={_API_PORT}",
            f"--tls-cert-file={folder}/apiserver.crt",
            f"--tls-private-key-file={folder}/apiserver.key",
            f"--client-ca-file={folder}/ca.crt",
            f"--service-account-key-file={folder}/sa.key",
            f"--service-account-signing-key-file={folder}/sa.key",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--authorization-mode=RBAC",
            # No controller creates the accounts of namespaces, or removes the taint of a new node.
            "--disable-admission-plugins=ServiceAccount,TaintNodesByCondition",
            "--allow-privileged",
            "--feature-gates=MutatingAdmissionPolicy=true",  # suite.py has one
            f"--runtime-config={'/'.join(POLICIES)}=true",
            "--service-cluster-ip-range=10.97.0.0/16",
            "--default-not-ready-toleration-seconds=5",
            "--default-unreachable-toleration-seconds=5",
            "--max-requests-inflight=2000",
            "--max-mutating-requests-inflight=1000",
            f"--audit-policy-file={plane.folder}/audit-policy.json",
            f"--audit-log-path={plane.audit_log}",
            "--audit-log-maxsize=10000",
        ],
        SCHEDULER: [f"--config={plane.folder}/scheduler.json", f"--secure-port={_SCHEDULER_PORT}"],
    }


def _write_files(plane: ControlPlane) -> None:
    folder = plane.folder / "pki"
    pki.make_authority(folder, "ca", "kubernetes-ca")
    pki.issue(folder, "sa", "unused", None)
    pki.issue(folder, "apiserver", "kube-apiserver", None, dns_names=["localhost"], addresses=[ADDRESS, "10.97.0.1"])
    for user in USERS:
        pki.issue(folder, user, user, "system:masters")
        pki.write_secret(plane.kubeconfig(user), _kubeconfig(folder, user))
    counted = {"level": "Metadata", "users": [components.CONTROLLER, components.HANDLER]}
    policy = {**control_plane.audit_policy(), "rules": [counted, {"level": "None"}]}
    (plane.folder / "audit-policy.json").write_text(json.dumps(policy))
    (plane.folder / "scheduler.json").write_text(json.dumps(_scheduler(plane)))


def _scheduler(plane: ControlPlane) -> dict[str, object]:
    """Without the client's limit of 50 requests a second, and content with a node in twenty."""
    return {
        "apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration",
        "leaderElection": {"leaderElect": False},
        "percentageOfNodesToScore": 5,
        "clientConnection": {"kubeconfig": str(plane.kubeconfig(SCHEDULER)), "qps": 2000, "burst": 4000},
    }


def _kubeconfig(folder: Path, user: str) -> bytes:
    config = json.loads(pki.kubeconfig(folder, user))
    config["clusters"][0]["cluster"]["server"] = f"https://{ADDRESS}:{_API_PORT}"
    return json.dumps(config).encode()


def _is_ready() -> bool:
    folder = FOLDER / "pki"
    context = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    context.load_cert_chain(folder / f"{BENCH}.crt", folder / f"{BENCH}.key")
    try:
        with urllib.request.urlopen(f"https://{ADDRESS}:{_API_PORT}/readyz", timeout=2, context=context) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
