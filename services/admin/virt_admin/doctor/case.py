"""One VM with all that its start, its move and its end depend on, as frozen values. Pure; made by read.py."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
from virt_core.conventions.migration import JOB_UID
from virt_core.migration.migration import VirtualMachineInstanceMigration
from virt_core.objects.event import Event
from virt_core.objects.meta import Condition, ObjectMeta, condition_of
from virt_core.vm.virtual_machine import VirtualMachine
from virt_core.vmi.instance import VirtualMachineInstance

from virt_admin.suite.objects import Node, Pod
from virt_admin.suite.observed import Observed


class Warned(Event, frozen=True, kw_only=True, rename="camel"):
    """A warning about an object."""

    metadata: ObjectMeta


class ClaimStatus(msgspec.Struct, frozen=True):
    """Whether it has a volume."""

    phase: str = ""


class Claim(msgspec.Struct, frozen=True):
    """A PersistentVolumeClaim."""

    metadata: ObjectMeta
    status: ClaimStatus = ClaimStatus()


class QuotaStatus(msgspec.Struct, frozen=True):
    """What is allowed, and what is used."""

    hard: dict[str, str] = {}
    used: dict[str, str] = {}


class Quota(msgspec.Struct, frozen=True):
    """A ResourceQuota."""

    metadata: ObjectMeta
    status: QuotaStatus = QuotaStatus()


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What was read."""

    suite: Observed
    namespace: str
    name: str
    vm: VirtualMachine | None = None
    vmi: VirtualMachineInstance | None = None
    pods: tuple[Pod, ...] = ()
    """Launcher pods of the VirtualMachineInstance."""

    events: tuple[Warned, ...] = ()
    """Warnings about all of these."""

    claims: tuple[Claim, ...] = ()
    claim_names: tuple[str, ...] = ()
    """The claims that the VirtualMachineInstance names."""

    migrations: tuple[VirtualMachineInstanceMigration, ...] = ()
    quotas: tuple[Quota, ...] = ()

    @property
    def vm_object(self) -> str:
        """For findings."""
        return f"VirtualMachine {self.namespace}/{self.name}"

    @property
    def vmi_object(self) -> str:
        """For findings."""
        return f"VirtualMachineInstance {self.namespace}/{self.name}"

    @property
    def pod(self) -> Pod | None:
        """The launcher pod: the newest that is no migration's target, or the one where the guest has arrived."""
        active = self.vmi.status.active_pods if self.vmi is not None else {}
        own = [pod for pod in self.pods if pod.metadata.uid in active or JOB_UID not in pod.metadata.labels]
        here = self.vmi.status.node_name if self.vmi is not None else ""
        return max(
            own,
            key=lambda pod: (bool(here) and pod.spec.node_name == here, pod.metadata.creation_timestamp),
            default=None,
        )

    def target_of(self, migration: VirtualMachineInstanceMigration) -> Pod | None:
        """The target pod of a migration."""
        uid = migration.metadata.uid
        return next((pod for pod in self.pods if pod.metadata.labels.get(JOB_UID) == uid), None)

    def node(self, name: str) -> Node | None:
        """A node of the cluster."""
        return next((node for node in self.suite.nodes if node.metadata.name == name), None)

    def condition(self, kind: str) -> Condition | None:
        """A condition of the VirtualMachineInstance."""
        return condition_of(self.vmi.status.conditions, kind) if self.vmi is not None else None
