"""MigrationPolicy, and which policy counts for a VirtualMachineInstance. Pure; called by virt-controller."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import ClassVar

import msgspec

from virt_core.objects.migration_configuration import MigrationConfiguration
from virt_core.objects.raw_object import RawObject


class Selectors(msgspec.Struct, frozen=True, rename="camel"):
    """Labels that all must match. Without any label a policy matches nothing."""

    namespace_selector: dict[str, str] = {}
    virtual_machine_instance_selector: dict[str, str] = {}


class MigrationPolicySpec(msgspec.Struct, frozen=True, rename="camel"):
    """Every field of the spec."""

    selectors: Selectors = Selectors()
    allow_auto_converge: bool | None = None
    allow_post_copy: bool | None = None
    allow_workload_disruption: bool | None = None
    bandwidth_per_migration: str | int | None = None
    completion_timeout_per_gib: int | None = msgspec.field(default=None, name="completionTimeoutPerGiB")

    @property
    def configuration(self) -> MigrationConfiguration:
        """What the policy sets. Its allowPostCopy decides about disruption, too, unless it says otherwise."""
        disruption = self.allow_workload_disruption
        return MigrationConfiguration(
            allow_auto_converge=self.allow_auto_converge,
            allow_post_copy=self.allow_post_copy,
            allow_workload_disruption=self.allow_post_copy if disruption is None else disruption,
            bandwidth_per_migration=self.bandwidth_per_migration,
            completion_timeout_per_gib=self.completion_timeout_per_gib,
        )


class MigrationPolicy(RawObject, frozen=True, rename="camel", dict=True):
    """What reflectors keep."""

    API_VERSION: ClassVar[str] = "migrations.kubevirt.io/v1alpha1"
    KIND: ClassVar[str] = "MigrationPolicy"

    @cached_property
    def spec(self) -> MigrationPolicySpec:
        """The spec; one that does not decode matches nothing. Admission refuses such."""
        try:
            return msgspec.json.decode(self.raw_spec, type=MigrationPolicySpec)
        except msgspec.ValidationError:
            return MigrationPolicySpec()


def policy_for(
    policies: Iterable[MigrationPolicy], namespace_labels: Mapping[str, str], vmi_labels: Mapping[str, str]
) -> MigrationPolicy | None:
    """The policy that counts: most matching labels, then most labels of the VirtualMachineInstance, then the first
    name, as in KubeVirt."""
    matching = []
    for policy in policies:
        selectors = policy.spec.selectors
        of_vmi, of_namespace = selectors.virtual_machine_instance_selector, selectors.namespace_selector
        if (of_vmi or of_namespace) and _match(of_vmi, vmi_labels) and _match(of_namespace, namespace_labels):
            matching.append((-len(of_vmi) - len(of_namespace), -len(of_vmi), policy.metadata.name, policy))
    return min(matching, key=lambda ranked: ranked[:3])[3] if matching else None


def _match(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    return all(labels.get(key) == value for key, value in selector.items())
