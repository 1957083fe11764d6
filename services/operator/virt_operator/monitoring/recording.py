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
_API = "group, version, resource, subresource"
_OLD = (
    f"sum by ({_API}, verb) (apiserver_request_total{{group='kubevirt.io'}}) * on({_API}) group_left()"
    f" max by ({_API}) (apiserver_requested_deprecated_apis{{group='kubevirt.io'}})"
)


def records(namespace: str) -> Iterator[Record]:
    """All of them; `namespace` is the suite's."""
    for part in ("api", "controller", "operator", "handler"):
        up = f"sum(up{{namespace='{namespace}', pod=~'virt-{part}-.*'}}) or vector(0)"
        running = f"kube_pod_status_phase{{pod=~'virt-{part}-.*', namespace='{namespace}', phase='Running'}} == 1"
        yield from _both(f"kubevirt_virt_{part}_up", f"cluster:kubevirt_virt_{part}_pods_up:sum", up)
        yield Record(f"cluster:kubevirt_virt_{part}_pods_running:count", f"count({running}) or vector(0)")
    for part in ("api", "handler"):
        yield Record(f"cluster:kubevirt_virt_{part}_ready:sum", _ready(part, namespace))
    for part in ("controller", "operator"):
        ready = _ready(part, namespace)
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
    yield from _of_guests()
    yield from _both("kubevirt_api_request_deprecated_total", "cluster:kubevirt_api_request_deprecated_total:sum", _OLD)
    vms = "sum by (namespace) (count by (name, namespace) (kubevirt_vm_info))"
    yield from _both("kubevirt_number_of_vms", "namespace:kubevirt_vm:sum", vms)
    created = "sum by (namespace) (kubevirt_vm_created_by_pod_total)"
    yield from _both("kubevirt_vm_created_total", "namespace:kubevirt_vm_created_by_pod_total:sum", created)


def _ready(part: str, namespace: str) -> str:
    return (
        f"sum(kube_pod_status_ready{{pod=~'virt-{part}-.*', namespace='{namespace}', condition='true'}}"
        f" * on(pod, namespace) kubevirt_virt_{part}_ready_status{{namespace='{namespace}'}}) or vector(0)"
    )


def _of_guests() -> Iterator[Record]:
    guest, memory = "sum by (name, namespace)", "kubevirt_vmi_memory"
    vcpus = "count by (name, namespace) (count by (name, namespace, id) (kubevirt_vmi_vcpu_seconds_total))"
    yield Record("vmi:kubevirt_vmi_vcpu:count", vcpus)
    available = f"{guest} ({memory}_available_bytes)"
    yield Record("vmi:kubevirt_vmi_memory_available_bytes:sum", available)
    yield Record("vmi:kubevirt_vmi_memory_headroom_ratio:sum", f"{guest} ({memory}_usable_bytes) / {available}")
    for window in ("5m", "30m"):
        faults = f"{guest} (rate({memory}_pgmajfault_total[{window}]))"
        yield Record(f"vmi:kubevirt_vmi_pgmajfaults:rate{window}", faults)
        read, written = (f"{guest} (rate({memory}_swap_{way}_traffic_bytes[{window}]))" for way in ("in", "out"))
        yield Record(f"vmi:kubevirt_vmi_swap_traffic_bytes:rate{window}", f"{read} + {written}")
    place = "container='compute', pod=~'virt-launcher-.*'"
    container = "sum by (pod, container, namespace)"
    requested = f"{container} (kube_pod_container_resource_requests{{resource='memory', {place}}})"
    for what, used in (("rss", "container_memory_rss"), ("working_set", "container_memory_working_set_bytes")):
        margin = f"{requested} - {container} ({used}{{{place}}})"
        yield from _both(
            f"kubevirt_vm_container_memory_request_margin_based_on_{what}_bytes",
            f"pod_container:kubevirt_vm_memory_request_margin_based_on_{what}_bytes:sum",
            margin,
        )


def _both(name: str, other: str, expression: str) -> Iterator[Record]:
    yield Record(name, expression)
    yield Record(other, expression)
