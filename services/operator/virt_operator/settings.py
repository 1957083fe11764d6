"""Settings of virt-operator. Read once by __main__, passed on by app.py."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from virt_core.conventions import component_pod, components, environment, images
from virt_core.release import RELEASE
from virt_core.settings import BadSetting, Environment


@dataclass(frozen=True, slots=True)
class Settings:
    """How this process runs, and what it was installed from."""

    namespace: str
    """The suite's namespace."""

    pod_name: str
    """This replica's name in the Lease and in events."""

    registry: str
    """Where the operator's own image came from, the default for the components' images."""

    tag: str
    """Tag of the operator's own image, likewise."""

    release: str
    """The release that this operator was built as."""

    digests: Mapping[str, str] = field(default_factory=dict)
    """Digest by image of this release, if the operator's manifest names them."""

    certificates: Path = Path(component_pod.CERTIFICATES)
    """Folder in memory for this replica's own key, leaf and bundle."""

    rpc_port: int = component_pod.RPC_PORT
    """Port of the gRPC server with the admin API."""

    health_port: int = component_pod.HEALTH_PORT
    """Port of the readiness probe."""

    metrics_port: int = component_pod.METRICS_PORT
    """Port of the HTTPS server for Prometheus."""

    https_port: int = component_pod.OPERATOR_WEBHOOK_PORT
    """Port of the HTTPS server with the webhook for KubeVirt objects."""

    drain: float = 5.0
    """Seconds to serve after SIGTERM, until no Service sends new requests."""

    @classmethod
    def from_environment(cls, variables: Mapping[str, str] = os.environ) -> Settings:
        """Raises BadSetting naming the variable."""
        read = Environment(variables)
        registry, tag = parse_image(read.text(environment.OPERATOR_IMAGE))
        return cls(
            namespace=read.text(environment.POD_NAMESPACE),
            pod_name=read.text(environment.POD_NAME),
            registry=registry,
            tag=tag or RELEASE,
            release=RELEASE,
            digests=_digests(read),
            certificates=read.path(environment.CERTIFICATES, component_pod.CERTIFICATES),
            rpc_port=read.port(environment.RPC_LISTENS_ON, component_pod.RPC_PORT),
            health_port=read.port(environment.HEALTH_LISTENS_ON, component_pod.HEALTH_PORT),
            metrics_port=read.port(environment.METRICS_LISTENS_ON, component_pod.METRICS_PORT),
            https_port=read.port(environment.HTTPS_LISTENS_ON, component_pod.OPERATOR_WEBHOOK_PORT),
            drain=read.seconds(environment.DRAIN_SECONDS, 5.0),
        )


def _digests(read: Environment) -> dict[str, str]:
    try:
        return images.read_digests(read.names(environment.IMAGE_DIGESTS))
    except ValueError as error:
        raise BadSetting(environment.IMAGE_DIGESTS, str(error), images.DIGESTS_FORM) from None


def parse_image(image: str) -> tuple[str, str]:
    """Registry with path, and tag, of "host:port/path/virt-operator:tag@digest"; "" for a tag that is absent.

    Raises:
        BadSetting: it is the image of something else.
    """
    name, _, _ = image.partition("@")
    registry, _, last = name.rpartition("/")
    base, _, tag = last.partition(":")
    if base != components.OPERATOR:
        raise BadSetting(environment.OPERATOR_IMAGE, image, f"[registry/]{components.OPERATOR}[:tag][@digest]")
    return registry, tag
