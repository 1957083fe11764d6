"""Settings of virt-operator, from environment variables that its manifest sets."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path

from virt_core.conventions import components
from virt_core.release import RELEASE
from virt_core.rpc import PORT


class BadImage(ValueError):
    """VIRT_OPERATOR_IMAGE is not the image of a virt-operator."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How this process runs, and what it was installed from."""

    namespace: str
    """The suite's namespace (POD_NAMESPACE)."""

    pod_name: str
    """This replica's name in the Lease (POD_NAME)."""

    registry: str
    """Where the operator's own image came from; the components are taken from there unless the KubeVirt object says."""

    tag: str
    """Tag of the operator's own image, likewise."""

    release: str
    """The release that this operator was built as."""

    health_port: int = 8080
    """Where the kubelet asks whether this replica is ready (HEALTH_PORT)."""

    certificates: Path = Path("/etc/virt/certificates")
    """Where this replica keeps its own leaf, in memory (VIRT_OPERATOR_CERTIFICATES)."""

    webhook_port: int = 8444
    """Where the API server asks about KubeVirt objects; 0 takes a free one (VIRT_OPERATOR_WEBHOOK_LISTENS_ON)."""

    drain: float = 5.0
    """Seconds to go on serving after SIGTERM, until no Service sends new requests (VIRT_OPERATOR_DRAIN_SECONDS)."""

    rpc_port: int = PORT
    """Of the admin port (RPC_LISTENS_ON)."""

    @classmethod
    def from_environment(cls) -> Settings:
        """Read the environment. Raises KeyError or BadImage naming the variable."""
        registry, tag = parse_image(os.environ["VIRT_OPERATOR_IMAGE"])
        return cls(
            namespace=os.environ.get("POD_NAMESPACE", "kubevirt"),
            pod_name=os.environ.get("POD_NAME", socket.gethostname()),
            registry=registry,
            tag=tag or RELEASE,
            release=RELEASE,
            health_port=int(os.environ.get("HEALTH_PORT", "8080")),
            certificates=Path(os.environ.get("VIRT_OPERATOR_CERTIFICATES", "/etc/virt/certificates")),
            webhook_port=int(os.environ.get("VIRT_OPERATOR_WEBHOOK_LISTENS_ON", "8444")),
            drain=float(os.environ.get("VIRT_OPERATOR_DRAIN_SECONDS", "5")),
            rpc_port=int(os.environ.get("RPC_LISTENS_ON", PORT)),
        )


def parse_image(image: str) -> tuple[str, str]:
    """Registry with path, and tag, of "host:port/path/virt-operator:tag"; "" for a tag that is absent or a digest."""
    name, _, _ = image.partition("@")
    registry, _, last = name.rpartition("/")
    base, _, tag = last.partition(":")
    if base != components.OPERATOR:
        raise BadImage(f"VIRT_OPERATOR_IMAGE: {image!r} is not of the form [registry/]virt-operator[:tag]")
    return registry, "" if "@" in image else tag
