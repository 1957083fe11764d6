"""The guest's probes as probes of the launcher's container. Pure; called by pod/template.py.

A guest answers at its pod's address, so TCP and HTTP probes are copied. For probes inside the guest, the kubelet runs a
program of the launcher's image, which uses the guest agent.
"""

from __future__ import annotations

from typing import Any

from virt_core.conventions.probe import EXEC, PING, PROGRAM, TIMEOUT
from virt_core.vmi.spec.domain import Probe, VmiSpec

_STARTING = 2  # seconds for the start of the program, in addition to the user's timeout


def probes(spec: VmiSpec) -> dict[str, Any]:
    """The probe fields of the launcher's container."""
    named = (("livenessProbe", spec.liveness_probe), ("readinessProbe", spec.readiness_probe))
    return {name: _probe(probe) for name, probe in named if probe is not None}


def _probe(probe: Probe) -> dict[str, Any]:
    timeout = probe.timeout_seconds or 1  # Kubernetes' default
    numbers = {
        "initialDelaySeconds": probe.initial_delay_seconds,
        "periodSeconds": probe.period_seconds,
        "successThreshold": probe.success_threshold,
        "failureThreshold": probe.failure_threshold,
    }
    result: dict[str, Any] = {"timeoutSeconds": timeout, **{name: value for name, value in numbers.items() if value}}
    if probe.http_get is not None:
        return {**result, "httpGet": probe.http_get}
    if probe.tcp_socket is not None:
        return {**result, "tcpSocket": probe.tcp_socket}
    if probe.exec is not None:
        command = [PROGRAM, EXEC, TIMEOUT, str(timeout), "--", *probe.exec.get("command", [])]
    else:
        command = [PROGRAM, PING, TIMEOUT, str(timeout)]
    return {**result, "timeoutSeconds": timeout + _STARTING, "exec": {"command": command}}
