"""What a supported spec must hold beyond its types, and the defaults it gets. Pure; called by vmi.parse_spec's callers.

Each refusal names field, value and what is allowed. Defaults are KubeVirt's, except that a VMI which names no network
gets masquerade on the pod network.
"""

from __future__ import annotations

from dataclasses import dataclass

from virt_core.api.quantity import parse_bytes
from virt_core.api.vmi import UnsupportedSpec
from virt_core.api.vmi_devices import Interface
from virt_core.api.vmi_spec import KernelBoot, VmiSpec
from virt_core.api.vmi_volumes import Masquerade, Network, PodNetwork

_MODELS = ("virtio", "e1000e")
_MAX_VCPUS = 64
_MIN_MEMORY = 1 << 20
DEFAULT_INTERFACE = "default"
DEFAULT_MACHINE_TYPE = "q35"


def check_spec(spec: VmiSpec) -> None:
    """Refuse what no launcher could run.

    Raises:
        UnsupportedSpec: naming the field, its value and what is allowed.
    """
    cpu = spec.domain.cpu
    for field in ("sockets", "cores", "threads"):
        if not 0 <= getattr(cpu, field) <= _MAX_VCPUS:
            raise _refusal(f"domain.cpu.{field}", getattr(cpu, field), f"1 to {_MAX_VCPUS}")
    topology = effective_topology(spec)
    if topology.vcpus > _MAX_VCPUS:
        shape = f"{topology.sockets}x{topology.cores}x{topology.threads} vCPUs"
        raise _refusal("domain.cpu", shape, f"at most {_MAX_VCPUS} vCPUs")
    guest_memory_bytes(spec)
    if spec.architecture not in ("", "amd64"):
        raise _refusal("architecture", spec.architecture, "amd64")
    if spec.termination_grace_period_seconds < 0:
        raise _refusal("terminationGracePeriodSeconds", spec.termination_grace_period_seconds, "0 or more")
    boot = spec.domain.firmware.kernel_boot
    if boot is not None:
        _check_kernel_boot(boot)
    _check_networks(spec)


@dataclass(frozen=True, slots=True)
class Topology:
    """How many of each level; each is at least 1."""

    sockets: int
    cores: int
    threads: int

    @property
    def vcpus(self) -> int:
        """The number of virtual CPUs."""
        return self.sockets * self.cores * self.threads


def effective_topology(spec: VmiSpec) -> Topology:
    """The topology that the guest gets: levels that are not given count 1."""
    cpu = spec.domain.cpu
    return Topology(cpu.sockets or 1, cpu.cores or 1, cpu.threads or 1)


def guest_memory_bytes(spec: VmiSpec) -> int:
    """Guest memory: memory.guest, else the memory request, else the memory limit.

    Raises:
        UnsupportedSpec: none is given, or it is not a quantity of at least 1Mi.
    """
    resources = spec.domain.resources
    candidates = (
        ("domain.memory.guest", spec.domain.memory.guest),
        ("domain.resources.requests.memory", resources.requests.get("memory", "")),
        ("domain.resources.limits.memory", resources.limits.get("memory", "")),
    )
    for path, value in candidates:
        if value == "":
            continue
        try:
            size = parse_bytes(str(value))
        except ValueError as error:
            raise _refusal(path, value, "a quantity such as 64Mi") from error
        if size < _MIN_MEMORY:
            raise _refusal(path, value, "at least 1Mi")
        return size
    raise _refusal("domain.memory.guest", "", "a quantity such as 64Mi")


def effective_interfaces(spec: VmiSpec) -> tuple[Interface, ...]:
    """The interfaces that the guest gets, the default one included."""
    interfaces = spec.domain.devices.interfaces
    if not interfaces and spec.domain.devices.autoattach_pod_interface is not False:
        return (Interface(name=DEFAULT_INTERFACE, masquerade=Masquerade()),)
    return tuple(interfaces)


def effective_networks(spec: VmiSpec) -> tuple[Network, ...]:
    """The networks of those interfaces, the default one included."""
    if not spec.networks and spec.domain.devices.autoattach_pod_interface is not False:
        interfaces = spec.domain.devices.interfaces
        return (Network(name=interfaces[0].name if interfaces else DEFAULT_INTERFACE, pod=PodNetwork()),)
    return tuple(spec.networks)


def _check_kernel_boot(boot: KernelBoot) -> None:
    path, container = "domain.firmware.kernelBoot.container", boot.container
    if container is None:
        raise _refusal(path, "", "an image with a kernel")
    if not container.kernel_path.startswith("/"):
        raise _refusal(f"{path}.kernelPath", container.kernel_path, "an absolute path in the image")
    if container.initrd_path and not container.initrd_path.startswith("/"):
        raise _refusal(f"{path}.initrdPath", container.initrd_path, "an absolute path in the image")


def _check_networks(spec: VmiSpec) -> None:
    interfaces, networks = effective_interfaces(spec), effective_networks(spec)
    if len(interfaces) > 1:
        raise _refusal("domain.devices.interfaces", f"{len(interfaces)} interfaces", "one interface")
    names = {network.name for network in networks}
    for index, interface in enumerate(interfaces):
        path = f"domain.devices.interfaces[{index}]"
        if interface.name not in names:
            raise _refusal(f"{path}.name", interface.name, f"the name of a network: {sorted(names)}")
        if interface.masquerade is None:
            raise _refusal(path, interface.name, "masquerade: {}")
        if interface.model not in _MODELS:
            raise _refusal(f"{path}.model", interface.model, " or ".join(_MODELS))
    for index, network in enumerate(spec.networks):
        if network.pod is None:
            raise _refusal(f"networks[{index}]", network.name, "pod: {}")
        if network.name not in {interface.name for interface in interfaces}:
            raise _refusal(f"networks[{index}].name", network.name, "the name of an interface")


def _refusal(path: str, value: object, allowed: str) -> UnsupportedSpec:
    return UnsupportedSpec(f"spec.{path}: {value!r} is not allowed, use {allowed}")
