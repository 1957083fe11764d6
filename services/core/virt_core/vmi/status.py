"""Functions for writing a VirtualMachineInstance's status, shared by controller and handler. Pure.

Both start from the stored status, so that fields of other writers and releases stay unchanged, and write the difference
as one guarded patch. Called by their status.py and plan.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import msgspec

from virt_core.conventions.conditions import GUEST_NOT_RUNNING, READY
from virt_core.objects import patch
from virt_core.objects.meta import Condition, condition_of, rfc3339, with_conditions
from virt_core.objects.patch import Operation
from virt_core.vmi.instance import VirtualMachineInstance, VmiPhase

NODE_UNREACHABLE = "NodeUnreachable"
NODE_NOT_READY = "NodeNotReady"
HANDLER_UNRESPONSIVE = "HandlerUnresponsive"
NODE_REASONS = frozenset({NODE_UNREACHABLE, NODE_NOT_READY, HANDLER_UNRESPONSIVE})
"""Reasons of Ready=False when the guest's state is unknown. The controller sets and removes them."""

POD_TERMINATING = "PodTerminating"
"""Reason of Ready=False when the launcher pod is terminating although the VMI is not deleted. The guest shuts down."""

CONTROLLERS_REASONS = NODE_REASONS | {POD_TERMINATING}
"""Reasons of Ready=False that only the controller sets and replaces."""

NOT_RUNNING_YET = Condition(READY, "False", GUEST_NOT_RUNNING, "the guest is not running yet")
"""Ready of a new VMI, until its guest runs."""


class _Probed(msgspec.Struct, frozen=True, rename="camel"):
    readiness_probe: dict[str, Any] | None = None


_probed = msgspec.json.Decoder(_Probed)


def has_readiness_probe(vmi: VirtualMachineInstance) -> bool:
    """Whether Ready follows the user's readiness probe instead of the guest's phase."""
    return _probed.decode(vmi.raw_spec).readiness_probe is not None


def ready_condition(vmi: VirtualMachineInstance) -> Condition | None:
    """The condition Ready as stored."""
    return condition_of(vmi.status.conditions, READY)


def ready_is_controllers(vmi: VirtualMachineInstance) -> bool:
    """Whether a handler must leave Ready alone while the guest runs."""
    current = ready_condition(vmi)
    by_controller = current is not None and current.reason in CONTROLLERS_REASONS
    return by_controller or has_readiness_probe(vmi)


def in_phase(status: Mapping[str, Any], phase: VmiPhase, now: datetime) -> dict[str, Any]:
    """`status` with `phase`, and with the transition's timestamp if the phase changes."""
    if status.get("phase", "") == phase.value:
        return dict(status)
    moment = {"phase": phase.value, "phaseTransitionTimestamp": rfc3339(now)}
    kept = [old for old in status.get("phaseTransitionTimestamps", []) if old.get("phase") != phase.value]
    return {**status, "phase": phase.value, "phaseTransitionTimestamps": [*kept, moment]}


def stored_conditions(vmi: VirtualMachineInstance, wanted: Iterable[Condition], now: datetime) -> list[dict[str, Any]]:
    """The VMI's conditions with those in `wanted` replaced by type, as JSON."""
    built: list[dict[str, Any]] = msgspec.to_builtins(with_conditions(vmi.status.conditions, wanted, now))
    return built


def status_patch(vmi: VirtualMachineInstance, after: Mapping[str, Any]) -> list[Operation]:
    """The guarded patch from the stored status to `after`; empty if they are equal."""
    return patch.status_patch(vmi.metadata, vmi.raw_status, after)
