"""What the controller sees of one VirtualMachine, frozen. Pure; built by reconcile.py from the caches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from virt_core.conventions import labels
from virt_core.instancetype.matcher import Matcher, Role
from virt_core.instancetype.stored import StoredObject
from virt_core.kube.resource import Resource
from virt_core.objects.kubevirt import Configuration
from virt_core.objects.meta import ObjectMeta
from virt_core.vm.virtual_machine import (
    RunStrategy,
    StartRevision,
    VirtualMachine,
    VirtualMachineSpec,
    VirtualMachineStatus,
)
from virt_core.vmi.instance import VirtualMachineInstance

from virt_controller.failure import Failure
from virt_controller.vm.start import revision_prefix

_DEFAULTS = Configuration()


@dataclass(frozen=True, slots=True)
class Changes:
    """Differences between a VirtualMachine's template and the one that its guest was started with."""

    fields: tuple[str, ...]
    """Paths below spec.template.spec."""

    metadata: bool
    """Whether the template's metadata differs, except what is synced at any time."""


@dataclass(frozen=True, slots=True)
class Choice:
    """An instance type or a preference that the VirtualMachine names."""

    role: Role
    matcher: Matcher
    resource: Resource | None
    """None: there is no such kind."""

    stored: StoredObject | None
    """The object as it is now; None: there is none."""

    revision: str
    """The ControllerRevision that keeps the object for the VirtualMachine; "": there is none yet."""

    kept: Mapping[str, Any] | None = None
    """The object in it."""

    was_read: bool = False
    """Whether `kept` is known: it is read only when something depends on it."""

    @property
    def body(self) -> Mapping[str, Any] | None:
        """The object that counts; None: it is not known."""
        if self.revision:
            return self.kept
        return self.stored.body(self.resource) if self.stored is not None and self.resource is not None else None


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything that a plan rests on."""

    vm: VirtualMachine
    spec: VirtualMachineSpec
    status: VirtualMachineStatus
    vmi: VirtualMachineInstance | None
    """The VirtualMachineInstance of the VirtualMachine's name, whoever owns it."""

    now: datetime
    jitter: float
    """A random number from 0 to 1 that spreads retries."""

    configuration: Configuration = _DEFAULTS
    """The cluster's; KubeVirt's defaults while it is unknown."""

    changes: Changes | None = None
    """How the template differs from what `vmi` was started with. None: not looked at, because nothing has changed
    since, or the ControllerRevision that would say so is gone."""

    failure: Failure | None = None
    """The last refusal, if nothing has changed since."""

    choices: tuple[Choice, ...] = ()

    @property
    def own(self) -> VirtualMachineInstance | None:
        """The VirtualMachineInstance, if this VirtualMachine controls it."""
        return self.vmi if self.vmi is not None and is_controlled(self.vmi, self.vm) else None

    @property
    def start_revision(self) -> StartRevision | None:
        """The ControllerRevision of an earlier start, or of this one, that is kept for the next. A name in a status is
        believed only if it is one that this VirtualMachine's ControllerRevisions have: it may be deleted."""
        known = self.status.start_revision
        return known if known is not None and known.name.startswith(revision_prefix(self.vm)) else None

    @property
    def strategy(self) -> RunStrategy:
        """The run strategy in force."""
        return self.spec.strategy


def is_controlled(vmi: VirtualMachineInstance, vm: VirtualMachine) -> bool:
    """Whether the VirtualMachine is the controller of the VirtualMachineInstance."""
    return vmi.metadata.controller_uid == vm.metadata.uid


def is_orphan(vmi: VirtualMachineInstance) -> bool:
    """Whether nobody controls the VirtualMachineInstance, so that it can be adopted."""
    return not vmi.metadata.controller_uid


def has_ended(vmi: VirtualMachineInstance) -> bool:
    """Whether nothing happens to the guest any more: its phase is final, or it is deleted and never had a node."""
    deleted = vmi.metadata.deletion_timestamp is not None and labels.VMI_FINALIZER not in vmi.metadata.finalizers
    return vmi.status.phase.final or deleted


def is_later(meta: ObjectMeta, other: ObjectMeta) -> bool:
    """Whether the one version was written after the other. Custom resources of all kinds are in one etcd, whose
    revisions the versions are: --etcd-servers-overrides knows compiled-in resources only."""
    versions = meta.resource_version, other.resource_version
    return all(version.isdecimal() for version in versions) and int(versions[0]) > int(versions[1])


def ever_ran(vmi: VirtualMachineInstance) -> bool:
    """Whether the guest ran at some time."""
    return any(moment.get("phase") == "Running" for moment in vmi.status.phase_transition_timestamps)
