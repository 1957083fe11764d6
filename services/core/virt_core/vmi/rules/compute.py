"""Rules for CPU, memory and resources of a VirtualMachineInstance. Pure; part of rules/check.py."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal

from virt_core.objects.quantity import parse_quantity
from virt_core.validation.refusal import (
    QUALIFIED_NAME,
    Refusals,
    Text,
    UnsupportedSpec,
    at_most,
    matching,
    matching_if_set,
    one_of,
    refused,
    unique,
    unless,
)
from virt_core.vmi.spec.domain import Cpu, VmiSpec
from virt_core.vmi.spec.effective import MAX_BYTES, MI, boots_by_uefi, effective_topology, guest_memory

# In any topology, 64 vCPUs have APIC IDs below 255. Above that a guest needs an IOMMU.
_MAX_VCPUS = 64
_MAX_FEATURES = 256
_CPU_MODEL = Text(re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*"), 64, "host-model, host-passthrough or a model's name")
_CPU_FEATURE = Text(re.compile(r"[a-z0-9][a-z0-9_.-]*"), 64, "a feature's name such as aes")
_POLICIES = ("force", "require", "optional", "disable", "forbid")  # libvirt's
_HUGEPAGES = {Decimal(2 << 20): "2Mi", Decimal(1 << 30): "1Gi"}  # x86-64's
_MAX_RESOURCES = 32
# Measured with OVMF 2022.11. OVMF alone boots with 48 MiB, or with 64 MiB with every device and 8 vCPUs. With a common
# kernel (Debian's 6.1 for clouds: 14 MiB, 51 MiB unpacked) it needs more. From a disk: it resets with 96 MiB, crashes
# with 128 MiB, boots with 144 MiB. With kernelBoot: it crashes with 128 MiB, hangs with 152 MiB, boots with 160 MiB. No
# event of QEMU reports a firmware that crashed: such a guest would be Ready for ever.
_LEAST_UEFI_MI = 160

Quantities = Mapping[str, str | int | float]


def compute_refusals(spec: VmiSpec) -> Refusals:
    """What is wrong with spec.domain's cpu, memory and resources."""
    yield from _cpu(spec, spec.domain.cpu)
    yield from _memory(spec)
    yield from _resources(spec)


def _cpu(spec: VmiSpec, cpu: Cpu) -> Refusals:
    path = "domain.cpu"
    counts = {"sockets": cpu.sockets, "cores": cpu.cores, "threads": cpu.threads}
    wrong = {field: count for field, count in counts.items() if not 0 <= count <= _MAX_VCPUS}
    for field, count in wrong.items():
        yield refused(f"{path}.{field}", count, f"1 to {_MAX_VCPUS}")
    topology = effective_topology(spec)
    if not wrong and topology.vcpus > _MAX_VCPUS:
        shape = f"{topology.sockets}x{topology.cores}x{topology.threads} vCPUs"
        yield refused(path, shape, f"at most {_MAX_VCPUS} vCPUs")
    yield from matching_if_set(f"{path}.model", cpu.model, _CPU_MODEL)
    for field, requested in (
        ("dedicatedCpuPlacement", cpu.dedicated_cpu_placement),
        ("isolateEmulatorThread", cpu.isolate_emulator_thread),
    ):
        yield from unless(not requested, f"{path}.{field}", requested, "false: this release places no CPUs")
    yield from at_most(f"{path}.features", cpu.features, _MAX_FEATURES)
    yield from unique(f"{path}.features", "name", [feature.name for feature in cpu.features])
    for index, feature in enumerate(cpu.features):
        yield from matching(f"{path}.features[{index}].name", feature.name, _CPU_FEATURE)
        yield from one_of(f"{path}.features[{index}].policy", feature.policy, _POLICIES)


def _memory(spec: VmiSpec) -> Refusals:
    try:
        memory = guest_memory(spec)
    except UnsupportedSpec as error:
        yield from error.refusals
        return
    if boots_by_uefi(spec):
        enough = memory.size >= _LEAST_UEFI_MI * MI
        yield from unless(enough, memory.field, memory.value, f"at least {_LEAST_UEFI_MI}Mi with UEFI")
    hugepages = spec.domain.memory.hugepages
    if hugepages is None:
        return
    path = "domain.memory.hugepages.pageSize"
    page = _parsed(hugepages.page_size)
    if page not in _HUGEPAGES:
        yield refused(path, hugepages.page_size, "2Mi or 1Gi")
    elif memory.size % int(page):
        yield refused(path, hugepages.page_size, f"a size that divides the guest's memory of {memory.size} bytes")


def _resources(spec: VmiSpec) -> Refusals:
    resources, path = spec.domain.resources, "domain.resources"
    for kind, quantities in (("requests", resources.requests), ("limits", resources.limits)):
        yield from at_most(f"{path}.{kind}", quantities, _MAX_RESOURCES)
        for name, value in quantities.items():
            yield from matching(f"{path}.{kind}", name, QUALIFIED_NAME)
            if name.startswith("hugepages-"):
                yield refused(f"{path}.{kind}", name, "spec.domain.memory.hugepages")
            number = _parsed(value)
            valid = number is not None and 0 <= number <= MAX_BYTES
            yield from unless(valid, f"{path}.{kind}.{name[:64]}", value, "a quantity such as 64Mi or 500m")
    yield from _requests_within_limits(resources.requests, resources.limits)
    limit = _parsed(resources.limits.get("memory", ""))
    guest = _parsed(spec.domain.memory.guest)
    if limit is not None and guest is not None and guest > limit:
        allowed = f"at most spec.{path}.limits.memory, {resources.limits['memory']}"
        yield refused("domain.memory.guest", spec.domain.memory.guest, allowed)


def _requests_within_limits(requests: Quantities, limits: Quantities) -> Refusals:
    for name in requests.keys() & limits.keys():
        wanted, limit = _parsed(requests[name]), _parsed(limits[name])
        if wanted is not None and limit is not None and wanted > limit:
            yield refused(f"domain.resources.requests.{name}", requests[name], f"at most the limit, {limits[name]}")


def _parsed(value: str | int | float) -> Decimal | None:
    try:
        return parse_quantity(str(value))
    except ValueError:
        return None
