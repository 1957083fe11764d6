"""virt-api's own metrics, with KubeVirt's names and labels. Pure; called by app.py when somebody asks."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client.metrics_core import Metric
from virt_core.metrics.families import counter, gauge

_OPEN = {
    "console": ("kubevirt_console_active_connections", "Console connections"),
    "vnc": ("kubevirt_vnc_active_connections", "VNC connections"),
    "portforward": ("kubevirt_portforward_active_tunnels", "portforward tunnels"),
}
_LAST = (
    "Virtual Machine Instance last API connection timestamp. Including VNC, console, portforward, SSH and usbredir"
    " connections."
)
_CREATED = "The total number of VMs created by namespace and virt-api pod, since install."
Guest = tuple[str, str]


def families(
    open_streams: Mapping[tuple[str, Guest], int], last: Mapping[Guest, float], created: Mapping[str, int]
) -> list[Metric]:
    """Open streams by subresource and guest, times of connections, and created VirtualMachines by namespace."""
    streams = sorted(open_streams.items())
    return [
        *(
            gauge(
                name,
                f"Amount of active {what}, broken down by namespace and vmi name.",
                [(_labels(guest), count) for (kind, guest), count in streams if kind == subresource],
            )
            for subresource, (name, what) in _OPEN.items()
        ),
        gauge(
            "kubevirt_vmi_last_api_connection_timestamp_seconds",
            _LAST,
            [(_labels(guest), moment) for guest, moment in sorted(last.items())],
        ),
        counter(
            "kubevirt_vm_created_by_pod_total",
            _CREATED,
            [({"namespace": namespace}, count) for namespace, count in sorted(created.items())],
        ),
    ]


def _labels(guest: Guest) -> dict[str, str]:
    return {"namespace": guest[0], "vmi": guest[1]}
