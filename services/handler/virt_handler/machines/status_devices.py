"""The fields of a VirtualMachineInstance's status about its devices. Pure; called by status.py."""

from __future__ import annotations

from typing import Any

from virt_core.vmi.accepted import AcceptedSpec, RefusedSpec
from virt_core.vmi.instance import VirtualMachineInstance
from virt_core.vmi.spec.effective import claim_of
from virt_core.vmi.spec.volumes import Volume

from virt_handler.machines.guest_state import AgentState, GuestInterface, GuestState
from virt_handler.machines.translate.machine import has_queues, mac_address
from virt_handler.network.plan import PodNetwork
from virt_handler.network.rules import POD_LINK

Entry = dict[str, Any]


def interfaces(vmi_uid: str, spec: AcceptedSpec, pod: PodNetwork, agent: AgentState | None) -> list[Entry]:
    """The spec's interfaces with their reachable addresses, then interfaces that only the guest reports."""
    # The first interface with a MAC is the card. The guest's bridges and VLANs on it have the same MAC and come later.
    cards = list(agent.interfaces) if agent is not None else []
    result: list[Entry] = []
    for interface in spec.interfaces:
        mac = mac_address(vmi_uid, interface, pod)
        entry: Entry = {
            "name": interface.name,
            "mac": mac,
            "infoSource": "domain",
            "podInterfaceName": POD_LINK,
            "queueCount": spec.topology.vcpus if has_queues(spec, interface) else 1,
        }
        if pod.addresses:
            # The pod's address: the guest's own address behind a masquerade cannot be reached from outside.
            entry |= {"ipAddress": pod.addresses[0], "ipAddresses": list(pod.addresses)}
        card = next((card for card in cards if card.mac == mac), None)
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


def volumes(vmi: VirtualMachineInstance, spec: AcceptedSpec, guest: GuestState) -> list[Entry]:
    """The volumes with their disks. The controller's information about claims stays."""
    reported = {entry.get("name"): entry for entry in vmi.raw_status.get("volumeStatus", [])}
    disks = {disk.name: disk for disk in guest.disks}
    result: list[Entry] = []
    for volume in spec.spec.volumes:
        entry: Entry = {"target": "", **reported.get(volume.name, {}), "name": volume.name}
        disk = disks.get(volume.name)
        if disk is not None:
            entry["target"] = disk.target
            if disk.capacity_bytes:
                entry["size"] = disk.capacity_bytes
        result.append(entry)
    return result


def compute(spec: AcceptedSpec) -> Entry:
    """The guest's topology and memory, which are constant because there is no hotplug."""
    topology, memory = spec.topology, str(spec.memory_bytes)
    return {
        "currentCPUTopology": {"sockets": topology.sockets, "cores": topology.cores, "threads": topology.threads},
        "memory": {"guestAtBoot": memory, "guestCurrent": memory, "guestRequested": memory},
    }


def described_disk(spec: AcceptedSpec | RefusedSpec, name: str) -> str:
    """The disk `name` with the user's object that is its source, for messages."""
    volumes = spec.spec.volumes if isinstance(spec, AcceptedSpec) else []
    volume = next((volume for volume in volumes if volume.name == name), None)
    source = _source(volume) if volume is not None else ""
    return f"disk {name} ({source})" if source else f"disk {name}"


def claims(spec: AcceptedSpec | RefusedSpec) -> set[str]:
    """Names of the PersistentVolumeClaims that a VMI uses."""
    volumes = spec.spec.volumes if isinstance(spec, AcceptedSpec) else []
    return {name for volume in volumes if (name := _claim(volume))}


def claim_of_disk(spec: AcceptedSpec | RefusedSpec, name: str) -> str:
    """The claim behind the disk `name`; empty if it has another source."""
    volumes = spec.spec.volumes if isinstance(spec, AcceptedSpec) else []
    return next((_claim(volume) for volume in volumes if volume.name == name), "")


def _claim(volume: Volume) -> str:
    claim = claim_of(volume)
    return claim.claim_name if claim else ""


def _source(volume: Volume) -> str:
    if claim := _claim(volume):
        return f"PersistentVolumeClaim {claim}"
    if volume.container_disk is not None:
        return f"containerDisk {volume.container_disk.image}"
    if volume.config_map is not None:
        return f"ConfigMap {volume.config_map.name}"
    if volume.secret is not None:
        return f"Secret {volume.secret.secret_name}"
    cloud_init = volume.cloud_init_no_cloud or volume.cloud_init_config_drive
    if cloud_init is not None:
        secrets = [ref.name for ref in (cloud_init.secret_ref, cloud_init.network_data_secret_ref) if ref is not None]
        return "cloud-init" + (f" from Secret {' and '.join(secrets)}" if secrets else "")
    return ""
