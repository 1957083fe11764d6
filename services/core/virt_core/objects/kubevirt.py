"""The KubeVirt object: the suite's own configuration. Read by operator, controller and handler."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeVar

import msgspec

from virt_core.conventions.labels import KUBEVIRT_FINALIZER
from virt_core.objects.meta import Condition, ObjectMeta, ObjectReference
from virt_core.objects.migration_configuration import MigrationConfiguration
from virt_core.objects.upgrade_status import FIRST_LEVEL, Upgrade, WayBack

LIVE_UPDATE, STAGE = "LiveUpdate", "Stage"
"""Values of vmRolloutStrategy."""


class LogVerbosity(msgspec.Struct, frozen=True, rename="camel"):
    """What components log, by KubeVirt's numbers; 0 is their default, as it is for virtctl."""

    virt_api: int = msgspec.field(default=0, name="virtAPI")
    virt_controller: int = 0
    virt_handler: int = 0
    virt_launcher: int = 0
    virt_operator: int = 0
    node_verbosity: dict[str, int] = {}
    """Of the handlers of single nodes."""

    def of_handler(self, node: str) -> int:
        """Of the handler of `node`."""
        return self.node_verbosity.get(node) or self.virt_handler


class DeveloperConfiguration(msgspec.Struct, frozen=True, rename="camel"):
    """Switches of spec.configuration.developerConfiguration."""

    use_emulation: bool = False
    memory_overcommit: int = 100
    """Guest memory as a percentage of the pod's memory request; 0 means 100."""

    cpu_allocation_ratio: int = 10
    """vCPUs per CPU of the pod's CPU request; 0 means 10."""

    log_verbosity: LogVerbosity = LogVerbosity()


class ArchitectureConfiguration(msgspec.Struct, frozen=True, rename="camel"):
    """Settings of one processor architecture."""

    emulated_machines: list[str] = []
    machine_type: str = ""


class ArchitectureConfigurations(msgspec.Struct, frozen=True, rename="camel"):
    """Settings by architecture. This release supports amd64 only."""

    amd64: ArchitectureConfiguration = ArchitectureConfiguration()


class InstancetypeConfiguration(msgspec.Struct, frozen=True, rename="camel"):
    """How VirtualMachines refer to instance types and preferences."""

    reference_policy: str = ""
    """ "reference", "expand" or "expandAll"; empty: "reference"."""


class Configuration(msgspec.Struct, frozen=True, rename="camel"):
    """Defaults for VMs, and the values that they may request."""

    developer_configuration: DeveloperConfiguration = DeveloperConfiguration()
    architecture_configuration: ArchitectureConfigurations = ArchitectureConfigurations()
    emulated_machines: list[str] = []
    machine_type: str = ""
    cpu_model: str = ""
    instancetype: InstancetypeConfiguration = InstancetypeConfiguration()
    eviction_strategy: str = ""
    migrations: MigrationConfiguration = MigrationConfiguration()
    vm_rollout_strategy: str = ""

    @property
    def updates_live(self) -> bool:
        """Whether changes of a VirtualMachine reach its running guest where that is possible. KubeVirt's default."""
        return self.vm_rollout_strategy != STAGE

    @property
    def default_eviction_strategy(self) -> str:
        """The evictionStrategy of a VirtualMachineInstance that names none."""
        return self.eviction_strategy or "None"

    @property
    def machine_types(self) -> tuple[str, ...]:
        """Globs of the machine types that a VM may request; KubeVirt's globs unless the cluster sets its own."""
        own = self.architecture_configuration.amd64.emulated_machines or self.emulated_machines
        return tuple(own) or ("q35*", "pc-q35*")

    @property
    def default_machine_type(self) -> str:
        """The machine type of a VM that requests none."""
        return self.architecture_configuration.amd64.machine_type or self.machine_type or "q35"


class WorkloadUpdateStrategy(msgspec.Struct, frozen=True, rename="camel"):
    """How running guests get the launcher of this release."""

    workload_update_methods: list[str] = []
    """ "LiveMigrate" and "Evict"; empty: not before their next start."""

    batch_eviction_size: int | None = None
    batch_eviction_interval: str | None = None
    """In Go's notation."""


