"""Metrics of what guests use, with KubeVirt's names and labels. Pure; called by reconcile.py when somebody asks.

The launcher is the guest's side. So that it cannot make up series without end, vCPUs, disks and interfaces are those of
the spec (reportable.py), and file systems, whose names are the guest's, are few and short.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any

from google.protobuf.message import Message
from kubevirt.launcher.v1 import statistics_pb2
from prometheus_client.metrics_core import Metric
from virt_core.metrics.families import Values, counter, gauge
from virt_core.metrics.passes import SYNC_ABOUT, SYNC_TOTAL, Passes
from virt_core.vmi.instance import VirtualMachineInstance

from virt_handler.machines.hostile_text import TEXT_LENGTH, printable
from virt_handler.machines.reportable import MOST_VCPUS, reportable

_MOST_DEVICES, _MOST_FILESYSTEMS = 512, 32
_NANO = 1e9  # in a second
Guest = tuple[VirtualMachineInstance, statistics_pb2.MachineStatistics]
# Each a part of the name, a description and the field.
_CPU = (
    ("usage", "Total CPU time spent in all modes (sum of both vcpu and hypervisor usage).", "cpu_nanoseconds"),
    ("user_usage", "Total CPU time spent in user mode.", "cpu_user_nanoseconds"),
    ("system_usage", "Total CPU time spent in system mode.", "cpu_system_nanoseconds"),
)
_MEMORY = (
    ("available_bytes", "Amount of usable memory as seen by the domain.", "available_bytes"),
    ("unused_bytes", "The amount of memory left completely unused by the system.", "unused_bytes"),
    (
        "usable_bytes",
        "The amount of memory which can be reclaimed by balloon without pushing the guest system to swap.",
        "usable_bytes",
    ),
    (
        "cached_bytes",
        "The amount of memory that is being used to cache I/O and is available to be reclaimed.",
        "cached_bytes",
    ),
    ("resident_bytes", "Resident set size of the process running the domain.", "resident_bytes"),
    ("domain_bytes", "The amount of memory in bytes allocated to the domain.", "domain_bytes"),
    ("actual_balloon_bytes", "Current balloon size in bytes.", "actual_balloon_bytes"),
    ("swap_in_traffic_bytes", "The total amount of data read from swap space of the guest in bytes.", "swap_in_bytes"),
    (
        "swap_out_traffic_bytes",
        "The total amount of memory written out to swap space of the guest in bytes.",
        "swap_out_bytes",
    ),
    ("pgmajfault_total", "The number of page faults when disk IO was required.", "major_faults"),
    ("pgminfault_total", "The number of other page faults, when disk IO was not required.", "minor_faults"),
)
_TRAFFIC = (
    ("bytes", "Total network traffic {} in bytes.", "bytes"),
    ("packets", "Total network traffic {} packets.", "packets"),
    ("errors", "Total network {} error packets.", "errors"),
    ("packets_dropped", "The total number of {} packets dropped on vNIC interfaces.", "dropped"),
)
_DEPRECATED_TRAFFIC = "[Deprecated] Total number of bytes sent and received."
_STORAGE = (
    ("iops_read_total", "Total number of I/O read operations.", "reads", "requests", 1.0),
    ("iops_write_total", "Total number of I/O write operations.", "writes", "requests", 1.0),
    ("read_traffic_bytes_total", "Total number of bytes read from storage.", "reads", "bytes", 1.0),
    ("write_traffic_bytes_total", "Total number of written bytes.", "writes", "bytes", 1.0),
    ("read_times_seconds_total", "Total time spent on read operations.", "reads", "nanoseconds", _NANO),
    ("write_times_seconds_total", "Total time spent on write operations.", "writes", "nanoseconds", _NANO),
    ("flush_requests_total", "Total storage flush requests.", "flushes", "requests", 1.0),
    ("flush_times_seconds_total", "Total time spent on cache flushing.", "flushes", "nanoseconds", _NANO),
)
_VCPU = (
    (
        "seconds",
        "Total amount of time spent in each state by each vcpu (cpu_time excluding hypervisor time).",
        "nanoseconds",
    ),
    ("wait_seconds", "Amount of time spent by each vcpu while waiting on I/O.", "wait_nanoseconds"),
    (
        "delay_seconds",
        "Amount of time spent by each vcpu waiting in the queue instead of running.",
        "delay_nanoseconds",
    ),
)


def families(guests: Sequence[Guest]) -> Iterator[Metric]:
    """Of all guests that were measured."""
    known = [(vmi, found, reportable(vmi)) for vmi, found in guests]
    yield from _of_cpus(guests)
    yield from _of_vcpus([(vmi, found.vcpus, spec.vcpus) for vmi, found, spec in known])
    yield from _of_memory(guests)
    yield from _of_interfaces([(vmi, found.interfaces, spec.interfaces) for vmi, found, spec in known])
    yield from _of_disks([(vmi, found.disks, spec.disks) for vmi, found, spec in known])
    yield from _of_filesystems(guests)


def synced(passes: Passes) -> Metric:
    """How often the guests of this node were reconciled."""
    return counter(SYNC_TOTAL, SYNC_ABOUT, passes)


def _of_cpus(guests: Sequence[Guest]) -> Iterator[Metric]:
    for name, about, field in _CPU:
        yield counter(
            f"kubevirt_vmi_cpu_{name}_seconds_total", about, _each(guests, lambda found: [({}, found)], field, _NANO)
        )


def _of_vcpus(found: Sequence[tuple[VirtualMachineInstance, Any, int]]) -> Iterator[Metric]:
    for name, about, field in _VCPU:
        values = chain.from_iterable(_values_of_vcpus(vmi, vcpus, count, field) for vmi, vcpus, count in found)
        yield counter(f"kubevirt_vmi_vcpu_{name}_total", about, values)


def _values_of_vcpus(vmi: VirtualMachineInstance, vcpus: Any, count: int, field: str) -> Values:
    shown = set[int]()
    for vcpu in islice(vcpus, MOST_VCPUS):
        if vcpu.id < count and vcpu.id not in shown:
            shown.add(vcpu.id)
            labels = {"id": str(vcpu.id), "state": _STATES.get(vcpu.state, "")}
            yield from _value(vmi, labels, vcpu, field, _NANO)


_STATES = {
    statistics_pb2.VCPU_STATE_OFFLINE: "OFFLINE",
    statistics_pb2.VCPU_STATE_RUNNING: "RUNNING",
    statistics_pb2.VCPU_STATE_BLOCKED: "BLOCKED",
}


def _of_memory(guests: Sequence[Guest]) -> Iterator[Metric]:
    for name, about, field in _MEMORY:
        values = _each(guests, lambda found: [({}, found.memory)], field)
        yield (counter if name.endswith("_total") else gauge)(f"kubevirt_vmi_memory_{name}", about, values)


def _of_interfaces(found: Sequence[tuple[VirtualMachineInstance, Any, frozenset[str]]]) -> Iterator[Metric]:
    for direction, way in (("receive", "received"), ("transmit", "transmitted")):
        for name, about, field in _TRAFFIC:
            values = _of_devices(found, "interface", way, field)
            yield counter(f"kubevirt_vmi_network_{direction}_{name}_total", about.format(way), values)
    both = [
        ({**labels, "type": kind}, value)
        for kind, way in (("rx", "received"), ("tx", "transmitted"))
        for labels, value in _of_devices(found, "interface", way, "bytes")
    ]
    yield counter("kubevirt_vmi_network_traffic_bytes_total", _DEPRECATED_TRAFFIC, both)


def _of_disks(found: Sequence[tuple[VirtualMachineInstance, Any, frozenset[str]]]) -> Iterator[Metric]:
    for name, about, operation, field, unit in _STORAGE:
        yield counter(f"kubevirt_vmi_storage_{name}", about, _of_devices(found, "drive", operation, field, unit))


def _of_devices(
    found: Sequence[tuple[VirtualMachineInstance, Any, frozenset[str]]],
    label: str,
    part: str,
    field: str,
    unit: float = 1.0,
) -> Values:
    for vmi, devices, names in found:
        shown = set[str]()
        for device in islice(devices, _MOST_DEVICES):
            if device.name in names and device.name not in shown:
                shown.add(device.name)
                yield from _value(vmi, {label: device.name}, getattr(device, part), field, unit)


def _of_filesystems(guests: Sequence[Guest]) -> Iterator[Metric]:
    found = [
        (vmi, filesystem) for vmi, measured in guests for filesystem in islice(measured.filesystems, _MOST_FILESYSTEMS)
    ]
    for name, about, field in (
        ("capacity", "Total VM filesystem capacity in bytes.", "total_bytes"),
        ("used", "Used VM filesystem capacity in bytes.", "used_bytes"),
    ):
        values = {
            tuple(_filesystem(vmi, filesystem).items()): float(getattr(filesystem, field)) for vmi, filesystem in found
        }
        shown = [(dict(labels), value) for labels, value in values.items()]
        yield gauge(f"kubevirt_vmi_filesystem_{name}_bytes", about, shown)


def _filesystem(vmi: VirtualMachineInstance, filesystem: Any) -> dict[str, str]:
    names = {"disk_name": filesystem.name, "mount_point": filesystem.mount_point, "file_system_type": filesystem.type}
    return {**_place(vmi), **{label: printable(text, TEXT_LENGTH) for label, text in names.items()}}


def _each(
    guests: Iterable[Guest],
    parts: Callable[[statistics_pb2.MachineStatistics], Iterable[tuple[dict[str, str], Message]]],
    field: str,
    unit: float = 1.0,
) -> Values:
    for vmi, found in guests:
        for labels, part in parts(found):
            yield from _value(vmi, labels, part, field, unit)


def _value(vmi: VirtualMachineInstance, labels: dict[str, str], message: Any, field: str, unit: float) -> Values:
    """One sample; none of a number that the launcher does not know."""
    if message.HasField(field):
        yield {**_place(vmi), **labels}, getattr(message, field) / unit


def _place(vmi: VirtualMachineInstance) -> dict[str, str]:
    return {"node": vmi.status.node_name, "namespace": vmi.metadata.namespace, "name": vmi.metadata.name}
