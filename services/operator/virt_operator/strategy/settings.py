"""What an installation is made from: the operator's own image and the KubeVirt object. Read by all builders.

It travels as JSON from the operator to the Job that prints a release's strategy, and that release may be older or
newer: values left at their defaults are not sent, and a setting that a release does not know is refused by it by name.
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
    """Two equal values give byte-identical objects."""

    namespace: str
    """Where the suite runs, the operator's own namespace."""

    registry: str
    """Where the images are, without a trailing slash, for example "registry.example:5000/kubevirt"."""

    tag: str
    """Tag of all images of the suite; KubeVirt calls it the version."""

    pull_policy: str = images.IF_NOT_PRESENT
    """One of images.PULL_POLICIES."""

    pull_secrets: list[str] = []
    """Names of Secrets that the kubelet pulls the suite's images with."""

    replicas: int = 2
    """Of virt-api and virt-controller each."""

    infra: Placement = Placement()
    """Of virt-api and virt-controller."""

    workloads: Placement = Placement()
    """Of virt-handler."""

    def image(self, component: str) -> str:
        """Full name of the image of `component`, for example "virt-api"."""
        prefix = f"{self.registry}/" if self.registry else ""
        return f"{prefix}{component}:{self.tag}"

    def to_json(self) -> str:
        """The same text for equal values; what is as in a bare installation is left out."""
        bare = msgspec.to_builtins(InstallSettings("", "", ""))
        changed = {key: value for key, value in msgspec.to_builtins(self).items() if value != bare[key]}
        return msgspec.json.encode(changed, order="deterministic").decode()

    @classmethod
    def from_json(cls, text: str) -> InstallSettings:
        """Raises msgspec.ValidationError naming a setting that this release does not know, or a wrong type."""
        return msgspec.json.decode(text, type=cls)

    @property
    def deployment_id(self) -> str:
        """Names this configuration in status.targetDeploymentID: 40 hexadecimal digits, as in KubeVirt."""
        return hashlib.sha1(self.to_json().encode(), usedforsecurity=False).hexdigest()
