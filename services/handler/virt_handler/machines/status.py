"""What a VirtualMachineInstance's status should say, computed last and from what was observed. Pure; called by plan.py.

Conditions that this handler writes: Ready (the guest runs), unless the controller knows better or the user has a probe
for it; LiveMigratable; Synchronized (False: the machine is not what the spec says, with the reason). Others' conditions
stay as they are.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from kubevirt.launcher.v1 import launcher_pb2
from virt_core.api.meta import Condition
from virt_core.api.vmi import UnsupportedSpec, VirtualMachineInstance, VmiPhase, parse_spec
from virt_core.api.vmi_rules import effective_interfaces
from virt_core.api.vmi_status import (
    POD_TERMINATING,
    in_phase,
    ready_condition,
    ready_is_controllers,
    status_patch,
    stored_conditions,
)
from virt_core.kube.patch import Operation

from virt_handler.machines.observe import GuestState
from virt_handler.machines.translate import mac_address
from virt_handler.network.plan import POD_LINK, PodNetwork

READY, LIVE_MIGRATABLE, SYNCHRONIZED = "Ready", "LiveMigratable", "Synchronized"

# How a machine ended: the final phase, the reason of status.reason and of Ready. KubeVirt calls a destroyed guest
# failed, since it did not shut down.
_ENDS: dict[int, tuple[VmiPhase, str]] = {
    launcher_pb2.MACHINE_END_SHUTDOWN: (VmiPhase.SUCCEEDED, "GuestShutdown"),
    launcher_pb2.MACHINE_END_PANICKED: (VmiPhase.FAILED, "GuestPanicked"),
    launcher_pb2.MACHINE_END_CRASHED: (VmiPhase.FAILED, "HypervisorCrashed"),
    launcher_pb2.MACHINE_END_DESTROYED: (VmiPhase.FAILED, "GuestDestroyed"),
    launcher_pb2.MACHINE_END_START_FAILED: (VmiPhase.FAILED, "StartFailed"),
}
_UNKNOWN_END = (VmiPhase.FAILED, "EndedForUnknownReason")  # a newer launcher's


def running(vmi: VirtualMachineInstance, node: str, pod: PodNetwork, now: datetime) -> list[Operation]:
    """The patch to Running; empty if the status says so already."""
    after = in_phase(vmi.raw_status, VmiPhase.RUNNING, now)
    after["nodeName"] = node
    interfaces = _interfaces(vmi, pod)
    if interfaces is not None:
        after["interfaces"] = interfaces
    conditions = [
        Condition(LIVE_MIGRATABLE, "False", "NotSupported", "this release does not migrate machines"),
    ]
    if not ready_is_controllers(vmi):
        conditions.append(Condition(READY, "True"))
    if any(condition.type == SYNCHRONIZED for condition in vmi.status.conditions):
        conditions.append(Condition(SYNCHRONIZED, "True"))
    after["conditions"] = stored_conditions(vmi, conditions, now)
    return status_patch(vmi, after)


def ended(vmi: VirtualMachineInstance, guest: GuestState, now: datetime) -> list[Operation]:
    """The patch to Succeeded or Failed; empty if the VMI has ended already."""
    if vmi.status.phase.final:
        return []
    phase, reason = _ENDS.get(guest.end, _UNKNOWN_END)
    message, told = guest.message, ready_condition(vmi)
    if told is not None and told.reason == POD_TERMINATING:
        # It did not end by itself: whoever took the pod away may want the guest started anew.
        phase, reason, message = VmiPhase.FAILED, POD_TERMINATING, f"{told.message}; {message or reason}"
    after = in_phase(vmi.raw_status, phase, now)
    after["reason"] = reason
    after["conditions"] = stored_conditions(vmi, [Condition(READY, "False", reason, message)], now)
    return status_patch(vmi, after)


def refused(vmi: VirtualMachineInstance, reason: str, message: str, now: datetime) -> list[Operation]:
    """The patch that says why the machine is not started; empty if it is said already."""
    after = dict(vmi.raw_status)
    after["conditions"] = stored_conditions(vmi, [Condition(SYNCHRONIZED, "False", reason, message)], now)
    return status_patch(vmi, after)


def _interfaces(vmi: VirtualMachineInstance, pod: PodNetwork) -> list[dict[str, Any]] | None:
    """The guest's interfaces as others reach them; None if the spec does not tell."""
    try:
        spec = parse_spec(vmi.spec)
    except UnsupportedSpec:
        return None
    result: list[dict[str, Any]] = []
    for interface in effective_interfaces(spec):
        entry: dict[str, Any] = {
            "name": interface.name,
            "mac": mac_address(vmi.metadata.uid, interface),
            "infoSource": "domain",
            "podInterfaceName": POD_LINK,
            "queueCount": 1,
        }
        if pod.addresses:
            entry |= {"ipAddress": pod.addresses[0], "ipAddresses": list(pod.addresses)}
        result.append(entry)
    return result
