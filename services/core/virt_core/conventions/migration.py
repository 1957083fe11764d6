"""Labels, annotations and the finalizer of migrations and evacuations, as in KubeVirt. Pure.

virt-api sets those of a VirtualMachineInstanceMigration, virt-controller those of pods, VirtualMachineInstances and of
the migrations that it creates; handlers and Kubernetes' tools read them. Source: kubevirt-migration.md.
"""

from __future__ import annotations

VMI_NAME = "kubevirt.io/vmi-name"
"""Label of a VirtualMachineInstanceMigration: `labels.vmi_id` of the VirtualMachineInstance's name. virtctl and
controllers find migrations by it; a name of up to 63 letters is its own value, as in KubeVirt."""

FINALIZER = "kubevirt.io/migrationJobFinalize"
"""On VirtualMachineInstanceMigrations until they are final and what they made is gone."""

JOB_UID = "kubevirt.io/migrationJobUID"
"""Label of a target pod: the UID of its migration."""

JOB_NAME = "kubevirt.io/migrationJobName"
"""Annotation of a target pod: the name of its migration."""

TARGET_NODE_NAME = "kubevirt.io/migrationTargetNodeName"
"""Label of a VirtualMachineInstance from the hand-off until its migration has ended. Target handlers select by it."""

EVACUATION = "kubevirt.io/evacuationMigration"
"""Annotation of a migration that the evacuation controller created: the node that it evacuates."""

WORKLOAD_UPDATE = "kubevirt.io/workloadUpdateMigration"
"""Annotation of a migration that the workload updater created."""

OUTDATED_LAUNCHER = "kubevirt.io/outdatedLauncherImage"
"""Label of a VirtualMachineInstance whose launcher is not of the image that new ones get."""

WORKLOAD_UPDATE_POLICY, NEVER = "kubevirt.io/workload-update", "Never"
"""Annotation of a VirtualMachineInstance, and the value with which its launcher is never replaced while it runs. Not in
KubeVirt."""

WORKLOAD_UPDATE_WINDOW = "kubevirt.io/workload-update-window"
"""Annotation of a VirtualMachineInstance: hours of the day in UTC in which its launcher may be replaced, "22:00-04:00"
for example. Not in KubeVirt."""

EVICTION_SOURCE, DESCHEDULER = "kubevirt.io/eviction-source", "descheduler"
"""Annotation of a VirtualMachineInstance that is marked for evacuation, and its value if the descheduler evicted it."""

CORDONED_NODE = "kubevirt.io/evacuation-cordoned-node"
"""Annotation of a VirtualMachineInstance that is marked for evacuation: the node was unschedulable. So the mark is
taken back when the node is schedulable again. Not in KubeVirt."""

EVICTION_IN_PROGRESS = "descheduler.alpha.kubernetes.io/eviction-in-progress"
"""Annotation of the source pod of an evacuation, "true": the descheduler counts it as evicted."""

UNPAUSED_GATE = "kubevirt.io/virtual-machine-unpaused"
"""Readiness gate of target pods: true once the guest is there, so that no Service sends to a pod without one."""

TARGET_READY = "kubevirt.io/migration-target-ready-timestamp"
"""Annotation of a target pod: when the guest ran there. Plug-ins of networks then send its traffic to it."""
