"""Settings of virt-controller, from environment variables that the operator writes into the Deployment."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path

from virt_core.rpc import PORT


@dataclass(frozen=True, slots=True)
class Settings:
    """How this process runs."""

    namespace: str
    """The suite's namespace, where the Lease and the KubeVirt object are (POD_NAMESPACE)."""

    pod_name: str
    """This replica's name in the Lease (POD_NAME)."""

    launcher_image: str
    """The image of launcher pods (VIRT_LAUNCHER_IMAGE)."""

    image_pull_policy: str
    """Of the launcher's containers (IMAGE_PULL_POLICY)."""

    image_pull_secrets: tuple[str, ...] = ()
    """Secrets of a launcher pod's namespace that the kubelet pulls with (IMAGE_PULL_SECRETS, comma-separated)."""

    health_port: int = 8080
    """Port of the readiness probe (HEALTH_PORT)."""

    certificates: Path = Path("/etc/virt/certificates")
    """Folder with tls.crt, tls.key and ca.crt (VIRT_CERTIFICATES)."""

    rpc_port: int = PORT
    """Port of the gRPC server, which virt-operator calls for GetInfo (RPC_LISTENS_ON)."""

    @classmethod
    def from_environment(cls) -> Settings:
        """Read the environment. Raises KeyError naming the variable that is missing."""
        return cls(
            namespace=os.environ.get("POD_NAMESPACE", "kubevirt"),
            pod_name=os.environ.get("POD_NAME", socket.gethostname()),
            launcher_image=os.environ["VIRT_LAUNCHER_IMAGE"],
            image_pull_policy=os.environ.get("IMAGE_PULL_POLICY", "IfNotPresent"),
            image_pull_secrets=tuple(filter(None, os.environ.get("IMAGE_PULL_SECRETS", "").split(","))),
            health_port=int(os.environ.get("HEALTH_PORT", "8080")),
            certificates=Path(os.environ.get("VIRT_CERTIFICATES", "/etc/virt/certificates")),
            rpc_port=int(os.environ.get("RPC_LISTENS_ON", PORT)),
        )
