"""Whether Prometheus has of the suite what docs/monitoring.md says. For test_prometheus.py."""

from __future__ import annotations

from tests.support.documented_metrics import documented
from tests.support.prometheus import Prometheus

TARGETS = {"__name__", "namespace", "service", "pod", "container", "job", "endpoint", "instance", "le"}
"""Labels that Prometheus adds, and the one of a histogram's buckets."""

_OF_SYSTEM = {"os", "workload", "flavor", "instance_type", "preference"}
_OF_AGENT = {f"guest_os_{part}" for part in ("kernel_release", "machine", "arch", "name", "version_id")}
EMPTY = {
    "kubevirt_vm_info": _OF_SYSTEM,
    "kubevirt_vmi_info": _OF_SYSTEM | _OF_AGENT,
    "kubevirt_vm_vnic_info": {"binding_name"},
    "kubevirt_vmi_vnic_info": {"binding_name"},
}
"""Labels without a value, of a guest without annotations, agent and binding plugin."""

UNSEEN = {
    "kubevirt_operator_upgrade_step": "no operation is in progress",
    "kubevirt_operator_upgrade_step_started_timestamp_seconds": "no operation is in progress",
    "kubevirt_vnc_active_connections": "nobody looks at a display",
    "kubevirt_portforward_active_tunnels": "nobody forwards a port",
}
"""What the guest of watched.py has no series of, and why."""


def labels_of(prometheus: Prometheus, series: str) -> set[str]:
    """Of all that has been scraped in the last hour; empty: there was nothing."""
    return set().union(*(sample.labels for sample in prometheus.query(f"last_over_time({series}[1h])")))


def wrong(prometheus: Prometheus, types: dict[str, set[str]]) -> dict[str, str]:
    """By metric what is not as the page says. `types` are those that Prometheus has seen."""
    found = dict[str, str]()
    for name, metric in documented().items():
        labels = labels_of(prometheus, f"{name}_bucket" if metric.kind == "histogram" else name)
        if not labels:
            found |= {} if name in UNSEEN else {name: "no series"}
        elif unknown := labels - TARGETS - metric.labels:
            found[name] = f"labels {sorted(unknown)}"
        elif lacking := metric.labels - labels - EMPTY.get(name, set()):
            found[name] = f"without {sorted(lacking)}"
        elif types.get(name) != {metric.kind}:
            found[name] = f"type {types.get(name)}"
    return found
