"""What virt-api is told by its environment. Read once by app.py; an unusable value ends the process with its name."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from virt_core.release import RELEASE
from virt_core.rpc import PORT


class BadSetting(ValueError):
    """A variable of the environment cannot be used: whoever wrote the pod's template must change it."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings.

    Attributes:
        namespace: where the suite is installed.
        port: of the HTTPS server; 0 takes a free one (tests).
        handler_port: of virt-handler's gRPC server in its pod.
        rpc_port: of the gRPC server that tells virt-operator who this is.
        certificates: folder with tls.crt, tls.key and ca.crt.
        drain: seconds to go on serving after SIGTERM, until no Service sends new requests here.
        release: of the suite, for example "0.1.0".
    """

    namespace: str = "kubevirt"
    port: int = 8443
    handler_port: int = PORT
    rpc_port: int = PORT
    certificates: Path = Path("/etc/virt/certificates")
    drain: float = 5.0
    release: str = RELEASE

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Settings:
        """POD_NAMESPACE comes from the pod's template; the VIRT_* variables are for tests and runs by hand.

        No name ends with _PORT: for the Service virt-api the kubelet itself sets VIRT_API_PORT in every pod.

        Raises:
            BadSetting: naming the variable.
        """
        default = cls()
        return cls(
            namespace=environment.get("POD_NAMESPACE") or default.namespace,
            port=_port(environment, "VIRT_API_LISTENS_ON", default.port),
            handler_port=_port(environment, "VIRT_HANDLER_LISTENS_ON", default.handler_port),
            rpc_port=_port(environment, "VIRT_API_RPC_LISTENS_ON", default.rpc_port),
            certificates=Path(environment.get("VIRT_API_CERTIFICATES") or default.certificates),
            drain=_seconds(environment, "VIRT_API_DRAIN_SECONDS", default.drain),
        )


def _port(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name) or str(default)
    if not text.isascii() or not text.isdecimal() or int(text) > 65535:
        raise BadSetting(f"{name}: {text!r} is not allowed, use a port from 0 to 65535")
    return int(text)


def _seconds(environment: Mapping[str, str], name: str, default: float) -> float:
    text = environment.get(name) or str(default)
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 60:
        raise BadSetting(f"{name}: {text!r} is not allowed, use seconds from 0 to 60")
    return seconds
