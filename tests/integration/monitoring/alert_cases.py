"""What each alert is raised for, and what it is not raised for, as series of one value a minute."""

from __future__ import annotations

from dataclasses import dataclass

SUITE = 'namespace="kubevirt"'
OLD_API = 'group="kubevirt.io", version="v1alpha3", resource="kubevirts"'
GUEST = 'namespace="shop", name="web"'
NODES = {f'kube_node_status_allocatable{{node="{node}", resource="cpu"}}': "2x100" for node in "ab"}


@dataclass(frozen=True, slots=True)
class Case:
    """Series, the minute at which to look, and labels of the alert."""

    series: dict[str, str]
    minute: int
    labels: dict[str, str]


def _up(component: str, *values: int) -> dict[str, str]:
    """Of one pod each, whether Prometheus reaches it."""
    return {f'up{{{SUITE}, pod="{component}-{number}"}}': f"{value}x100" for number, value in enumerate(values)}


def _ready(component: str, *values: int) -> dict[str, str]:
    """Of one pod each: the kubelet finds it ready, and it says itself whether it is."""
    own = f"kubevirt_{component.replace('-', '_')}_ready_status"
    pods = {f'{SUITE}, pod="{component}-{number}"': f"{value}x100" for number, value in enumerate(values)}
    return {f'kube_pod_status_ready{{{pod}, condition="true"}}': "1x100" for pod in pods} | {
        f"{own}{{{pod}}}": value for pod, value in pods.items()
    }


def _running(component: str, count: int) -> dict[str, str]:
    pods = (f'{SUITE}, pod="{component}-{number}", phase="Running"' for number in range(count))
    return {f"kube_pod_status_phase{{{pod}}}": "1x100" for pod in pods}


def _leading(component: str, value: int) -> dict[str, str]:
    return {f'kubevirt_{component.replace("-", "_")}_leading_status{{{SUITE}, pod="{component}-0"}}': f"{value}x100"}


def _burst(component: str) -> Case:
    """Nine of ten requests fail."""
    pod = f'{SUITE}, pod="{component}-0"'
    requests = {f'kubevirt_rest_client_requests_total{{{pod}, code="200"}}': "0+1x30"}
    return Case(requests | {f'kubevirt_rest_client_requests_total{{{pod}, code="500"}}': "0+9x30"}, 15, {})


def _handlers(ready: int, desired: int) -> dict[str, str]:
    place = f'{{{SUITE}, daemonset="virt-handler"}}'
    shown = {"number_ready": ready, "desired_number_scheduled": desired}
    return {f"kube_daemonset_status_{what}{place}": f"{value}x100" for what, value in shown.items()}


def _kvm(*nodes: str) -> dict[str, str]:
    return {
        f'kube_node_status_allocatable{{node="{node}", resource="devices_kubevirt_io_kvm"}}': "110x30" for node in nodes
    }


