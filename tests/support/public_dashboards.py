"""What the public dashboards for KubeVirt ask Prometheus for: series, and the labels by which they select and group.

Read from the folder dashboards/ of kubevirt/monitoring (Apache-2.0) at the commits below; of Harvester's dashboard "VM
migration details" the names. The dashboards are not here: the environment variable DASHBOARDS names a folder of Grafana
JSON whose queries tests run, too.
"""

from __future__ import annotations

COMMITS = {
    "grafana/kubevirt-control-plane.json": "8062f0cdf28b4cdfb99bb7111e31a86215143ee0",
    "grafana/kubevirt-general-dashboard.json": "55309ad04ee831a6188815f295d5fc90944e965d",
    "openshift/kubevirt-top-consumers.json": "0f72c98dc87d3e71a0a753e9f6673b9766bb3734",
    "perses/cnv-node-memory-overview.yaml": "7c5cdb334619766bc0992f8cfd31f80653b3b262",
    "perses/cnv-virtual-machines-by-time-in-status.yaml": "6fb764258d67340cdffde34eabd150729f66ae7d",
}
_GUEST = "name namespace"
_OF_CONSUMERS = {
    f"kubevirt_vmi_{name}": _GUEST
    for name in (
        "memory_available_bytes",
        "memory_usable_bytes",
        "storage_read_traffic_bytes_total",
        "storage_write_traffic_bytes_total",
        "storage_iops_read_total",
        "storage_iops_write_total",
        "network_receive_bytes_total",
        "network_transmit_bytes_total",
    )
} | {"container_cpu_usage_seconds_total": "container pod namespace"}
_OF_API_SERVER = {
    "apiserver_request_total": "group instance verb code",
    "apiserver_request_duration_seconds_bucket": "group instance verb scope resource le",
}
_QUEUE = "job instance name"
SERIES: dict[str, dict[str, str]] = {
    "grafana/kubevirt-control-plane.json": {
        "kubevirt_vmi_phase_transition_time_from_creation_seconds_bucket": "instance phase le",
        "kubevirt_vmi_phase_transition_time_from_creation_seconds_count": "instance phase",
        "kubevirt_vmi_phase_transition_time_seconds_bucket": "instance phase le",
        "kubevirt_workqueue_adds_total": _QUEUE,
        "kubevirt_workqueue_depth": _QUEUE,
        "kubevirt_workqueue_queue_duration_seconds_bucket": f"{_QUEUE} le",
        "kubevirt_workqueue_work_duration_seconds_bucket": f"{_QUEUE} le",
        "kubevirt_workqueue_unfinished_work_seconds": _QUEUE,
        "kubevirt_workqueue_retries_total": "instance name",
        "kubevirt_workqueue_longest_running_processor_seconds": _QUEUE,
        "process_resident_memory_bytes": "job instance container",
        "process_cpu_seconds_total": "job instance container",
        "process_open_fds": "container",
        "container_network_receive_bytes_total": "namespace instance pod node",
        "container_network_transmit_bytes_total": "namespace instance pod node",
        "etcd_request_duration_seconds_bucket": "instance le",
        "grpc_client_handled_total": "instance grpc_type grpc_code",
        "storage_operation_duration_seconds_count": "metrics_path instance operation_name volume_plugin",
        "rest_client_requests_total": "instance method",
        **_OF_API_SERVER,
    },
    "grafana/kubevirt-general-dashboard.json": {
        "kubevirt_vmi_phase_count": "phase node",
        "kubevirt_vmi_phase_transition_time_from_creation_seconds_bucket": "namespace phase le",
        **_OF_CONSUMERS,
        **_OF_API_SERVER,
    },
    "openshift/kubevirt-top-consumers.json": {
        "kubevirt_vmi_vcpu_wait_seconds_total": _GUEST,
        "kubevirt_vmi_memory_swap_in_traffic_bytes": _GUEST,
        "kubevirt_vmi_memory_swap_out_traffic_bytes": _GUEST,
        **_OF_CONSUMERS,
    },
    "perses/cnv-node-memory-overview.yaml": {
        "kubevirt_vmi_memory_domain_bytes": f"{_GUEST} node",
        "kubevirt_vmi_launcher_memory_overhead_bytes": _GUEST,
        "vmi:kubevirt_vmi_memory_used_bytes:sum": "node",
        "kube_node_status_allocatable": "resource node",
        "kube_node_status_capacity": "resource node",
    },
    "perses/cnv-virtual-machines-by-time-in-status.yaml": {
        "kubevirt_vm_resource_requests": f"{_GUEST} resource unit source",
        "kubevirt_vm_info": f"{_GUEST} status_group",
        "kubevirt_vm_disk_allocated_size_bytes": _GUEST,
    }
    | {
        f"kubevirt_vm_{group}_status_last_transition_timestamp_seconds": _GUEST
        for group in ("starting", "running", "migrating", "non_running", "error")
    },
    "Harvester's migrations": {
        f"kubevirt_vmi_migration_{name}": _GUEST
        for name in (
            "data_remaining_bytes",
            "data_processed_bytes",
            "dirty_memory_rate_bytes",
            "disk_transfer_rate_bytes",
        )
    },
}
"""By dashboard the labels of each series."""

NOT_THERE = {
    "rest_client_request_latency_seconds_bucket": "its name in KubeVirt today begins with kubevirt_",
    'rest_client_rate_limiter_duration_seconds_bucket{job=~".*kubevirt.*"}': "the suite's client has no rate limiter",
    "kubevirt_allocatable_nodes_count": "its name in KubeVirt today is kubevirt_allocatable_nodes",
    'go_goroutines{job=~".*kubevirt.*"}': "the suite is written in Python",
    "storage_operation_errors_total": "Kubernetes 1.34 does not have it",
    "etcd_db_total_size_in_bytes": "the same",
    "kubevirt_hco_memory_overcommit_percentage": "the HyperConverged operator's",
}
"""What they also ask for, or ask the suite's pods for, and why there is none."""

NOTHING = {
    "VMI Phase Transition Latency": "no guest has failed",
    "VMI Count (approx.)": "no guest has failed",
    "VMI by Phase": "none is scheduling; one phase is misspelt: success",
    "API Client - Read Requests Duration": "see NOT_THERE",
    "API Client - Write Requests Duration": "see NOT_THERE",
    "API Client - Rate Limiter Duration": "see NOT_THERE",
    "Storage Operation Error Rate": "see NOT_THERE",
    "Etcd RPC Rate": "no request to etcd has failed",
    "Etcd DB Size": "see NOT_THERE",
    "Allocatable Nodes": "see NOT_THERE",
    "Goroutines": "see NOT_THERE",
    "Threads": "go_threads: the suite is Python",
}
"""Panels of kubevirt/monitoring of which a query returns nothing here, and why."""
