"""status.migrationState of a VirtualMachineInstance: how controller and both handlers agree on a migration. Pure.

Each writes its own fields by guarded patches and reads the others'. It stays after the end until the next migration
replaces it. Eight fields are not KubeVirt's; docs/differences.md names them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from virt_core.objects.meta import rfc3339
from virt_core.objects.migration_configuration import MigrationConfiguration

ABORT_SUCCEEDED, ABORT_FAILED, ABORTING = "Succeeded", "Failed", "Aborting"
"""Values of abortStatus."""

_CERTIFICATES = ("sourceCertificateAuthority", "targetCertificateAuthority")  # dead with the migration

PRE_COPY, POST_COPY, SUSPENDED = "PreCopy", "PostCopy", "Paused"
"""Values of mode."""


class MigrationState(msgspec.Struct, frozen=True, rename="camel"):
    """The fields that decisions use. Times are RFC 3339."""

    # --- the controller, at the hand-off to the handlers ---
    migration_uid: str = ""
    """UID of the VirtualMachineInstanceMigration."""

    source_node: str = ""
    source_pod: str = ""
    source_pod_uid: str = msgspec.field(default="", name="sourcePodUID")
    """Not KubeVirt's: with it two pods on one node differ."""

    target_node: str = ""
    target_pod: str = ""
    target_pod_uid: str = msgspec.field(default="", name="targetPodUID")
    """Not KubeVirt's."""

    migration_configuration: MigrationConfiguration = MigrationConfiguration()
    """Resolved: cluster and policy."""

    migration_policy_name: str = ""
    abort_requested: bool = False

    # --- the source's handler ---
    source_certificate_authority: str = ""
    """PEM of the authority of this migration in the source's pod. Not KubeVirt's. Nothing secret."""

    source_address: str = ""
    """IP address of the source's pod, from which alone the target takes connections. Not KubeVirt's."""

    source_disks: dict[str, int] = {}
    """Bytes of the files that the target makes empty and the source fills, by disk. Not KubeVirt's."""

    source_switched: bool = False
    """The source never runs the guest again, and the target has not started it yet. Written if the hand-over does not
    succeed at once: it is what allows to start the guest at the target if the source ends now. Not KubeVirt's."""

    start_timestamp: str | None = None
    mode: str = ""
    abort_status: str = ""
    failed: bool = False
    failure_reason: str = ""

    # --- the target's handler ---
    target_certificate_authority: str = ""
    """The same of the target's pod. Not KubeVirt's."""

    target_node_address: str = ""
    """IP address at which the target listens. Empty: it does not yet."""

    target_direct_migration_node_ports: dict[str, int] = {}
    target_node_domain_detected: bool = False
    target_node_domain_ready_timestamp: str | None = None

    # --- whoever sees the end ---
    completed: bool = False
    """The migration is over, by success or not."""

    end_timestamp: str | None = None

    @property
    def active(self) -> bool:
        """Whether the guest is on its way: handed off to the handlers, and not over."""
        return bool(self.migration_uid) and not self.completed

    @property
    def succeeded(self) -> bool:
        """Whether the guest is at the target."""
        return self.completed and not self.failed


def failure(state: MigrationState, reason: str, now: datetime) -> dict[str, Any]:
    """The fields that end a migration after which the guest is still at its source."""
    moment = rfc3339(now)
    return {
        "startTimestamp": state.start_timestamp or moment,
        "endTimestamp": moment,
        "failed": True,
        "completed": True,
        "failureReason": reason,
    }


def without_expectation(state: Mapping[str, Any]) -> dict[str, Any]:
    """The stored state of a migration that is over, without what was expected of its copy."""
    return _without_progress(state, "expectedEnd", *(() if state.get("failed") else ("remainingBytes",)))


def without_expected_end(state: Mapping[str, Any]) -> dict[str, Any]:
    """The stored state without the end that was expected of its copy."""
    return _without_progress(state, "expectedEnd")


def _without_progress(state: Mapping[str, Any], *gone: str) -> dict[str, Any]:
    shown = state.get("progress")
    if not isinstance(shown, dict):
        return dict(state)
    return {**state, "progress": {key: value for key, value in shown.items() if key not in gone}}


def record(state: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept in a VirtualMachineInstanceMigration that is over: what happened."""
    return {key: value for key, value in without_expectation(state).items() if key not in _CERTIFICATES}


def failure_message(state: MigrationState, reason: str) -> str:
    """The text of the event for it."""
    return f"VirtualMachineInstance migration uid {state.migration_uid} failed. reason:{reason}"
