"""Whether the target's QEMU and libvirt know the hardware of a guest: machine type, CPU model, CPU features. Pure.

The launcher's image has a record of them, made when it is built (services/launcher/session/capability-cache). A running
guest has the machine type that its launcher reported; a name such as "q35" is an alias, which each QEMU resolves.
"""

from __future__ import annotations

from collections.abc import Iterator

from virt_operator.preflight.finding import Finding, Subject, blocking
from virt_operator.preflight.kinds import Domain
from virt_operator.suite.hypervisor import Hypervisor, newest

_HOST_MODELS = ("", "host-model", "host-passthrough")
_NAMED = 4  # names in a message


def unknown_hardware(subject: Subject, domain: Domain, machine_type: str, hypervisor: Hypervisor) -> Iterator[Finding]:
    """What the guest has and the target's hypervisor has not. `machine_type` is what runs, or what is requested."""
    known = newest(hypervisor.machine_types) or "another one"
    there = f"QEMU {hypervisor.qemu} and libvirt {hypervisor.libvirt} of {hypervisor.whose}".replace("  ", " ")
    running = subject.kind == "VirtualMachineInstance"
    below = "spec.domain" if running else "spec.template.spec.domain"
    if machine_type and machine_type not in hypervisor.machine_types:
        yield blocking(
            subject,
            "MachineTypeGone",
            f"machine type {machine_type} is not known to {there}: the guest can neither move there nor start again; "
            f"set spec.template.spec.domain.machine.type to q35 or {known} and "
            "restart the VM",
            "status.machine.type" if running else f"{below}.machine.type",
        )
    model = domain.cpu.model
    if model not in _HOST_MODELS and model not in hypervisor.cpu_models:
        yield blocking(
            subject,
            "CpuModelGone",
            f"CPU model {model} is not known to {there}: set spec.template.spec.domain.cpu.model to host-model or "
            "another model and restart the VM",
            f"{below}.cpu.model",
        )
    if hypervisor.cpu_features is None:
        return
    gone = sorted({feature.name for feature in domain.cpu.features} - hypervisor.cpu_features)
    if gone:
        named = ", ".join(gone[:_NAMED]) + (f" and {len(gone) - _NAMED} more" if len(gone) > _NAMED else "")
        yield blocking(
            subject,
            "CpuFeatureGone",
            f"CPU features {named} are not known to {there}: remove them from spec.template.spec.domain.cpu.features "
            "and restart the VM",
            f"{below}.cpu.features",
        )
