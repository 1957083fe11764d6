"""Resource requests and limits of a launcher pod. Pure; called by pod/template.py.

They cover the guest's memory and CPUs, the memory overhead, and devices. The user's requests and limits are for the
guest; the overhead is added, as in KubeVirt.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from virt_core.conventions.devices import KVM, TUN
from virt_core.objects.kubevirt import Configuration
from virt_core.objects.quantity import parse_bytes, parse_quantity
from virt_core.vmi.accepted import AcceptedSpec
from virt_core.vmi.spec.domain import Probe
from virt_core.vmi.spec.volumes import Volume

_MI = 1 << 20
# Memory overhead. Measured as PSS of the processes of a single pod on a machine, with a small emulated Linux guest; the
# constants add room for a busy guest.
_LAUNCHER_OVERHEAD = 48 * _MI  # 42 measured: Python launcher 29.5, session libvirtd 12.5, supervisor, filter 0.3
_QEMU_OVERHEAD = 64 * _MI  # 48 measured: QEMU without guest memory, translated code, display; disks cache tables, too
_EMULATION_OVERHEAD = 64 * _MI  # 52 measured after the boot: translated code, the launcher's TRANSLATION_CACHE_MIB
_VCPU_OVERHEAD = 4 * _MI  # 1.1 measured per vCPU; PSS does not include the kernel's share
_DISPLAY_OVERHEAD = 32 * _MI  # 4.6 measured; with a VNC client the card's 16 MiB and the server's copy of them
_PROBE_OVERHEAD = 32 * _MI  # per running virt-probe; 32.7 measured, including libraries shared with the launcher
# A backup runs virt-freezer in the pod: 25.5 measured, 23.2 of it its own. Without a limit, its memory
# comes from the node.
_FREEZER_OVERHEAD = 32 * _MI
_PAGE_TABLE_SHARE = 512  # page tables take 1/512 of guest memory: 8 bytes per page of 4 KiB

_OVERLAYS = 50_000_000  # bytes of ephemeral storage that a pod with overlays requests, as in KubeVirt


def overhead_bytes(spec: AcceptedSpec, configuration: Configuration) -> int:
    """Memory overhead of the guest in bytes."""
    emulated = configuration.developer_configuration.use_emulation
    overhead = _LAUNCHER_OVERHEAD + _QEMU_OVERHEAD + spec.topology.vcpus * _VCPU_OVERHEAD
    overhead += spec.memory_bytes // _PAGE_TABLE_SHARE
    overhead += _EMULATION_OVERHEAD if emulated else 0
    overhead += sum(map(_runs_program, (spec.spec.liveness_probe, spec.spec.readiness_probe))) * _PROBE_OVERHEAD
    overhead += _FREEZER_OVERHEAD if "memory" in spec.spec.domain.resources.limits else 0
    return overhead + (_DISPLAY_OVERHEAD if spec.display is not None else 0)


def _runs_program(probe: Probe | None) -> bool:
    """Whether the kubelet runs a program in the pod for this probe."""
    return probe is not None and (probe.exec is not None or probe.guest_agent_ping is not None)


def resources(spec: AcceptedSpec, configuration: Configuration) -> dict[str, Any]:
    """Requests and limits of the launcher's container."""
    user, overhead = spec.spec.domain.resources, overhead_bytes(spec, configuration)
    requests: dict[str, Any] = {"cpu": _cpu_request(spec, configuration), **user.requests}
    limits: dict[str, Any] = dict(user.limits)
    on_request = 0 if user.overcommit_guest_overhead else overhead
    requests["memory"] = str(_memory_request(spec, configuration) + on_request)
    if "memory" in limits:
        limits["memory"] = str(parse_bytes(str(limits["memory"])) + overhead)
    if page := spec.hugepage_bytes:
        # Guest memory is in huge pages; ordinary memory is only the overhead.
        pages = {f"hugepages-{_binary(page)}": str(spec.memory_bytes)}
        requests = {**requests, "memory": str(overhead), **pages}
        limits = {**limits, **({"memory": str(overhead)} if "memory" in limits else {}), **pages}
    if any(_has_overlay(volume) for volume in spec.spec.volumes):
        for where in (requests, limits):
            storage = where.get("ephemeral-storage")
            if storage is not None:
                where["ephemeral-storage"] = str(parse_bytes(str(storage)) + _OVERLAYS)
        requests.setdefault("ephemeral-storage", str(_OVERLAYS))
    devices = _devices(spec, configuration)
    return {"requests": {**requests, **devices}, "limits": {**limits, **devices}}


def is_guaranteed(requirements: dict[str, Any]) -> bool:
    """Whether a container with these requirements is Guaranteed: requests of CPU and memory equal their limits. A pod
    is Guaranteed if all of its containers are."""
    requests, limits = requirements["requests"], requirements["limits"]
    return all(
        name in limits and parse_quantity(str(requests[name])) == parse_quantity(str(limits[name]))
        for name in ("cpu", "memory")
    )


def guaranteed(requirements: dict[str, Any]) -> dict[str, Any]:
    """The same limits with equal requests, for a container beside a Guaranteed one."""
    return {"requests": requirements["limits"], "limits": requirements["limits"]}


def _memory_request(spec: AcceptedSpec, configuration: Configuration) -> int:
    """The user's request, or else the limit, or else guest memory divided by the cluster's overcommit."""
    user = spec.spec.domain.resources
    if "memory" in user.requests:
        return parse_bytes(str(user.requests["memory"]))
    if "memory" in user.limits:
        return parse_bytes(str(user.limits["memory"]))
    return spec.memory_bytes * 100 // (configuration.developer_configuration.memory_overcommit or 100)


def _cpu_request(spec: AcceptedSpec, configuration: Configuration) -> str:
    """The user's limit, or else the number of vCPUs divided by KubeVirt's cpuAllocationRatio."""
    limit = spec.spec.domain.resources.limits.get("cpu")
    if limit is not None:
        return str(limit)
    ratio = configuration.developer_configuration.cpu_allocation_ratio or 10
    return f"{max(1, spec.topology.vcpus * 1000 // ratio)}m"


def _devices(spec: AcceptedSpec, configuration: Configuration) -> dict[str, str]:
    devices = {}
    if spec.interfaces:
        devices[TUN] = "1"
    if not configuration.developer_configuration.use_emulation:
        devices[KVM] = "1"
    return devices


def _has_overlay(volume: Volume) -> bool:
    return any(source is not None for source in (volume.container_disk, volume.ephemeral, volume.empty_disk))


def _binary(size: int) -> str:
    """A huge page size in Kubernetes' notation: "2Mi", "1Gi"."""
    unit, suffix = (1 << 30, "Gi") if size % (1 << 30) == 0 else (_MI, "Mi")
    return f"{Decimal(size) / unit:f}{suffix}"
