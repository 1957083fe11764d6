"""Metrics of VirtualMachineInstances, with KubeVirt's names and labels. Pure; called by measure.py.

Labels without a value are left out, as in KubeVirt; for Prometheus that is the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from prometheus_client.metrics_core import Metric
from virt_core.conventions.migration import OUTDATED_LAUNCHER
from virt_core.metrics.families import Values, counter, gauge, histogram
from virt_core.metrics.passes import SYNC_ABOUT, SYNC_TOTAL
from virt_core.vmi.eviction import LIVE_MIGRATE, eviction_strategy, is_migratable
from virt_core.vmi.instance import VirtualMachineInstance

from virt_controller.transitions import Transitions

_ADDRESSES = (
    "The addresses of a VirtualMachineInstance. This metric provides the address of an available network interface"
    " associated with the VMI in the 'address' label, and about the type of address, such as internal IP, in the"
    " 'type' label."
)
_NON_EVICTABLE = (
    "Indication for a VirtualMachine that its eviction strategy is set to Live Migration but is not migratable."
)
_PHASES = "kubevirt_vmi_phase_transition_time"


@dataclass(frozen=True, slots=True)
class Guest:
    """A VirtualMachineInstance with what the caches know beside it."""

    vmi: VirtualMachineInstance
    pod: str = ""
    """The name of the pod that runs the guest."""

    instancetype: str = ""
    preference: str = ""


def families(guests: Iterable[Guest]) -> list[Metric]:
    """Of all VirtualMachineInstances."""
    found = [(guest, _evictable(guest.vmi)) for guest in guests]
    blocked = [(_place(guest.vmi), not evictable) for guest, evictable in found]
    addresses = [entry for guest, _ in found for entry in _addresses(guest.vmi)]
    return [
        gauge("kubevirt_vmi_info", "Information about VirtualMachineInstances.", [_info(*entry) for entry in found]),
        gauge("kubevirt_vmi_non_evictable", _NON_EVICTABLE, blocked),
        gauge("kubevirt_vmi_status_addresses", _ADDRESSES, addresses),
    ]


def transition_families(seen: Transitions) -> list[Metric]:
    """How long VirtualMachineInstances took from phase to phase."""
    about = "Histogram of VM phase transitions duration"
    return [
        histogram(f"{_PHASES}_seconds", f"{about} between different phases in seconds.", seen.from_last),
        histogram(f"{_PHASES}_from_creation_seconds", f"{about} from creation time in seconds.", seen.from_creation),
        histogram(f"{_PHASES}_from_deletion_seconds", f"{about} from deletion time in seconds.", seen.from_deletion),
    ]


def pass_family(seen: Transitions) -> Metric:
    """How often each VirtualMachineInstance was reconciled."""
    return counter(SYNC_TOTAL, SYNC_ABOUT, seen.passes)


def system(annotations: Mapping[str, Any]) -> dict[str, str]:
    """What templates say of the guest's system."""
    return {name: str(annotations.get(f"vm.kubevirt.io/{name}", "")) for name in ("os", "workload", "flavor")}


def _place(vmi: VirtualMachineInstance) -> dict[str, str]:
    return {"node": vmi.status.node_name, "namespace": vmi.metadata.namespace, "name": vmi.metadata.name}


def _info(guest: Guest, evictable: bool) -> tuple[dict[str, str], float]:
    vmi = guest.vmi
    agent, machine = _below(vmi, "guestOSInfo"), _below(vmi, "machine")
    labels = {
        **_place(vmi),
        "phase": vmi.status.phase.value.lower(),
        **system(vmi.metadata.annotations),
        "instance_type": guest.instancetype,
        "preference": guest.preference,
        "guest_os_kernel_release": _text(agent, "kernelRelease"),
        "guest_os_machine": _text(machine, "type"),
        "guest_os_arch": _text(agent, "machine"),
        "guest_os_name": _text(agent, "name"),
        "guest_os_version_id": _text(agent, "versionId"),
        "evictable": str(evictable).lower(),
        "outdated": str(OUTDATED_LAUNCHER in vmi.metadata.labels).lower(),
        "vmi_pod": guest.pod,
    }
    return labels, 1


def _evictable(vmi: VirtualMachineInstance) -> bool:
    """Whether an eviction is possible. A guest whose handler has not decided yet counts as one that cannot move."""
    return eviction_strategy(vmi) != LIVE_MIGRATE or is_migratable(vmi)


def _addresses(vmi: VirtualMachineInstance) -> Values:
    """Each once: a guest may name several interfaces alike."""
    place, found, shown = _place(vmi), vmi.raw_status.get("interfaces"), set[tuple[str, ...]]()
    for interface in _objects(found):
        address = _text(interface, "ipAddress")
        names = {"vnic_name": _text(interface, "name"), "interface_name": _text(interface, "interfaceName")}
        key = (address, *names.values())
        if any(key) and key not in shown:
            shown.add(key)
            kind = "ExternalInterface" if address else "SystemInterface"
            yield {**place, **names, "address": address, "type": kind}, 1


def _objects(value: Any) -> Iterator[Mapping[str, Any]]:
    """The objects of a list in a status, which may be anything."""
    return (entry for entry in value if isinstance(entry, dict)) if isinstance(value, list) else iter(())


def _below(vmi: VirtualMachineInstance, name: str) -> Mapping[str, Any]:
    found = vmi.raw_status.get(name)
    return found if isinstance(found, dict) else {}


def _text(fields: Mapping[str, Any], name: str) -> str:
    return str(fields.get(name) or "")
