"""What the handler plans for the VirtualMachineInstance `demo`, and the status after it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from kubevirt.launcher.v1 import state_pb2
from virt_core.objects.kubevirt import Configuration
from virt_core.testing.patches import json_patch
from virt_core.vmi.accepted import AcceptedSpec, AcceptedSpecs, RefusedSpec
from virt_core.vmi.instance import VirtualMachineInstance
from virt_handler.machines.actions import (
    PatchStatus,
    RecordEvent,
)
from virt_handler.machines.guest_state import GuestState
from virt_handler.machines.observe import LauncherRefusal, Observed
from virt_handler.machines.plan import plan
from virt_handler.network.plan import PodNetwork

from tests.unit.handler.demo import NODE, VMI_UID

NOW = datetime(2026, 1, 31, 10, tzinfo=UTC)
POD = PodNetwork(1500, ("10.244.1.7",))
ABSENT = GuestState("", state_pb2.MACHINE_PHASE_ABSENT)
RUNNING = GuestState(VMI_UID, state_pb2.MACHINE_PHASE_RUNNING)
ALIVE = ["Scheduling", "Scheduled", "Running"]


def accepted(vmi: VirtualMachineInstance) -> AcceptedSpec | RefusedSpec:
    return AcceptedSpecs().of(vmi, Configuration())


def observe(
    vmi: VirtualMachineInstance, guest: GuestState | None, *, refusal: LauncherRefusal | None = None
) -> Observed:
    return Observed(vmi, NODE, accepted(vmi), guest=guest, network=POD if guest else None, refusal=refusal)


def apply(stored: dict[str, Any], operations: tuple[dict[str, Any], ...]) -> dict[str, Any]:
    """As the API server would; every test of the patch must hold."""
    whole = {"metadata": {"uid": VMI_UID, "resourceVersion": ""}, "status": stored}
    patched: dict[str, Any] = json_patch(whole, list(operations))["status"]
    return patched


def conditions(status: str, reason: str) -> dict[str, Any]:
    ready = {"type": "Ready", "status": status, "reason": reason, "message": "words"}
    return {"phase": "Running", "conditions": [ready]}


def status_after(vmi: VirtualMachineInstance, guest: GuestState) -> dict[str, Any]:
    """The status after what is planned; planning again from there plans nothing."""
    actions = plan(observe(vmi, guest), NOW)
    status = vmi.raw_status
    for action in actions:
        if isinstance(action, PatchStatus):
            status = apply(status, action.operations)
        else:
            assert isinstance(action, RecordEvent)
    return status


def types(status: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {condition["type"]: (condition["status"], condition.get("reason", "")) for condition in status["conditions"]}
