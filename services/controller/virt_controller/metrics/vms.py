"""Metrics of VirtualMachines, with KubeVirt's names and labels. Pure; called by measure.py.

Requests and limits are those of the template. Of a VirtualMachine with an instance type they are left out: KubeVirt
shows what the instance type makes of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
from prometheus_client.metrics_core import Metric
from virt_core.metrics.families import Values, counter, gauge
from virt_core.objects.meta import moment_of
from virt_core.objects.quantity import parse_quantity
from virt_core.vm.virtual_machine import VirtualMachine

from virt_controller.metrics.vmis import system

_ERROR, _UNKNOWN = "error", "<unknown>"
_GROUPS = {
    "starting": ("Provisioning", "Starting", "WaitingForVolumeBinding"),
    "running": ("Running",),
    "migrating": ("Migrating",),
    "non_running": ("Stopped", "Paused", "Stopping", "Terminating"),
    _ERROR: (
        "CrashLoopBackOff",
        "Unknown",
        "ErrorUnschedulable",
        "ErrImagePull",
        "ImagePullBackOff",
        "ErrorPvcNotFound",
        "DataVolumeError",
    ),
}
_GROUP_OF = {status: group for group, statuses in _GROUPS.items() for status in statuses}
_CPU = ("cores", "threads", "sockets")
_CONDITIONS = ("Ready", "Failure", "Paused")
_TRANSITION = "Virtual Machine last transition timestamp to {} status."
_REQUESTS = "Resources requested by Virtual Machine. Reports memory and CPU requests."
_LIMITS = "Resource limits set for a Virtual Machine. Reports CPU and memory limits only when they are defined."


class _Resources(msgspec.Struct, frozen=True):
    requests: dict[str, Any] = {}
    limits: dict[str, Any] = {}


class _Domain(msgspec.Struct, frozen=True):
    cpu: dict[str, Any] | None = None
    memory: dict[str, Any] | None = None
    machine: dict[str, Any] | None = None
    resources: _Resources | None = None


class _Spec(msgspec.Struct, frozen=True):
    domain: _Domain = _Domain()


class _Metadata(msgspec.Struct, frozen=True):
    annotations: dict[str, Any] | None = None


class _Template(msgspec.Struct, frozen=True):
    metadata: _Metadata | None = None
    spec: _Spec = _Spec()


class _VmSpec(msgspec.Struct, frozen=True):
    template: _Template = _Template()
    instancetype: dict[str, Any] | None = None
    preference: dict[str, Any] | None = None


_decoder = msgspec.json.Decoder(_VmSpec)


@dataclass(frozen=True, slots=True)
class Machine:
    """A VirtualMachine with the part of its spec that is shown."""

    vm: VirtualMachine
    spec: _VmSpec

    @classmethod
    def of(cls, vm: VirtualMachine) -> Machine:
        """Of a spec that does not decode nothing is shown."""
        try:
            return cls(vm, _decoder.decode(vm.raw_spec))
        except (msgspec.DecodeError, RecursionError):
            return cls(vm, _VmSpec())

    @property
    def instancetype(self) -> str:
        """The name of its instance type."""
        return str((self.spec.instancetype or {}).get("name", ""))

    @property
    def preference(self) -> str:
        """The name of its preference."""
        return str((self.spec.preference or {}).get("name", ""))

    @property
    def names(self) -> dict[str, str]:
        """The labels of every metric."""
        return {"name": self.vm.metadata.name, "namespace": self.vm.metadata.namespace}


def families(machines: Iterable[Machine]) -> list[Metric]:
    """Of all VirtualMachines."""
    found = list(machines)
    created = ((machine, moment_of(machine.vm.metadata.creation_timestamp)) for machine in found)
    dates = [(machine.names, moment.timestamp()) for machine, moment in created if moment is not None]
    return [
        gauge("kubevirt_vm_info", "Information about Virtual Machines.", [_info(machine) for machine in found]),
        gauge("kubevirt_vm_create_date_timestamp_seconds", "Virtual Machine creation timestamp.", dates),
        gauge("kubevirt_vm_resource_requests", _REQUESTS, [entry for machine in found for entry in _requests(machine)]),
        gauge("kubevirt_vm_resource_limits", _LIMITS, [entry for machine in found for entry in _limits(machine)]),
        *_transitions(found),
    ]


def _info(machine: Machine) -> tuple[dict[str, str], float]:
    template, status = machine.spec.template, machine.vm.status.printable_status
    annotations = template.metadata.annotations if template.metadata is not None else None
    labels = {
        **machine.names,
        **system(annotations or {}),
        "machine_type": str((template.spec.domain.machine or {}).get("type", "")),
        "instance_type": machine.instancetype,
        "preference": machine.preference,
        "status": status.lower(),
        "status_group": _GROUP_OF.get(status, _UNKNOWN),
    }
    return labels, 1


def _transitions(machines: list[Machine]) -> Iterator[Metric]:
    """The time of the last change in the metric of the current group, 0 in the others."""
    now = [
        (machine.names, _GROUP_OF.get(machine.vm.status.printable_status, _ERROR), _changed(machine.vm))
        for machine in machines
    ]
    for group in _GROUPS:
        name = f"kubevirt_vm_{group}_status_last_transition_timestamp_seconds"
        values = [(names, moment if current == group else 0) for names, current, moment in now]
        about = _TRANSITION.format("paused/stopped" if group == "non_running" else group)
        yield counter(name, about, values)


def _changed(vm: VirtualMachine) -> float:
    moments = [
        moment_of(condition.last_transition_time) for condition in vm.status.conditions if condition.type in _CONDITIONS
    ]
    return max((moment.timestamp() for moment in moments if moment is not None), default=0.0)


def _requests(machine: Machine) -> Values:
    if machine.spec.instancetype is not None:
        return
    domain = machine.spec.template.spec.domain
    requested = (domain.resources or _Resources()).requests
    memory, hugepages = domain.memory or {}, (domain.memory or {}).get("hugepages")
    page = hugepages.get("pageSize") if isinstance(hugepages, dict) else None
    for source, value in (("domain", requested.get("memory")), ("guest", memory.get("guest")), ("hugepages", page)):
        yield from _quantity(machine, value, resource="memory", unit="bytes", source=source)
    yield from _quantity(machine, requested.get("cpu"), resource="cpu", unit="cores", source="requests")
    nothing = domain.cpu is None and not requested.get("cpu")
    cpu, source = (dict.fromkeys(_CPU, 1), "default") if nothing else (domain.cpu or {}, "domain")
    for unit in _CPU:
        yield from _quantity(machine, cpu.get(unit), resource="cpu", unit=unit, source=source)


def _limits(machine: Machine) -> Values:
    if machine.spec.instancetype is not None:
        return
    limits = (machine.spec.template.spec.domain.resources or _Resources()).limits
    yield from _quantity(machine, limits.get("memory"), resource="memory", unit="bytes")
    yield from _quantity(machine, limits.get("cpu"), resource="cpu", unit="cores")


def _quantity(machine: Machine, value: Any, **labels: str) -> Values:
    """One sample; none of what is absent, no quantity or zero."""
    try:
        number = float(parse_quantity(str(value))) if value else 0.0
    except ValueError:
        return
    if number:
        yield {**machine.names, **labels}, number
