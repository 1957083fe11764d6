"""Settings of virt-handler. Read once by __main__, passed on by app.py."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from virt_core.conventions import component_pod, environment
from virt_core.settings import Environment


@dataclass(frozen=True, slots=True)
class Settings:
    """How this process runs. Paths are those of its container."""

    namespace: str
    """The suite's namespace, where the KubeVirt object is."""

    pod_name: str
    """This handler's name in events and in requests for its certificate."""

    node: str
    """The node, as in spec.nodeName."""

    kubelet_pods: Path = Path(component_pod.KUBELET_PODS)
    """The kubelet's folders of pods."""

    device_plugins: Path = Path(component_pod.DEVICE_PLUGINS)
    """The kubelet's folder for device plugins."""

    certificates: Path = Path(component_pod.CERTIFICATES)
    """Folder with this node's key and leaf, in memory."""

    trust: Path = Path(component_pod.TRUST)
    """Folder with the bundle and with how leaves are issued now."""

    rpc_port: int = component_pod.RPC_PORT
    """Port of the gRPC server, which virt-api calls, and virt-operator for GetInfo."""

    health_port: int = component_pod.HEALTH_PORT
    """Port of the readiness probe."""

    metrics_port: int = component_pod.METRICS_PORT
    """Port of the HTTPS server for Prometheus."""

    @classmethod
    def from_environment(cls, variables: Mapping[str, str] = os.environ) -> Settings:
        """Raises BadSetting naming the variable."""
        read = Environment(variables)
        return cls(
            namespace=read.text(environment.POD_NAMESPACE),
            pod_name=read.text(environment.POD_NAME),
            node=read.text(environment.NODE_NAME),
            certificates=read.path(environment.CERTIFICATES, component_pod.CERTIFICATES),
            rpc_port=read.port(environment.RPC_LISTENS_ON, component_pod.RPC_PORT),
            health_port=read.port(environment.HEALTH_LISTENS_ON, component_pod.HEALTH_PORT),
            metrics_port=read.port(environment.METRICS_LISTENS_ON, component_pod.METRICS_PORT),
        )
