"""The settings of an installation, from the operator's image and the KubeVirt object. Used by all builders.

The operator sends them as JSON to the Job that prints a release's strategy. That release may be older or newer: default
values are not sent, and a release refuses unknown settings by name.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
from virt_core.conventions import images


class Placement(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, forbid_unknown_fields=True):
    """Where pods may run: spec.infra.nodePlacement or spec.workloads.nodePlacement, as Kubernetes has them."""

    node_selector: dict[str, str] = {}
    affinity: dict[str, Any] = {}
    tolerations: list[dict[str, Any]] = []


class InstallSettings(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Equal settings give byte-identical objects."""

    namespace: str
    """The suite's and the operator's namespace."""

    registry: str
    """The registry of the images, without a trailing slash, for example "registry.example:5000/kubevirt"."""

    tag: str
    """Tag of all images of the suite; KubeVirt calls it the version."""

    pull_policy: str = images.IF_NOT_PRESENT
    """One of images.PULL_POLICIES."""

    pull_secrets: list[str] = []
    """Names of Secrets with which the kubelet pulls the suite's images."""

    replicas: int = 2
    """Of virt-api and virt-controller each."""

    infra: Placement = Placement()
    """Of virt-api and virt-controller."""

    workloads: Placement = Placement()
    """Of virt-handler."""

    digests: dict[str, str] = {}
    """Digest by image, for example "virt-api". An image that has one is pulled by it, and the tag is only a name."""

    def image(self, component: str) -> str:
        """Full name of the image of `component`, for example "virt-api"."""
        prefix = f"{self.registry}/" if self.registry else ""
        digest = self.digests.get(component)
        return f"{prefix}{component}:{self.tag}" + (f"@{digest}" if digest else "")

    def to_json(self) -> str:
        """The same text for equal values, without default values."""
        bare = msgspec.to_builtins(InstallSettings("", "", ""))
        changed = {key: value for key, value in msgspec.to_builtins(self).items() if value != bare[key]}
        return msgspec.json.encode(changed, order="deterministic").decode()

    @classmethod
    def from_json(cls, text: str) -> InstallSettings:
        """Raises msgspec.ValidationError for an unknown setting or a wrong type."""
        return msgspec.json.decode(text, type=cls)

    @property
    def deployment_id(self) -> str:
        """The value of status.targetDeploymentID for these settings: 40 hexadecimal digits, as in KubeVirt."""
        return hashlib.sha1(self.to_json().encode(), usedforsecurity=False).hexdigest()
