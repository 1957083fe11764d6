"""Metrics of the cards and claims of VMs and guests, and of what launchers need beside a guest, with KubeVirt's names
and labels. Pure; called by measure.py.

Of a guest they are those that it has, with defaults; of a VirtualMachine those that its template names. How large a
claim is, is known while the VirtualMachine has a guest, whose status says it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

import msgspec
from prometheus_client.metrics_core import Metric
from virt_core.metrics.families import Labels, Values, gauge
from virt_core.objects.kubevirt import Configuration
from virt_core.objects.quantity import parse_quantity
from virt_core.validation.refusal import UnsupportedSpec
from virt_core.vm.virtual_machine import VirtualMachine
from virt_core.vmi.accepted import AcceptedSpec, accept
from virt_core.vmi.instance import VirtualMachineInstance

from virt_controller.pod.resources import overhead_bytes

_VNICS = "such as vNIC name, binding type, network name, and binding name for each vNIC"
_VM_VNICS = f"Details of Virtual Machine (VM) vNIC interfaces, {_VNICS} defined in the VM's configuration."
_VMI_VNICS = f"Details of VirtualMachineInstance (VMI) vNIC interfaces, {_VNICS} of a running instance."
_OVERHEAD = (
    "Estimation of the memory amount required for virt-launcher's infrastructure components (e.g. libvirt, QEMU)."
)
_ALLOCATED = "Allocated disk size of a Virtual Machine in bytes, based on its PersistentVolumeClaim."
_NONE = "<none>"


class _Card(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def masquerade(self) -> Any: ...
    @property
    def bridge(self) -> Any: ...
    @property
    def model(self) -> str: ...


class _Network(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def pod(self) -> Any: ...


class _Interface(msgspec.Struct, frozen=True):
    name: str = ""
    masquerade: dict[str, Any] | None = None
    bridge: dict[str, Any] | None = None
    model: str = ""


class _PodNetwork(msgspec.Struct, frozen=True):
    name: str = ""
    pod: dict[str, Any] | None = None


class _Named(msgspec.Struct, frozen=True):
    name: str = ""


class _Devices(msgspec.Struct, frozen=True):
    interfaces: list[_Interface] = []
    disks: list[_Named] = []


class _Domain(msgspec.Struct, frozen=True):
    devices: _Devices = _Devices()


class _Spec(msgspec.Struct, frozen=True):
    domain: _Domain = _Domain()
    networks: list[_PodNetwork] = []


class _Template(msgspec.Struct, frozen=True):
    spec: _Spec = _Spec()


class _VmSpec(msgspec.Struct, frozen=True):
    template: _Template = _Template()


_decoder = msgspec.json.Decoder(_VmSpec)


def families(
    machines: Iterable[VirtualMachine], guests: Iterable[VirtualMachineInstance], configuration: Configuration
) -> Iterator[Metric]:
    """Of all VirtualMachines, and of all VirtualMachineInstances that have not ended."""
    running = {vmi.key: vmi for vmi in guests if not vmi.status.phase.final}
    templates = [(vm, _template(vm)) for vm in machines]
    cards = [
        (_names(vm), card) for vm, spec in templates for card in _cards(spec.domain.devices.interfaces, spec.networks)
    ]
    yield gauge("kubevirt_vm_vnic_info", _VM_VNICS, [({**names, **card}, 1) for names, card in cards])
    disks = [entry for vm, spec in templates for entry in _disks(vm, spec, running.get(vm.key))]
    yield gauge("kubevirt_vm_disk_allocated_size_bytes", _ALLOCATED, disks)
    accepted = [(vmi, spec) for vmi in running.values() if (spec := _accepted(vmi, configuration)) is not None]
    cards = [(_names(vmi), card) for vmi, spec in accepted for card in _cards(spec.interfaces, spec.networks)]
    yield gauge("kubevirt_vmi_vnic_info", _VMI_VNICS, [({**names, **card}, 1) for names, card in cards])
    needed = [(_names(vmi), overhead_bytes(spec, configuration)) for vmi, spec in accepted]
    yield gauge("kubevirt_vmi_launcher_memory_overhead_bytes", _OVERHEAD, needed)


def _names(subject: VirtualMachine | VirtualMachineInstance) -> dict[str, str]:
    return {"name": subject.metadata.name, "namespace": subject.metadata.namespace}


def _template(vm: VirtualMachine) -> _Spec:
    """Of a spec that does not decode nothing is shown."""
    try:
        return _decoder.decode(vm.raw_spec).template.spec
    except (msgspec.DecodeError, RecursionError):
        return _Spec()


def _accepted(vmi: VirtualMachineInstance, configuration: Configuration) -> AcceptedSpec | None:
    try:
        return accept(vmi.raw_spec, configuration, started=True)
    except UnsupportedSpec:
        return None


def _cards(interfaces: Iterable[_Card], networks: Iterable[_Network]) -> Iterator[Labels]:
    """Each once, of those with a network."""
    known = {network.name for network in networks if network.pod is not None}
    for card in {card.name: card for card in interfaces}.values():
        if card.name in known:
            binding = "masquerade" if card.masquerade is not None else "bridge" if card.bridge is not None else ""
            yield {
                "vnic_name": card.name,
                "binding_type": "core" if binding else "",
                "network": "pod networking",
                "binding_name": binding,
                "model": card.model or _NONE,
            }


def _disks(vm: VirtualMachine, spec: _Spec, vmi: VirtualMachineInstance | None) -> Values:
    disks, statuses = {disk.name for disk in spec.domain.devices.disks}, []
    if vmi is not None and isinstance(found := vmi.raw_status.get("volumeStatus"), list):
        statuses = [status for status in found if isinstance(status, dict)]
    for name, status in {str(status.get("name")): status for status in statuses}.items():
        info = status.get("persistentVolumeClaimInfo")
        if isinstance(info, dict) and (size := _requested(info)):
            labels = {
                "persistentvolumeclaim": str(info.get("claimName") or ""),
                "volume_mode": str(info.get("volumeMode") or "Filesystem"),
                "device": name if name in disks else _NONE,
            }
            yield {**_names(vm), **labels}, size


def _requested(info: Mapping[str, Any]) -> float:
    requests = info.get("requests")
    try:
        return float(parse_quantity(str(requests["storage"]))) if isinstance(requests, dict) else 0.0
    except (KeyError, ValueError):
        return 0.0
