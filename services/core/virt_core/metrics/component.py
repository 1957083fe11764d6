"""What every component shows of itself: release, whether it is ready, whether it leads. Pure; called by the services'
metrics modules.
"""

from __future__ import annotations

import platform

from prometheus_client.metrics_core import Metric

from virt_core.conventions import components
from virt_core.metrics.families import gauge
from virt_core.release import RELEASE

_READY = {
    components.API: "Indication for a virt-api server that is ready to serve requests.",
    components.CONTROLLER: "Indication for a virt-controller that is ready to take the lead.",
    components.HANDLER: "Indication for a virt-handler that is ready to serve requests.",
    components.OPERATOR: "Indication for a virt-operator that is ready to take the lead.",
}


def component(name: str, *, ready: bool, leading: bool | None = None, release: str = RELEASE) -> list[Metric]:
    """Of the component `name`, e.g. "virt-api". `leading` is None for one without a leader."""
    prefix = f"kubevirt_{name.replace('-', '_')}"
    # KubeVirt's label for the compiler's release is what the version document shows, too.
    version = {"goversion": f"python{platform.python_version()}", "kubeversion": f"v{release}"}
    shown = [
        gauge("kubevirt_info", "Version information.", [(version, 1)]),
        gauge(f"{prefix}_ready_status", _READY[name], [({}, ready)]),
    ]
    if leading is not None:
        shown.append(gauge(f"{prefix}_leading_status", f"Indication for an operating {name}.", [({}, leading)]))
    return shown
