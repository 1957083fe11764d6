"""What an installation is made from: the operator's own image and the KubeVirt object. Read by all builders."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass

COMPONENTS = ("virt-api", "virt-controller", "virt-handler")
PULL_POLICIES = ("Always", "IfNotPresent", "Never")


@dataclass(frozen=True, slots=True)
class InstallSettings:
    """Two equal values give byte-identical objects."""

    namespace: str
    """Where the suite runs, the operator's own namespace."""

    registry: str
    """Where the images are, without a trailing slash, for example "registry.example:5000/kubevirt"."""

    tag: str
    """Tag of all images of the suite; KubeVirt calls it the version."""

    pull_policy: str = "IfNotPresent"
    """One of PULL_POLICIES."""

    replicas: int = 2
    """Of virt-api and virt-controller each."""

    def image(self, component: str) -> str:
        """Full name of the image of `component`, for example "virt-api"."""
        prefix = f"{self.registry}/" if self.registry else ""
        return f"{prefix}{component}:{self.tag}"

    @property
    def deployment_id(self) -> str:
        """Names this configuration in status.targetDeploymentID: 40 hexadecimal digits, as in KubeVirt."""
        content = "".join(f"{key}={value};" for key, value in sorted(asdict(self).items()))
        return hashlib.sha1(content.encode(), usedforsecurity=False).hexdigest()
