"""What start, stop and restart of a VirtualMachine write, or why they are refused. Pure; called by lifecycle.py.

KubeVirt's rules and words. Where it answers 500 to a request that comes too early, this is a conflict.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from virt_core.objects.patch import Operation, status_patch
from virt_core.vm.virtual_machine import RunStrategy, StateChangeRequest, VirtualMachine, strategy_patch

from virt_api.errors import BadRequest, Conflict
from virt_api.subresources.request_body import document_of, options_in, require_dry_run_all, require_known_fields

_REQUESTS = "stateChangeRequests"
_FINAL = ("Succeeded", "Failed")
_NOT_RUNNING = "VM is not running"
_START = StateChangeRequest("Start")
_BY_REQUEST = (RunStrategy.MANUAL, RunStrategy.RERUN_ON_FAILURE)


class LifecycleOptions(msgspec.Struct, frozen=True, rename="camel"):
    """KubeVirt's StartOptions, StopOptions and RestartOptions in one: each verb has one field of its own."""

    dry_run: list[str] | None = None
    paused: bool = False
    grace_period: int | None = None
    grace_period_seconds: int | None = None


_FIELD: Mapping[str, str] = {"start": "paused", "stop": "gracePeriod", "restart": "gracePeriodSeconds"}


@dataclass(frozen=True, slots=True)
class Instance:
    """The VirtualMachineInstance that the VirtualMachine controls."""

    uid: str
    phase: str
    grace_period: int | None
    """Seconds; None: its spec names none."""


@dataclass(frozen=True, slots=True)
class Writes:
    """What a request writes, in this order."""

    grace_period: int | None = None
    """Seconds that the guest has to shut down from now on; None: what its VirtualMachineInstance says."""

    status: tuple[Operation, ...] = ()
    spec: tuple[Operation, ...] = ()


def options_of(verb: str, body: bytes) -> LifecycleOptions:
    """The options in a request's body, which may be absent.

    Raises:
        BadRequest: naming the field, its value and what is allowed.
    """
    found = document_of(verb, body)
    require_known_fields(verb, found, (_FIELD[verb], "dryRun"))
    options = options_in(verb, found, LifecycleOptions)
    require_dry_run_all(options.dry_run)
    if options.grace_period is not None and options.grace_period < 0:
        raise BadRequest(f"gracePeriod: {options.grace_period} is not allowed, use 0 or more")
    if options.grace_period_seconds not in (None, 0):
        raise BadRequest("gracePeriodSeconds: For force restart, only gracePeriod=0 is supported for now")
    return options


def unread(verb: str, options: LifecycleOptions) -> tuple[Operation, ...]:
    """The patch of the spec in the usual case, for a VirtualMachine that was not read: its tests fail in every other
    case, which `start` and `stop` then decide. Empty: there is no usual case."""
    if verb == "start" and not options.paused:
        return _switched(RunStrategy.HALTED, RunStrategy.ALWAYS, "created", "startFailure")
    if verb == "stop" and options.grace_period is None:
        return _switched(RunStrategy.ALWAYS, RunStrategy.HALTED, "startFailure", _REQUESTS)
    return ()


def _switched(before: RunStrategy, after: RunStrategy, *absent: str) -> tuple[Operation, ...]:
    """Another run strategy, if the fields `absent` of the status are so."""
    path = "/spec/runStrategy"
    return (
        {"op": "test", "path": path, "value": before.value},
        *({"op": "test", "path": f"/status/{field}", "value": None} for field in absent),
        {"op": "replace", "path": path, "value": after.value},
    )


def start(vm: VirtualMachine, instance: Instance | None, options: LifecycleOptions) -> Writes:
    """Start the VirtualMachine. Raises Conflict if it runs, or if its run strategy has no start."""
    strategy = vm.spec.strategy
    if instance is not None and instance.phase not in ("", "Unknown", *_FINAL):
        raise conflict(vm, "VM is already running")
    request = StateChangeRequest("Start", {"paused": "true"} if options.paused else {})
    if strategy is RunStrategy.HALTED:
        if options.paused:
            return Writes(status=_requested(vm, request))
        return Writes(status=_without_failure(vm), spec=tuple(strategy_patch(vm, RunStrategy.ALWAYS)))
    if strategy not in _BY_REQUEST:
        raise conflict(vm, f"{vm.spec.strategy_name} does not support manual start requests")
    if instance is None or instance.phase not in _FINAL:
        return Writes(status=_requested(vm, request))
    if strategy is RunStrategy.RERUN_ON_FAILURE and instance.phase == "Failed":
        raise conflict(vm, f"{vm.spec.strategy_name} does not support starting VM from failed state")
    return Writes(status=_requested(vm, _stop(instance), request))


