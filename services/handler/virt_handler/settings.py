"""Where this handler runs and what it finds there. Read once by __main__, passed on by app.py."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from virt_core.conventions import components
from virt_core.rpc import PORT


class BadSetting(ValueError):
    """An environment variable is missing: the DaemonSet's template is wrong."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of one handler. Paths are those of its container."""

    node: str
    """The node, as in spec.nodeName."""
    instance: str
    """The pod, for events."""
    namespace: str
    """The suite's namespace, in which the KubeVirt object is."""
    pods: Path = Path("/pods")
    """The kubelet's pod folders: its full path would exceed the 107 bytes of a unix socket's address."""
    device_plugins: Path = Path("/var/lib/kubelet/device-plugins")
    """The kubelet's folder for plugins; plugins must use this very path."""
    certificates: Path = Path("/etc/virt/certificates")
    """This node's key and leaf, in memory."""
    trust: Path = Path("/etc/virt/trust")
    """Whom to trust, and how leaves are issued now."""
    rpc_port: int = PORT
    health_port: int = 8080

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Settings:
        """NODE_NAME and POD_NAMESPACE are required, POD_NAME is wanted.

        Raises:
            BadSetting: one is missing.
        """
        for name in ("NODE_NAME", "POD_NAMESPACE"):
            if not environment.get(name):
                raise BadSetting(f"{name}: '' is not allowed, set it by the downward API")
        return cls(
            environment["NODE_NAME"], environment.get("POD_NAME", components.HANDLER), environment["POD_NAMESPACE"]
        )
