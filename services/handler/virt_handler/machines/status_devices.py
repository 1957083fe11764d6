"""The parts of a VirtualMachineInstance's status that tell of its devices. Pure; called by status.py."""

from __future__ import annotations

from typing import Any

from virt_core.vmi.instance import VirtualMachineInstance
from virt_core.vmi.spec.domain import VmiSpec
from virt_core.vmi.spec.effective import effective_interfaces, effective_topology, guest_memory_bytes

from virt_handler.machines.guest_state import AgentState, GuestInterface, GuestState
from virt_handler.machines.translate.machine import has_queues, mac_address
from virt_handler.network.plan import POD_LINK, PodNetwork

Entry = dict[str, Any]


def interfaces(vmi: VirtualMachineInstance, spec: VmiSpec, pod: PodNetwork, agent: AgentState | None) -> list[Entry]:
    """The guest's interfaces as others reach them, then those that only the guest knows."""
    # The first with a MAC is the card; bridges and VLANs that the guest puts on it share that and come later.
    cards = list(agent.interfaces) if agent is not None else []
    result: list[Entry] = []
    for interface in effective_interfaces(spec):
        mac = mac_address(vmi.metadata.uid, interface, pod)
        entry: Entry = {
            "name": interface.name,
            "mac": mac,
            "infoSource": "domain",
            "podInterfaceName": POD_LINK,
            "queueCount": effective_topology(spec).vcpus if has_queues(spec, interface) else 1,
        }
        if pod.addresses:
            # The pod's and not the guest's own: behind a masquerade nobody else reaches that.
            entry |= {"ipAddress": pod.addresses[0], "ipAddresses": list(pod.addresses)}
        card = next((each for each in cards if each.mac == mac), None)
        if card is not None:
            cards.remove(card)
            entry |= {"infoSource": "domain, guest-agent", "interfaceName": card.name}
        if interface.state:
            entry["linkState"] = interface.state
        result.append(entry)
    return result + [_only_guests(card) for card in cards if card.name != "lo"]


def _only_guests(card: GuestInterface) -> Entry:
    entry: Entry = {"interfaceName": card.name, "mac": card.mac, "infoSource": "guest-agent"}
    if card.addresses:
        entry |= {"ipAddress": card.addresses[0], "ipAddresses": list(card.addresses)}
    return entry


def volumes(vmi: VirtualMachineInstance, spec: VmiSpec, guest: GuestState) -> list[Entry]:
    """Each volume with its disk; what the controller wrote of claims stays."""
    told = {each.get("name"): each for each in vmi.raw_status.get("volumeStatus", [])}
    disks = {disk.name: disk for disk in guest.disks}
    result: list[Entry] = []
    for volume in spec.volumes:
        entry: Entry = {"target": "", **told.get(volume.name, {}), "name": volume.name}
        disk = disks.get(volume.name)
        if disk is not None:
            entry["target"] = disk.target
            if disk.capacity_bytes:
                entry["size"] = disk.capacity_bytes
        result.append(entry)
    return result


def compute(spec: VmiSpec) -> Entry:
    """Topology and memory that the guest has; nothing is plugged into it while it runs."""
    topology, memory = effective_topology(spec), str(guest_memory_bytes(spec))
    return {
        "currentCPUTopology": {"sockets": topology.sockets, "cores": topology.cores, "threads": topology.threads},
        "memory": {"guestAtBoot": memory, "guestCurrent": memory, "guestRequested": memory},
    }