def stop(vm: VirtualMachine, instance: Instance | None, options: LifecycleOptions) -> Writes:
    """Stop the VirtualMachine. Raises Conflict if it does not run."""
    strategy = vm.spec.strategy
    alive = instance is not None and instance.phase not in _FINAL
    grace = options.grace_period if alive else None
    if strategy in (RunStrategy.ALWAYS, RunStrategy.ONCE):
        return Writes(grace, _without_starts(vm), tuple(strategy_patch(vm, RunStrategy.HALTED)))
    if instance is None or not alive:
        raise conflict(vm, _NOT_RUNNING)
    if strategy is RunStrategy.HALTED:
        before = instance.grace_period
        if grace is None or (before is not None and grace >= before):
            raise conflict(vm, _NOT_RUNNING)
        return Writes(grace)
    return Writes(grace, _requested(vm, _stop(instance)))


def restart(vm: VirtualMachine, instance: Instance | None, options: LifecycleOptions) -> Writes:
    """Stop the guest and start another. Raises Conflict if there is none, or if the run strategy has no restart."""
    strategy = vm.spec.strategy
    if strategy in (RunStrategy.HALTED, RunStrategy.ONCE):
        raise conflict(vm, f"{vm.spec.strategy_name} does not support manual restart requests")
    if instance is None:
        raise conflict(vm, "VMI does not exist")
    grace = options.grace_period_seconds if instance.phase not in _FINAL else None
    return Writes(grace, _requested(vm, _stop(instance), _START))


Decision = Callable[[VirtualMachine, Instance | None, LifecycleOptions], Writes]
VERBS: Mapping[str, Decision] = {"start": start, "stop": stop, "restart": restart}


def conflict(vm: VirtualMachine, why: str) -> Conflict:
    """The refusal in KubeVirt's words."""
    name = vm.metadata.name
    message = f'Operation cannot be fulfilled on virtualmachine.kubevirt.io "{name}": {why}'
    return Conflict(message, {"group": "kubevirt.io", "kind": "virtualmachine", "name": name})


def _stop(instance: Instance) -> StateChangeRequest:
    return StateChangeRequest("Stop", uid=instance.uid)


def _requested(vm: VirtualMachine, *requests: StateChangeRequest) -> tuple[Operation, ...]:
    """The status with the requests. They replace a single stop that waits; what is known of failed starts ends."""
    waiting = vm.status.state_change_requests
    if waiting and not (len(waiting) == 1 and waiting[0].action == "Stop"):
        raise conflict(vm, "unable to complete request: stop/start already underway")
    after = {**vm.raw_status, _REQUESTS: msgspec.to_builtins(list(requests))}
    after.pop("startFailure", None)
    if any(condition.type == "Failure" for condition in vm.status.conditions):
        after["conditions"] = [entry for entry in after["conditions"] if entry.get("type") != "Failure"]
    return _status_patch(vm, after)


def _without_failure(vm: VirtualMachine) -> tuple[Operation, ...]:
    return _status_patch(vm, {key: value for key, value in vm.raw_status.items() if key != "startFailure"})


def _without_starts(vm: VirtualMachine) -> tuple[Operation, ...]:
    """Withdraw starts that wait: a paused one would switch the run strategy back to Always, and any other would hold
    later requests."""
    after = {key: value for key, value in vm.raw_status.items() if key not in ("startFailure", _REQUESTS)}
    if kept := [request for request in vm.status.state_change_requests if not request.is_start]:
        after[_REQUESTS] = msgspec.to_builtins(kept)
    return _status_patch(vm, after)


def _status_patch(vm: VirtualMachine, after: dict[str, Any]) -> tuple[Operation, ...]:
    return tuple(status_patch(vm.metadata, vm.raw_status, after))
