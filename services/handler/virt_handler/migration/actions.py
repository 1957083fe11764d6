"""The closed set of a handler's actions for a migration. Pure; planned by source.py and target.py, done by execute.py.

Status, events, disks, the network of a running or arriving guest and the acknowledgement of the end are the actions of
machines/actions.py. Every call may be repeated: a launcher recognizes the migration by its UID.
"""

from __future__ import annotations

from dataclasses import dataclass

from kubevirt.launcher.v1 import migration_pb2

from virt_handler.machines import actions as machines
from virt_handler.network.plan import NetworkPlan


@dataclass(frozen=True, slots=True)
class PublishIdentity:
    """Source: get the certificate authority of this migration and write it for the target's handler."""

    request: migration_pb2.GetMigrationIdentityRequest


@dataclass(frozen=True, slots=True)
class PrepareTarget:
    """Target: let the launcher listen, and write where. After PrepareNetwork and PrepareDisks."""

    request: migration_pb2.PrepareTargetRequest


@dataclass(frozen=True, slots=True)
class StartMigration:
    """Source: start to copy the guest."""

    request: migration_pb2.StartMigrationRequest


@dataclass(frozen=True, slots=True)
class ForwardToTarget:
    """Source: pass on what arrives in this pod for a guest that has left. A failure ends nothing: Services reach the
    guest without it when they know its new pod."""

    plan: NetworkPlan
    target: str
    """The address of the target's pod. Empty: it has ended, or the guest is here; the rules are a running guest's."""


@dataclass(frozen=True, slots=True)
class CancelMigration:
    """Source: abort the copy, or never begin it. No effect once the guest has switched."""

    migration_uid: str
    target_ended: bool
    """Whether the target's pod is known to have ended."""


@dataclass(frozen=True, slots=True)
class CommitTarget:
    """Target: run the guest if it has arrived completely. Only after the source has reported that it never runs the
    guest again, and its pod is known to have ended."""

    migration_uid: str


@dataclass(frozen=True, slots=True)
class AbortTarget:
    """Target: discard what has arrived and exit. Only after the migration is recorded as failed or the
    VirtualMachineInstance as ended, or if the source's pod has ended; refused once the guest runs here."""

    migration_uid: str


@dataclass(frozen=True, slots=True)
class LookAgain:
    """Plan again after these seconds."""

    seconds: float


Call = PublishIdentity | PrepareTarget | StartMigration | ForwardToTarget | CancelMigration | CommitTarget | AbortTarget
Action = Call | LookAgain | machines.Action
Decisive = PublishIdentity | PrepareTarget | StartMigration | CommitTarget
"""Calls without which the migration cannot go on: what refuses them ends it."""
