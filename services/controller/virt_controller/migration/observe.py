"""The frozen observation of a VirtualMachineInstanceMigration. Pure; built by reconcile.py from the caches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from virt_core.migration.migration import VirtualMachineInstanceMigration
from virt_core.objects.kubevirt import Configuration
from virt_core.objects.migration_configuration import MigrationConfiguration
from virt_core.vmi.accepted import AcceptedSpec, RefusedSpec
from virt_core.vmi.instance import VirtualMachineInstance
from virt_core.vmi.migration_state import MigrationState

from virt_controller.failure import Failure
from virt_controller.migration.copies import Copy
from virt_controller.migration.limits import Candidate
from virt_controller.pod.limits import NamespaceRules
from virt_controller.pod.observed import Claim, LauncherPod


@dataclass(frozen=True, slots=True)
class Observed:
    """The complete input of a plan."""

    job: VirtualMachineInstanceMigration
    vmi: VirtualMachineInstance | None
    now: datetime
    source: LauncherPod | None = None
    """The pod in which the guest runs."""

    target: LauncherPod | None = None
    """The pod that was created for this migration."""

    only_node: bool = False
    """Whether no other node of the cluster has ever run virtual machines."""

    other_pods: tuple[str, ...] = ()
    """Names of further pods that may hold the guest. There are never three: no migration begins before they end."""

    copy: Copy = field(default_factory=Copy)
    """What this leader has seen of the copy, if it goes on."""

    candidates: tuple[Candidate, ...] = ()
    """Every unfinished migration of the cluster, this one included."""

    others: tuple[VirtualMachineInstanceMigration, ...] = ()
    """The other migrations of the VirtualMachineInstance, the oldest first."""

    settings: MigrationConfiguration | None = None
    """Resolved for this VirtualMachineInstance. None: the cluster's configuration is unknown, and nothing begins."""

    policy: str = ""
    """Name of the MigrationPolicy that counts."""

    configuration: Configuration | None = None
    spec: AcceptedSpec | RefusedSpec | None = None
    """Read before the target pod is created, and while the guest is copied."""

    claims: Mapping[str, Claim | None] = field(default_factory=dict)
    """Of the spec by name. Read only before the target pod is created."""

    launcher_default: str = ""
    """The launcher's tag that the namespace asks for. Read only before the target pod is created."""

    rules: NamespaceRules | None = None
    refusal: Failure | None = None
    """Why the target pod was not created."""

    @property
    def state(self) -> MigrationState | None:
        """The VirtualMachineInstance's migrationState, if it is about this migration."""
        found = self.vmi.status.migration_state if self.vmi is not None else None
        return found if found is not None and found.migration_uid == self.job.metadata.uid else None

    @property
    def target_was_seen(self) -> bool:
        """Whether a leader has noted the target pod. It is not created twice."""
        return bool((self.job.raw_status.get("migrationState") or {}).get("targetPod"))

    @property
    def vmi_name(self) -> str:
        """The VirtualMachineInstance, for messages."""
        return f"{self.job.metadata.namespace}/{self.job.spec.vmi_name}"

    @property
    def canceled(self) -> bool:
        """Whether somebody wants this migration to end."""
        return self.job.metadata.deletion_timestamp is not None


def other_pods(
    vmi: VirtualMachineInstance, pods: Iterable[LauncherPod], source: LauncherPod | None, target: LauncherPod | None
) -> tuple[str, ...]:
    """Names of pods besides these that may hold the guest, or that activePods still lists."""
    state, active = vmi.status.migration_state, vmi.status.active_pods
    own = {pod.metadata.uid for pod in (source, target) if pod is not None}
    known = {pod.metadata.uid: pod.metadata.name for pod in pods if not pod.ended or pod.metadata.uid in active}
    if state is not None:  # a pod that the cache does not have any more
        named = {state.source_pod_uid: state.source_pod, state.target_pod_uid: state.target_pod}
        known = {uid: name for uid, name in named.items() if uid in active} | known
    return tuple(sorted(name for uid, name in known.items() if uid not in own))
