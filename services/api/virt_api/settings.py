"""Settings of virt-api. Read once by __main__, passed on by app.py."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from virt_core.conventions import component_pod, environment
from virt_core.release import RELEASE
from virt_core.settings import Environment


@dataclass(frozen=True, slots=True)
class Settings:
    """How this process runs."""

    namespace: str
    """The suite's namespace, where handlers and the KubeVirt object are."""

    https_port: int = component_pod.API_PORT
    """Port of the HTTPS server, which kube-apiserver calls."""

    handler_port: int = component_pod.RPC_PORT
    """RPC port of handlers in their pods."""

    certificates: Path = Path(component_pod.CERTIFICATES)
    """Folder with key, leaf and bundle."""

    rpc_port: int = component_pod.RPC_PORT
    """Port of the gRPC server, which virt-operator calls for GetInfo."""

    drain: float = 5.0
    """Seconds to serve after SIGTERM, until no Service sends new requests."""

    release: str = RELEASE
    """The release that this process was built as."""

    @classmethod
    def from_environment(cls, variables: Mapping[str, str] = os.environ) -> Settings:
        """Raises BadSetting naming the variable."""
        read = Environment(variables)
        return cls(
            namespace=read.text(environment.POD_NAMESPACE),
            https_port=read.port(environment.HTTPS_LISTENS_ON, component_pod.API_PORT),
            handler_port=read.port(environment.HANDLER_LISTENS_ON, component_pod.RPC_PORT),
            certificates=read.path(environment.CERTIFICATES, component_pod.CERTIFICATES),
            rpc_port=read.port(environment.RPC_LISTENS_ON, component_pod.RPC_PORT),
            drain=read.seconds(environment.DRAIN_SECONDS, 5.0),
        )
