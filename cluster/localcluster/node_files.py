"""Configuration of a node's programs: containerd, CNI, kubelet and kube-proxy.

Pure except write(). Paths are those inside the node. JSON is used for YAML files.
"""

from __future__ import annotations

import json

from localcluster.settings import (
    CGROUP,
    CLUSTER_DOMAIN,
    HOST_ADDRESS,
    PAUSE_IMAGE,
    POD_NETWORK,
    Cluster,
    Node,
)

CONTAINERD_SOCKET = "/run/containerd/containerd.sock"
CNI_PLUGINS = "/usr/lib/cni"  # where Debian's containernetworking-plugins puts them


def containerd(cluster: Cluster, node: Node) -> str:
    folder = cluster.node_folder(node)
    return f"""version = 2
[plugins."io.containerd.grpc.v1.cri"]
  restrict_oom_score_adj = true  # else runc fails where root lacks CAP_SYS_RESOURCE
  sandbox_image = "{PAUSE_IMAGE}"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{CNI_PLUGINS}"
    conf_dir = "{folder}/cni"
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "{folder}/registries"
"""


def registry_hosts(cluster: Cluster) -> str:
    """containerd's configuration of the local registry: plain HTTP."""
    return f'server = "http://{cluster.registry}"\n[host."http://{cluster.registry}"]\n'


def cni(node: Node) -> dict[str, object]:
    """Pods on a bridge. Allocated addresses are stored in /run, so that the death of a node frees them."""
    ipam = {
        "type": "host-local",
        "dataDir": "/run/cni/networks",
        "ranges": [[{"subnet": node.pod_network}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    bridge = {"type": "bridge", "bridge": "cni0", "isGateway": True, "hairpinMode": True, "ipam": ipam}
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}}
    return {"cniVersion": "0.4.0", "name": "pods", "plugins": [bridge, portmap]}


def kubelet(cluster: Cluster, node: Node) -> dict[str, object]:
    pki = cluster.pki
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{CGROUP}/{node.name}",
        "failSwapOn": False,
        "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": f"{pki}/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": f"{pki}/{node.name}.crt",
        "tlsPrivateKeyFile": f"{pki}/{node.name}.key",
        "clusterDNS": [HOST_ADDRESS],
        "clusterDomain": CLUSTER_DOMAIN,
        "resolvConf": f"{cluster.node_folder(node)}/resolv.conf",
        "maxPods": 110,
        "serializeImagePulls": False,
        # The lease of 8 s is renewed every 2 s. A dead node becomes NotReady after 12 s.
        "nodeLeaseDurationSeconds": 8,
        "nodeStatusUpdateFrequency": "2s",
        "nodeStatusReportFrequency": "30s",
        "syncFrequency": "10s",
        # Tests kill the same container again and again; the usual back-off would grow to five minutes.
        "featureGates": {"KubeletCrashLoopBackOffMax": True},
        "crashLoopBackOff": {"maxContainerRestartPeriod": "2s"},
        # The machine's disk is not ours to judge: neither collect images nor evict pods because others fill it.
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
    }


def commands(cluster: Cluster, node: Node, kube: str) -> dict[str, list[str]]:
    """The programs that PID 1 of the node keeps running, in this order."""
    folder = cluster.node_folder(node)
    return {
        "containerd": ["containerd", "--config", f"{folder}/containerd.toml"],
        "kube-proxy": [
            *(kube, "kube-proxy"),
            f"--kubeconfig={cluster.pki}/proxy.conf",
            f"--hostname-override={node.name}",
            f"--cluster-cidr={POD_NETWORK}",
            "--conntrack-max-per-core=0",  # the machine's limits stay as they are
            "--conntrack-tcp-timeout-established=0",
            "--conntrack-tcp-timeout-close-wait=0",
        ],
        "kubelet": [
            *(kube, "kubelet"),
            f"--config={folder}/kubelet.json",
            f"--kubeconfig={cluster.pki}/{node.name}.conf",
            f"--hostname-override={node.name}",
            f"--node-ip={node.address}",
        ],
    }


def write(cluster: Cluster, node: Node) -> None:
    """Write all of it into the node's folder."""
    folder = cluster.node_folder(node)
    registries = folder / "registries" / cluster.registry
    for path in (folder / "cni", registries):
        path.mkdir(parents=True, exist_ok=True)
    (folder / "containerd.toml").write_text(containerd(cluster, node))
    (registries / "hosts.toml").write_text(registry_hosts(cluster))
    (folder / "cni" / "10-pods.conflist").write_text(json.dumps(cni(node)))
    (folder / "kubelet.json").write_text(json.dumps(kubelet(cluster, node), indent=1))
    (folder / "resolv.conf").write_text(f"nameserver {HOST_ADDRESS}\n")
