"""Settings of virt-controller. Read once by __main__, passed on by app.py."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from virt_core.conventions import component_pod, environment, images
from virt_core.settings import Environment


@dataclass(frozen=True, slots=True)
class Settings:
    """How this process runs."""

    namespace: str
    """The suite's namespace, where the Lease and the KubeVirt object are."""

    pod_name: str
    """This replica's name in the Lease and in events."""

    launcher_image: str
    """The image of launcher pods."""

    image_pull_policy: str = images.IF_NOT_PRESENT
    """Of the launcher's containers."""

    image_pull_secrets: tuple[str, ...] = ()
    """Secrets of a launcher pod's namespace that the kubelet pulls with."""

    certificates: Path = Path(component_pod.CERTIFICATES)
    """Folder with key, leaf and bundle."""

    rpc_port: int = component_pod.RPC_PORT
    """Port of the gRPC server, which virt-operator calls for GetInfo."""

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
            launcher_image=read.text(environment.LAUNCHER_IMAGE),
            image_pull_policy=read.choice(
                environment.IMAGE_PULL_POLICY, images.PULL_POLICIES, default=images.IF_NOT_PRESENT
            ),
            image_pull_secrets=read.names(environment.IMAGE_PULL_SECRETS),
            certificates=read.path(environment.CERTIFICATES, component_pod.CERTIFICATES),
            rpc_port=read.port(environment.RPC_LISTENS_ON, component_pod.RPC_PORT),
            health_port=read.port(environment.HEALTH_LISTENS_ON, component_pod.HEALTH_PORT),
            metrics_port=read.port(environment.METRICS_LISTENS_ON, component_pod.METRICS_PORT),
        )
