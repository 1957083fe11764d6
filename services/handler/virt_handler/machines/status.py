"""The handler's part of a VirtualMachineInstance's status, computed from the observation. Pure; called by plan.py.

Conditions of this handler: Ready (the guest runs), except in the controller's cases and with a user's probe; Paused;
AgentConnected; AccessCredentialsSynchronized; LiveMigratable and StorageLiveMigratable (migratable.py); Synchronized
(False with a reason: the machine differs from the spec). Conditions of other writers stay unchanged. Without a change
of the guest there is no patch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kubevirt.launcher.v1 import state_pb2
from virt_core.conventions import events
from virt_core.conventions.conditions import (
    ACCESS_CREDENTIALS_SYNCHRONIZED,
    AGENT_CONNECTED,
    GUEST_NOT_RUNNING,
    PAUSED,
    READY,
    SYNCHRONIZED,
)
from virt_core.conventions.launcher_pod import DISK_IN_USE, GUEST_DESTROYED, GUEST_SHUTDOWN
from virt_core.objects.meta import Condition, condition_of
from virt_core.objects.patch import Operation
from virt_core.vmi.accepted import AcceptedSpec, RefusedSpec
from virt_core.vmi.instance import VirtualMachineInstance, VmiPhase
from virt_core.vmi.status import (
    POD_TERMINATING,
    in_phase,
    ready_condition,
    ready_is_controllers,
    status_patch,
    stored_conditions,
)

from virt_handler.machines import migratable, status_devices
from virt_handler.machines.actions import RecordEvent
from virt_handler.machines.guest_state import CredentialsState, GuestState
from virt_handler.machines.user_words import in_user_words
from virt_handler.network.plan import PodNetwork

START_FAILED = "StartFailed"
"""Reason for the end of a guest that never ran."""

STARTED_EVENTS = (
    RecordEvent("Created", "VirtualMachineInstance defined."),
    RecordEvent("Started", "VirtualMachineInstance started."),
)
"""Recorded once the guest runs; reasons and messages are KubeVirt's."""


# By the machine's end: the final phase, and the reason for status.reason and Ready. As in KubeVirt, a destroyed guest
# has failed, since it did not shut down.
_ENDS: dict[int, tuple[VmiPhase, str]] = {
    state_pb2.MACHINE_END_SHUTDOWN: (VmiPhase.SUCCEEDED, GUEST_SHUTDOWN),
    state_pb2.MACHINE_END_PANICKED: (VmiPhase.FAILED, "GuestPanicked"),
    state_pb2.MACHINE_END_CRASHED: (VmiPhase.FAILED, "HypervisorCrashed"),
    state_pb2.MACHINE_END_DESTROYED: (VmiPhase.FAILED, GUEST_DESTROYED),
    state_pb2.MACHINE_END_START_FAILED: (VmiPhase.FAILED, START_FAILED),
}
_UNKNOWN_END = (VmiPhase.FAILED, "EndedForUnknownReason")  # reported by a newer launcher


# By the pause reason: reason and message of Paused, KubeVirt's where it has them.
_PAUSES: dict[int, tuple[str, str]] = {
    state_pb2.PAUSE_REASON_BY_USER: ("PausedByUser", "VMI was paused by user"),
    state_pb2.PAUSE_REASON_IO_ERROR: ("PausedIOError", "VMI was paused, low-level IO error detected"),
}
_OTHER_PAUSE = ("PausedByHypervisor", "VMI was paused by the hypervisor")

# Why the guest lacks credentials: the reason of AccessCredentialsSynchronized.
_MISSING_CREDENTIALS: dict[int, str] = {
    state_pb2.CREDENTIALS_PROGRESS_NO_AGENT: "GuestAgentNotConnected",
    state_pb2.CREDENTIALS_PROGRESS_REFUSED: "GuestAgentRefused",
    state_pb2.CREDENTIALS_PROGRESS_UNUSABLE: "UnusableSecret",
}
_OTHER_PROGRESS = "NotSynchronized"  # of a newer launcher


