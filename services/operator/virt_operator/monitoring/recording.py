"""Series that alerts and dashboards for KubeVirt ask for, under KubeVirt's names. Pure; called by
strategy/monitoring.py.

KubeVirt has renamed some; both names are recorded. kube_* comes from kube-state-metrics.
"""

from __future__ import annotations

from collections.abc import Iterator

from virt_operator.monitoring.rule import Record

_VMI_INFO = (
    "node, phase, os, workload, flavor, instance_type, preference, guest_os_kernel_release, guest_os_machine,"
    " guest_os_arch, guest_os_name, guest_os_version_id"
)
_USED = "kubevirt_vmi_memory_available_bytes - kubevirt_vmi_memory_usable_bytes"


def records(namespace: str) -> Iterator[Record]:
    """All of them; `namespace` is the suite's."""
    for part in ("api", "controller", "operator", "handler"):
        up = f"sum(up{{namespace='{namespace}', pod=~'virt-{part}-.*'}}) or vector(0)"
        running = f"kube_pod_status_phase{{pod=~'virt-{part}-.*', namespace='{namespace}', phase='Running'}} == 1"
        yield from _both(f"kubevirt_virt_{part}_up", f"cluster:kubevirt_virt_{part}_pods_up:sum", up)
        yield Record(f"cluster:kubevirt_virt_{part}_pods_running:count", f"count({running}) or vector(0)")
    for part in ("controller", "operator"):
        ready = (
            f"sum(kube_pod_status_ready{{pod=~'virt-{part}-.*', namespace='{namespace}', condition='true'}}"
            f" * on(pod, namespace) kubevirt_virt_{part}_ready_status{{namespace='{namespace}'}}) or vector(0)"
        )
        leading = f"sum(kubevirt_virt_{part}_leading_status{{namespace='{namespace}'}}) or vector(0)"
        yield from _both(f"kubevirt_virt_{part}_ready", f"cluster:kubevirt_virt_{part}_ready:sum", ready)
        yield from _both(f"kubevirt_virt_{part}_leading", f"cluster:kubevirt_virt_{part}_leading:sum", leading)
    nodes = "count(count by (node) (kube_node_status_allocatable))"
    with_kvm = "count(kube_node_status_allocatable{resource='devices_kubevirt_io_kvm'} != 0) or vector(0)"
    yield from _both("kubevirt_allocatable_nodes", "cluster:kubevirt_nodes_allocatable:count", nodes)
    yield from _both("kubevirt_nodes_with_kvm", "cluster:kubevirt_nodes_with_kvm:count", with_kvm)
    phases = f"sum by ({_VMI_INFO}) (kubevirt_vmi_info)"
    yield from _both("kubevirt_vmi_phase_count", "node:kubevirt_vmi_phase:sum", phases)
    yield from _both("kubevirt_vmi_memory_used_bytes", "vmi:kubevirt_vmi_memory_used_bytes:sum", _USED)
    yield Record("kubevirt_vmi_vcpu_idle_seconds:5m", "300 - increase(kubevirt_vmi_vcpu_seconds_total[5m])")
    vms = "sum by (namespace) (count by (name, namespace) (kubevirt_vm_info))"
    yield from _both("kubevirt_number_of_vms", "namespace:kubevirt_vm:sum", vms)
    created = "sum by (namespace) (kubevirt_vm_created_by_pod_total)"
    yield from _both("kubevirt_vm_created_total", "namespace:kubevirt_vm_created_by_pod_total:sum", created)


def _both(name: str, other: str, expression: str) -> Iterator[Record]:
    yield Record(name, expression)
    yield Record(other, expression)