FAILED = {f'kube_pod_status_phase{{namespace="shop", pod="virt-launcher-{n}", phase="Failed"}}' for n in range(200)}
MIGRATIONS = {f'kubevirt_vmi_migration_succeeded{{namespace="shop", vmi="web", vmim="m{n}"}}' for n in range(12)}
FIRES: dict[str, Case] = {
    "VirtAPIDown": Case(_up("virt-api", 0), 15, {}),
    "LowVirtAPICount": Case(NODES | _up("virt-api", 1, 0), 65, {}),
    "VirtApiRESTErrorsBurst": _burst("virt-api"),
    "VirtControllerDown": Case(_up("virt-controller", 0, 0), 15, {}),
    "NoReadyVirtController": Case(_ready("virt-controller", 0, 0), 15, {}),
    "NoLeadingVirtController": Case(_leading("virt-controller", 0), 15, {}),
    "LowReadyVirtControllersCount": Case(_running("virt-controller", 2) | _ready("virt-controller", 1, 0), 15, {}),
    "LowVirtControllersCount": Case(NODES | _ready("virt-controller", 1), 15, {}),
    "VirtControllerRESTErrorsBurst": _burst("virt-controller"),
    "VirtOperatorDown": Case(_up("virt-operator", 0), 15, {}),
    "NoReadyVirtOperator": Case(_ready("virt-operator", 0), 15, {}),
    "NoLeadingVirtOperator": Case(_leading("virt-operator", 0), 15, {}),
    "LowReadyVirtOperatorsCount": Case(_running("virt-operator", 2) | _ready("virt-operator", 1, 0), 15, {}),
    "LowVirtOperatorCount": Case(NODES | _up("virt-operator", 1), 65, {}),
    "VirtOperatorRESTErrorsBurst": _burst("virt-operator"),
    "VirtHandlerDaemonSetRolloutFailing": Case(
        _handlers(1, 2), 20, {"namespace": "kubevirt", "daemonset": "virt-handler"}
    ),
    "VirtHandlerDown": Case(_up("virt-handler", 0, 0), 15, {}),
    "VirtHandlerRESTErrorsBurst": _burst("virt-handler"),
    "LowKVMNodesCount": Case(NODES | _kvm("a"), 10, {}),
    "KubeVirtNoAvailableNodesToRunVMs": Case(
        {
            'kube_node_labels{node="a", label_kubevirt_io_schedulable="true"}': "1x30",
            'kube_node_spec_unschedulable{node="a"}': "1x30",
        }
        | _kvm("a"),
        10,
        {},
    ),
    "OrphanedVirtualMachineInstances": Case(
        {
            'kube_pod_info{namespace="shop", pod="virt-launcher-a", node="node1"}': "1x30",
            'kube_pod_info{namespace="shop", pod="virt-launcher-b", node="node2"}': "1x30",
            f'kube_pod_info{{{SUITE}, pod="virt-handler-b", node="node2"}}': "1x30",
            f'kube_pod_status_ready{{{SUITE}, pod="virt-handler-b", condition="true"}}': "1x30",
        },
        15,
        {"node": "node1"},
    ),
    "VirtLauncherPodsStuckFailed": Case(dict.fromkeys(FAILED, "1x30"), 15, {"namespace": "shop"}),
    "VMCannotBeEvicted": Case(
        {
            f'kubevirt_vmi_non_evictable{{{GUEST}, node="node1"}}': "1x30",
            f'kubevirt_vmi_info{{{GUEST}, node="node1", phase="running"}}': "1x30",
        },
        5,
        {"namespace": "shop", "name": "web", "node": "node1"},
    ),
    "OutdatedVirtualMachineInstanceWorkloads": Case(
        {f"kubevirt_vmi_number_of_outdated{{{SUITE}}}": "1x1500"}, 1450, {"namespace": "kubevirt"}
    ),
    "KubeVirtVMIExcessiveMigrations": Case(dict.fromkeys(MIGRATIONS, "1x30"), 5, {"namespace": "shop", "vmi": "web"}),
    "VirtualMachineStuckInUnhealthyState": Case(
        {f'kubevirt_vm_info{{{GUEST}, status="provisioning"}}': "1x30"},
        15,
        {"namespace": "shop", "name": "web", "status": "provisioning"},
    ),
    "VirtualMachineStuckOnNode": Case(
        {
            f'kubevirt_vm_info{{{GUEST}, status="stopping"}}': "1x30",
            f'kubevirt_vmi_info{{{GUEST}, node="node1", phase="running"}}': "1x30",
        },
        10,
        {"namespace": "shop", "name": "web", "node": "node1", "status": "stopping"},
    ),
    "KubeVirtDeprecatedAPIRequested": Case(
        {
            f'apiserver_request_total{{{OLD_API}, verb="GET"}}': "0+1x30",
            f'apiserver_request_total{{{OLD_API}, verb="WATCH"}}': "0+9x30",
            f"apiserver_requested_deprecated_apis{{{OLD_API}}}": "1x30",
        },
        20,
        {"group": "kubevirt.io", "version": "v1alpha3", "resource": "kubevirts"},
    ),
    "KubeVirtUpgradeStopped": Case({f"kubevirt_operator_upgrade_stopped{{{SUITE}}}": "0 1x30"}, 5, {}),
    "KubeVirtUpgradeStepTakesLong": Case(
        {
            f"kubevirt_operator_upgrade_step_started_timestamp_seconds"
            f'{{{SUITE}, operation="Update", step="virt-handler"}}': "0x100"
        },
        70,
        {"operation": "Update", "step": "virt-handler"},
    ),
    "KubeVirtCertificateExpiresSoon": Case(
        {
            f'kubevirt_certificate_start_timestamp_seconds{{{SUITE}, pod="a", certificate="leaf"}}': "0x100",
            f'kubevirt_certificate_expiry_timestamp_seconds{{{SUITE}, pod="a", certificate="leaf"}}': "3600x100",
        },
        60,  # 54 are nine tenths of its life, and then five minutes
        {"namespace": "kubevirt", "pod": "a", "certificate": "leaf"},
    ),
}
"""By alert."""

SILENT: dict[str, tuple[str, Case]] = {
    "a controller is up": ("VirtControllerDown", Case(_up("virt-controller", 1, 0), 15, {})),
    "one node needs one controller": (
        "LowVirtControllersCount",
        Case({'kube_node_status_allocatable{node="a"}': "1x30"} | _ready("virt-controller", 1), 15, {}),
    ),
    "a new pod is not ready for nine minutes": (
        "LowReadyVirtControllersCount",
        Case(_running("virt-controller", 2) | _ready("virt-controller", 1, 0), 9, {}),
    ),
    "all handlers are ready": ("VirtHandlerDaemonSetRolloutFailing", Case(_handlers(2, 2), 20, {})),
    "both nodes have KVM": ("LowKVMNodesCount", Case(NODES | _kvm("a", "b"), 10, {})),
    "emulation needs no KVM": (
        "KubeVirtNoAvailableNodesToRunVMs",
        Case(
            {
                f"kubevirt_configuration_emulation_enabled{{{SUITE}}}": "1x30",
                'kube_node_labels{node="a", label_kubevirt_io_schedulable="true"}': "1x30",
                'kube_node_spec_unschedulable{node="a"}': "0x30",
            },
            10,
            {},
        ),
    ),
    "a VM that starts has a guest": (
        "VirtualMachineStuckInUnhealthyState",
        Case(
            {
                f'kubevirt_vm_info{{{GUEST}, status="starting"}}': "1x30",
                f'kubevirt_vmi_info{{{GUEST}, phase="scheduling"}}': "1x30",
            },
            15,
            {},
        ),
    ),
    "eleven migrations in a day": (
        "KubeVirtVMIExcessiveMigrations",
        Case(dict.fromkeys(sorted(MIGRATIONS)[:11], "1x30"), 5, {}),
    ),
    "a step for 50 minutes": (
        "KubeVirtUpgradeStepTakesLong",
        Case(
            {
                f"kubevirt_operator_upgrade_step_started_timestamp_seconds"
                f'{{{SUITE}, operation="Update", step="virt-handler"}}': "0x100"
            },
            50,
            {},
        ),
    ),
    "a certificate is old for less than five minutes": (
        "KubeVirtCertificateExpiresSoon",
        Case(FIRES["KubeVirtCertificateExpiresSoon"].series, 58, {}),
    ),
}
"""By what is the case: an alert that is not raised for it."""