def running_status(
    vmi: VirtualMachineInstance,
    spec: AcceptedSpec | RefusedSpec,
    pod: PodNetwork,
    guest: GuestState,
    *,
    node: str,
    launcher_migrates: bool,
    now: datetime,
) -> dict[str, Any]:
    """The status of a running guest: Running, with what its launcher reports."""
    after = in_phase(vmi.raw_status, VmiPhase.RUNNING, now)
    after["nodeName"] = node
    # Another release accepted a spec that this one refuses. Its status of the guest's devices stays.
    if isinstance(spec, AcceptedSpec):
        after |= status_devices.compute(spec)
        after["interfaces"] = status_devices.interfaces(vmi.metadata.uid, spec, pod, guest.agent)
        if spec.spec.volumes:
            after["volumeStatus"] = status_devices.volumes(vmi, spec, guest)
        after["migrationMethod"] = migratable.migration_method(spec)
    if guest.machine_type:
        after["machine"] = {"type": guest.machine_type}
    _of_agent(after, guest)
    after["conditions"] = [
        condition
        for condition in stored_conditions(vmi, _conditions(vmi, spec, guest, launcher_migrates), now)
        if condition["type"] not in _removed(guest)
    ]
    return after


def cannot_leave_its_node(
    vmi: VirtualMachineInstance, spec: AcceptedSpec | RefusedSpec, *, launcher_migrates: bool
) -> tuple[RecordEvent, ...]:
    """The Warning event of a machine that an eviction is to migrate and that cannot migrate; once."""
    after = migratable.conditions(vmi, spec, launcher_migrates=launcher_migrates)[0]
    before = condition_of(vmi.status.conditions, after.type)
    message = migratable.must_migrate_but_cannot(spec, before, after)
    return (RecordEvent(events.MIGRATED, message, warning=True),) if message else ()


def _of_agent(after: dict[str, Any], guest: GuestState) -> None:
    """Fields from the guest agent. They are removed when the agent disconnects."""
    fields: dict[str, Any] = {}
    if guest.agent is not None and guest.agent.os:
        fields["guestOSInfo"] = dict(guest.agent.os)
    if guest.agent is not None and guest.agent.frozen:
        fields["fsFreezeStatus"] = "frozen"
    for field in ("guestOSInfo", "fsFreezeStatus"):
        after.pop(field, None)
    after |= fields


def _conditions(
    vmi: VirtualMachineInstance, spec: AcceptedSpec | RefusedSpec, guest: GuestState, launcher_migrates: bool
) -> list[Condition]:
    conditions = migratable.conditions(vmi, spec, launcher_migrates=launcher_migrates)
    paused = guest.phase == state_pb2.MACHINE_PHASE_PAUSED
    if paused:
        reason, message = _PAUSES.get(guest.pause_reason, _OTHER_PAUSE)
        cause = in_user_words(guest.message, spec)
        conditions.append(Condition(PAUSED, "True", reason, f"{message}: {cause}" if cause else message))
    if not ready_is_controllers(vmi):
        not_ready = Condition(READY, "False", GUEST_NOT_RUNNING, "the guest is paused")
        conditions.append(not_ready if paused else Condition(READY, "True"))
    if any(condition.type == SYNCHRONIZED for condition in vmi.status.conditions):
        conditions.append(Condition(SYNCHRONIZED, "True"))
    if guest.agent is not None:
        conditions.append(Condition(AGENT_CONNECTED, "True"))
    if guest.credentials is not None:
        conditions.append(_credentials(guest.credentials, spec))
    return conditions


def _credentials(state: CredentialsState, spec: AcceptedSpec | RefusedSpec) -> Condition:
    if state.progress == state_pb2.CREDENTIALS_PROGRESS_SYNCHRONIZED:
        return Condition(ACCESS_CREDENTIALS_SYNCHRONIZED, "True")
    reason = _MISSING_CREDENTIALS.get(state.progress, _OTHER_PROGRESS)
    return Condition(ACCESS_CREDENTIALS_SYNCHRONIZED, "False", reason, in_user_words(state.message, spec))


