"""Alerts about VMs and their pods, under KubeVirt's names. Pure; called by alerts.py."""

from __future__ import annotations

from collections.abc import Iterator

from virt_operator.monitoring.rule import CRITICAL, NONE, WARNING, Alert

_RUNNING = "topk by (name, namespace) (1, kubevirt_vmi_info{phase='running'})"
_ON_NODE = "kubevirt_vmi_info{phase=~'scheduled|running'}"
_VM = "VM {{ $labels.name }} in namespace {{ $labels.namespace }}"
_STATE = "in the state {{ $labels.status }}"


def of_guests() -> Iterator[Alert]:
    """All of them."""
    yield from _of_pods()
    blocked = f"kubevirt_vmi_non_evictable * on(name, namespace) group_left() {_RUNNING} == 1"
    summary = "The VM's eviction strategy is LiveMigrate but the VM cannot be migrated."
    where = f"{_VM} on node {{{{ $labels.node }}}} cannot be migrated."
    yield Alert("VMCannotBeEvicted", blocked, summary, WARNING, NONE, "1m", where)
    summary = "Some VMs still run with the launcher of an older release."
    outdated = "kubevirt_vmi_number_of_outdated != 0"
    yield Alert("OutdatedVirtualMachineInstanceWorkloads", outdated, summary, WARNING, NONE, "24h")
    migrations = "topk by (vmi, namespace, vmim) (1, max_over_time(kubevirt_vmi_migration_succeeded[1d]))"
    often = f"sum by (vmi, namespace) ({migrations}) >= 12"
    summary = "A VM has been migrated very often in the last 24 hours."
    which = "{{ $labels.vmi }} in namespace {{ $labels.namespace }} has been migrated at least 12 times."
    yield Alert("KubeVirtVMIExcessiveMigrations", often, summary, WARNING, NONE, description=which)
    yield from _of_stuck_machines()


def _of_pods() -> Iterator[Alert]:
    ready = (
        "max by (namespace, node) (kube_pod_status_ready{condition='true', pod=~'virt-handler.*'}"
        " * on(pod, namespace) group_left(node)"
        " max by (namespace, pod, node) (kube_pod_info{pod=~'virt-handler.*', node!=''}))"
    )
    launchers = "count by (node) (kube_pod_info{pod=~'virt-launcher.*', node!=''})"
    summary = "No ready virt-handler for more than 10 minutes on node {{ $labels.node }}, which has launcher pods."
    orphaned = f"{launchers} unless on(node) (({ready}) == 1)"
    yield Alert("OrphanedVirtualMachineInstances", orphaned, summary, WARNING, WARNING, "10m")
    failed = "sum by (namespace) (kube_pod_status_phase{phase='Failed', pod=~'virt-launcher-.*'}) >= 200"
    summary = "At least 200 launcher pods are Failed and have not been deleted for 10 minutes."
    yield Alert("VirtLauncherPodsStuckFailed", failed, summary, CRITICAL, CRITICAL, "10m")


def _of_stuck_machines() -> Iterator[Alert]:
    errors = "kubevirt_vm_info{status_group='error'} == 1"
    waiting = f"{_in('provisioning', 'starting', 'terminating')} or {errors}"
    stuck = f"sum by (name, namespace, status) ({waiting}) unless on(name, namespace) kubevirt_vmi_info"
    summary = "A VM without a guest has been in an unhealthy state for more than 10 minutes."
    where = f"{_VM} has been {_STATE} for more than 10 minutes."
    yield Alert("VirtualMachineStuckInUnhealthyState", stuck, summary, WARNING, NONE, "10m", where)
    moving = f"{_in('starting', 'stopping', 'terminating')} or ({errors} and on(name, namespace) {_ON_NODE})"
    node = f"on(name, namespace) group_left(node) topk by (name, namespace) (1, {_ON_NODE})"
    stuck = f"sum by (name, namespace, status, node) (({moving}) * {node})"
    summary = "A VM on a node has been in an unhealthy state for more than 5 minutes."
    where = f"{_VM} on node {{{{ $labels.node }}}} has been {_STATE} for more than 5 minutes."
    yield Alert("VirtualMachineStuckOnNode", stuck, summary, WARNING, NONE, "5m", where)


def _in(*statuses: str) -> str:
    return " or ".join(f"kubevirt_vm_info{{status='{status}'}} == 1" for status in statuses)
