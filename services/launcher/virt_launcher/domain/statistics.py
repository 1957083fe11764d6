"""libvirt's statistics of the domain as the contract has them. Pure; called by virt_launcher/statistics.py.

libvirt counts memory in KiB and names disks and interfaces after their targets (virConnectGetAllDomainStats).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kubevirt.launcher.v1 import machine_pb2, statistics_pb2

_MOST = 1024  # vCPUs, disks or interfaces that are read
_KIB = 1024
_STATES = {  # virVcpuState
    0: statistics_pb2.VCPU_STATE_OFFLINE,
    1: statistics_pb2.VCPU_STATE_RUNNING,
    2: statistics_pb2.VCPU_STATE_BLOCKED,
}
_MEMORY = {
    "domain_bytes": ("maximum", _KIB),
    "actual_balloon_bytes": ("current", _KIB),
    "resident_bytes": ("rss", _KIB),
    "available_bytes": ("available", _KIB),
    "unused_bytes": ("unused", _KIB),
    "usable_bytes": ("usable", _KIB),
    "cached_bytes": ("disk_caches", _KIB),
    "swap_in_bytes": ("swap_in", _KIB),
    "swap_out_bytes": ("swap_out", _KIB),
    "major_faults": ("major_fault", 1),
    "minor_faults": ("minor_fault", 1),
}
Found = Mapping[str, Any]


def machine_statistics(
    found: Found, machine: machine_pb2.Machine, disk_targets: Sequence[str]
) -> statistics_pb2.MachineStatistics:
    """The message. `disk_targets` are those of the machine's disks."""
    disks = {target: disk.name for target, disk in zip(disk_targets, machine.disks, strict=True)}
    interfaces = {interface.tap_device: interface.name for interface in machine.interfaces}
    vcpus = range(_number(found, "vcpu.maximum"))
    memory = {field: _count(found, f"balloon.{name}", unit) for field, (name, unit) in _MEMORY.items()}
    return statistics_pb2.MachineStatistics(
        cpu_nanoseconds=_count(found, "cpu.time"),
        cpu_user_nanoseconds=_count(found, "cpu.user"),
        cpu_system_nanoseconds=_count(found, "cpu.system"),
        vcpus=[_vcpu(found, number) for number in vcpus if f"vcpu.{number}.state" in found],
        memory=statistics_pb2.MemoryStatistics(**memory),
        interfaces=[_interface(found, prefix, name) for prefix, name in _named(found, "net", interfaces)],
        disks=[_disk(found, prefix, name) for prefix, name in _named(found, "block", disks)],
    )


def _named(found: Found, kind: str, names: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The prefix and the name in the VirtualMachineInstance of each disk or interface. Others are no part of it."""
    for number in range(_number(found, f"{kind}.count")):
        prefix = f"{kind}.{number}"
        name = names.get(str(found.get(f"{prefix}.name")))
        if name is not None:
            yield prefix, name


def _vcpu(found: Found, number: int) -> statistics_pb2.VcpuStatistics:
    prefix = f"vcpu.{number}"
    return statistics_pb2.VcpuStatistics(
        id=number,
        state=_STATES.get(found.get(f"{prefix}.state", -1), statistics_pb2.VCPU_STATE_UNSPECIFIED),
        nanoseconds=_count(found, f"{prefix}.time"),
        wait_nanoseconds=_count(found, f"{prefix}.wait"),
        delay_nanoseconds=_count(found, f"{prefix}.delay"),
    )


def _interface(found: Found, prefix: str, name: str) -> statistics_pb2.InterfaceStatistics:
    return statistics_pb2.InterfaceStatistics(
        name=name, received=_traffic(found, f"{prefix}.rx"), transmitted=_traffic(found, f"{prefix}.tx")
    )


def _traffic(found: Found, prefix: str) -> statistics_pb2.TrafficStatistics:
    return statistics_pb2.TrafficStatistics(
        bytes=_count(found, f"{prefix}.bytes"),
        packets=_count(found, f"{prefix}.pkts"),
        errors=_count(found, f"{prefix}.errs"),
        dropped=_count(found, f"{prefix}.drop"),
    )


def _disk(found: Found, prefix: str, name: str) -> statistics_pb2.DiskStatistics:
    kinds = {"reads": "rd", "writes": "wr", "flushes": "fl"}
    return statistics_pb2.DiskStatistics(
        name=name, **{field: _operations(found, f"{prefix}.{kind}") for field, kind in kinds.items()}
    )


def _operations(found: Found, prefix: str) -> statistics_pb2.OperationStatistics:
    return statistics_pb2.OperationStatistics(
        requests=_count(found, f"{prefix}.reqs"),
        bytes=_count(found, f"{prefix}.bytes"),
        nanoseconds=_count(found, f"{prefix}.times"),
    )


def _count(found: Found, name: str, unit: int = 1) -> int | None:
    """A number that fits into the contract; None: libvirt does not know it."""
    value = found.get(name)
    return value * unit if isinstance(value, int) and 0 <= value * unit < 1 << 64 else None


def _number(found: Found, name: str) -> int:
    return min(_count(found, name) or 0, _MOST)