def _removed(guest: GuestState) -> set[str]:
    """Conditions that, as in KubeVirt, are removed instead of set to False."""
    present = {
        PAUSED: guest.phase == state_pb2.MACHINE_PHASE_PAUSED,
        AGENT_CONNECTED: guest.agent is not None,
        ACCESS_CREDENTIALS_SYNCHRONIZED: guest.credentials is not None,
    }
    return {kind for kind, is_present in present.items() if not is_present}


@dataclass(frozen=True, slots=True)
class End:
    """How a guest ended: phase, reason and message for the VMI."""

    phase: VmiPhase
    reason: str
    message: str


def end_of(
    vmi: VirtualMachineInstance,
    spec: AcceptedSpec | RefusedSpec,
    guest: GuestState,
    claim_users: Mapping[str, tuple[str, ...]],
) -> End:
    """The end of a guest that its launcher reports as ended. `claim_users` are other VMIs by the claims they use."""
    phase, reason = _ENDS.get(guest.end, _UNKNOWN_END)
    message, ready = in_user_words(guest.message, spec), ready_condition(vmi)
    if guest.failed_disk:
        # Launchers of older releases name the disk as well.
        reason_alone = message.removeprefix(f"disk {guest.failed_disk}: ")
        message = f"{status_devices.described_disk(spec, guest.failed_disk)}: {reason_alone}"
        users = claim_users.get(status_devices.claim_of_disk(spec, guest.failed_disk), ())
        if users and DISK_IN_USE in reason_alone:
            message += f"; the claim is used on this node by VirtualMachineInstance {' and '.join(users)}"
    if ready is not None and ready.reason == POD_TERMINATING:
        # The guest did not end by itself: after an eviction, for example, it may be started again elsewhere.
        return End(VmiPhase.FAILED, POD_TERMINATING, f"{ready.message}; {message or reason}")
    return End(phase, reason, message)


def ended(vmi: VirtualMachineInstance, end: End, now: datetime) -> list[Operation]:
    """The patch to Succeeded or Failed."""
    after = in_phase(vmi.raw_status, end.phase, now)
    after["reason"] = end.reason
    conditions = stored_conditions(vmi, [Condition(READY, "False", end.reason, end.message)], now)
    gone = (PAUSED, AGENT_CONNECTED, ACCESS_CREDENTIALS_SYNCHRONIZED)
    after["conditions"] = [condition for condition in conditions if condition["type"] not in gone]
    return status_patch(vmi, after)


def end_event(end: End) -> RecordEvent:
    """The event that reports it, under KubeVirt's reasons."""
    if end.phase is VmiPhase.SUCCEEDED:
        return RecordEvent(events.STOPPED, events.SHUT_DOWN)
    words = f"{end.reason}: {end.message}" if end.message else end.reason
    if end.reason == START_FAILED:
        return RecordEvent("SyncFailed", f"The VirtualMachineInstance could not be started: {words}", warning=True)
    what = "was stopped by force" if end.reason in (GUEST_DESTROYED, POD_TERMINATING) else "crashed"
    return RecordEvent(events.STOPPED, f"The VirtualMachineInstance {what}: {words}", warning=True)


def ended_by_kubelet(vmi: VirtualMachineInstance, guest: GuestState) -> bool:
    """Whether the kubelet ended the guest, the VMI is not deleted, and the reason is not known yet.

    A launcher destroys its guest for no other reason, and it learns of it before the API server does. The controller
    then reports the end with the kubelet's reason from the pod's status: eviction or shutdown of the node.
    """
    ready = ready_condition(vmi)
    known = ready is not None and ready.reason == POD_TERMINATING
    deleted = vmi.metadata.deletion_timestamp is not None
    return guest.end == state_pb2.MACHINE_END_DESTROYED and not known and not deleted


def refused(vmi: VirtualMachineInstance, reason: str, message: str, now: datetime) -> list[Operation]:
    """The patch with the condition that says why the machine is not started; empty if the status has it."""
    after = dict(vmi.raw_status)
    after["conditions"] = stored_conditions(vmi, [Condition(SYNCHRONIZED, "False", reason, message)], now)
    return status_patch(vmi, after)