class KubeVirtSpec(msgspec.Struct, frozen=True, rename="camel"):
    """The fields of the spec that this release uses."""

    image_tag: str = ""
    image_registry: str = ""
    image_pull_policy: str = ""
    configuration: Configuration = Configuration()
    workload_update_strategy: WorkloadUpdateStrategy = WorkloadUpdateStrategy()


class Generation(msgspec.Struct, frozen=True, rename="camel"):
    """The generation of an object of the suite when it last matched the desired state."""

    group: str
    resource: str
    name: str
    last_generation: int
    namespace: str = ""


class KubeVirtStatus(msgspec.Struct, frozen=True, rename="camel"):
    """The fields of the status that decisions use."""

    phase: str = ""
    conditions: list[Condition] = []
    observed_generation: int = 0
    operator_version: str = ""
    target_kube_virt_version: str = ""
    observed_kube_virt_version: str = ""
    observed_release: str = ""
    """The release behind observedKubeVirtVersion, which is an image tag. Not a field of KubeVirt's API."""

    target_kube_virt_registry: str = ""
    observed_kube_virt_registry: str = ""
    target_deployment_id: str = msgspec.field(default="", name="targetDeploymentID")
    observed_deployment_id: str = msgspec.field(default="", name="observedDeploymentID")
    target_deployment_config: str = ""
    observed_deployment_config: str = ""
    """The settings as JSON. The two IDs are hashes of it."""

    generations: list[Generation] = []
    upgrade: Upgrade | None = None

    @property
    def change(self) -> Upgrade | None:
        """The operation in progress, or the one that has stopped; None without one."""
        return self.upgrade if self.upgrade is not None and self.upgrade.operation else None

    @property
    def way_back(self) -> WayBack | None:
        """The release to which a roll back is open; None if there is none."""
        return self.upgrade.way_back if self.upgrade is not None else None

    @property
    def level(self) -> int:
        """The cluster's feature level; 0: unknown."""
        return self.upgrade.level if self.upgrade is not None else 0

    def may_use(self, level: int) -> bool:
        """Whether the cluster may show behaviour of that feature level: every component is of such a release, and no
        roll back to a lower one is open. Launchers are asked, each for itself, what they can do.

        Asked with the KubeVirt object that a component watches anyway, before each use, because a later look may find
        the level higher, never lower. Where the level is unknown, only the first one may be used."""
        return level <= max(self.level, FIRST_LEVEL)


class KubeVirt(msgspec.Struct, frozen=True, rename="camel"):
    """One per cluster."""

    metadata: ObjectMeta
    spec: KubeVirtSpec = KubeVirtSpec()
    status: KubeVirtStatus = KubeVirtStatus()

    @property
    def reference(self) -> ObjectReference:
        """For events."""
        meta = self.metadata
        return ObjectReference("kubevirt.io/v1", "KubeVirt", meta.name, meta.namespace, meta.uid)


class HasMetadata(Protocol):
    """A KubeVirt object with at least its metadata decoded."""

    @property
    def metadata(self) -> ObjectMeta: ...


K = TypeVar("K", bound=HasMetadata)


def rank(kubevirt: HasMetadata) -> tuple[bool, str, str]:
    """Orders KubeVirt objects: the one with the operator's finalizer is the first, otherwise the oldest."""
    meta = kubevirt.metadata
    return KUBEVIRT_FINALIZER not in meta.finalizers, meta.creation_timestamp, meta.uid


def by_precedence(kubevirts: Iterable[K], namespace: str) -> tuple[K | None, tuple[K, ...]]:
    """The active KubeVirt object, and the others.

    Of those in `namespace`, the suite's own, the first by `rank` is active. Operator, controller, handler and API all
    use this function, so they never use different objects.
    """
    ranked = sorted(kubevirts, key=lambda kubevirt: (kubevirt.metadata.namespace != namespace, *rank(kubevirt)))
    if not ranked or ranked[0].metadata.namespace != namespace:
        return None, tuple(ranked)
    return ranked[0], tuple(ranked[1:])
