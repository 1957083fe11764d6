"""The rows of the page's list of VMs, made of VirtualMachines and VirtualMachineInstances. Pure; called by board.py."""

from __future__ import annotations

from typing import Any

import msgspec
from virt_core.conventions.conditions import LIVE_MIGRATABLE
from virt_core.conventions.migration import OUTDATED_LAUNCHER
from virt_core.objects.meta import condition_of
from virt_core.vm.virtual_machine import VirtualMachine
from virt_core.vmi.instance import VirtualMachineInstance, VmiPhase

from virt_admin.ui.actions import Situation, possible


class Row(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """A VM: a VirtualMachine, a VirtualMachineInstance, or the two that belong together."""

    namespace: str
    name: str
    kind: str
    """ "VirtualMachine", or "VirtualMachineInstance" for one without."""

    state: str
    """`printableStatus`, or the phase."""

    ready: bool
    node: str
    addresses: list[str]
    created: str
    run_strategy: str
    runs: bool
    """Whether there is a serial console to open."""

    display: bool
    outdated: bool
    """Whether its launcher is of another image than new ones get."""

    message: str
    """Why it is not ready, or cannot be moved."""

    actions: list[str]


class _Interface(msgspec.Struct, frozen=True, rename="camel"):
    ip_address: str = ""


class _Status(msgspec.Struct, frozen=True):
    interfaces: list[_Interface] = []


class _Devices(msgspec.Struct, frozen=True, rename="camel"):
    autoattach_graphics_device: bool | None = None


class _Domain(msgspec.Struct, frozen=True):
    devices: _Devices = _Devices()


class _Spec(msgspec.Struct, frozen=True):
    domain: _Domain = _Domain()


def row(vm: VirtualMachine | None, vmi: VirtualMachineInstance | None) -> Row | None:
    """The row; None if there is neither."""
    meta = vm.metadata if vm is not None else vmi.metadata if vmi is not None else None
    if meta is None:
        return None
    situation = _situation(vm, vmi)
    status = vmi.status if vmi is not None else None
    return Row(
        namespace=meta.namespace,
        name=meta.name,
        kind="VirtualMachine" if vm is not None else "VirtualMachineInstance",
        state=_state(vm, vmi),
        ready=_holds(vm if vm is not None else vmi, "Ready"),
        node=status.node_name if status is not None else "",
        addresses=_addresses(vmi),
        created=meta.creation_timestamp,
        run_strategy=_strategy(vm),
        runs=situation.runs,
        display=situation.runs and _has_display(vmi),
        outdated=vmi is not None and OUTDATED_LAUNCHER in vmi.metadata.labels,
        message=_message(vm, vmi),
        actions=possible(situation),
    )


def _situation(vm: VirtualMachine | None, vmi: VirtualMachineInstance | None) -> Situation:
    phase = vmi.status.phase if vmi is not None else None
    return Situation(
        has_vm=vm is not None,
        lives=phase is not None and not phase.final,
        runs=phase is VmiPhase.RUNNING,
        paused=_holds(vmi, "Paused"),
        migratable=_holds(vmi, LIVE_MIGRATABLE),
        migrates=vmi is not None and vmi.status.migrates,
    )


def _state(vm: VirtualMachine | None, vmi: VirtualMachineInstance | None) -> str:
    if vm is not None:
        return vm.status.printable_status or "Unknown"
    assert vmi is not None
    if vmi.status.migrates:
        return "Migrating"
    return "Paused" if _holds(vmi, "Paused") else vmi.status.phase.value or "Pending"


def _strategy(vm: VirtualMachine | None) -> str:
    try:
        return vm.spec.strategy_name if vm is not None else ""
    except msgspec.ValidationError:
        return ""


def _holds(of: VirtualMachine | VirtualMachineInstance | None, kind: str) -> bool:
    found = condition_of(of.status.conditions, kind) if of is not None else None
    return found is not None and found.status == "True"


def _message(vm: VirtualMachine | None, vmi: VirtualMachineInstance | None) -> str:
    """The reason and message of the first condition that says that something is missing."""
    for of in (vmi, vm):
        for kind in ("Failure", "Synchronized", "PodScheduled", "Ready"):
            found = condition_of(of.status.conditions, kind) if of is not None else None
            bad = "True" if kind == "Failure" else "False"
            if found is not None and found.status == bad and found.message:
                return f"{found.reason}: {found.message}"
    return ""


def _addresses(vmi: VirtualMachineInstance | None) -> list[str]:
    found = _converted(vmi.raw_status if vmi is not None else {}, _Status)
    return [interface.ip_address for interface in found.interfaces if interface.ip_address] if found else []


def _has_display(vmi: VirtualMachineInstance | None) -> bool:
    try:
        spec = msgspec.json.decode(vmi.raw_spec, type=_Spec) if vmi is not None else _Spec()
    except msgspec.ValidationError:
        return True
    return spec.domain.devices.autoattach_graphics_device is not False


def _converted(value: Any, kind: type[_Status]) -> _Status | None:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return None
