"""Rules for interfaces and networks of a VirtualMachineInstance. Pure; part of rules/check.py."""

from __future__ import annotations

import ipaddress
import re

from virt_core.validation.refusal import (
    WORD,
    Refusals,
    Text,
    at_most,
    matching,
    matching_if_set,
    one_of,
    refused,
    unique,
    within,
)
from virt_core.vmi.spec.devices import Interface
from virt_core.vmi.spec.domain import VmiSpec
from virt_core.vmi.spec.effective import effective_interfaces, effective_networks
from virt_core.vmi.spec.volumes import Network

_MODELS = ("virtio", "e1000", "e1000e", "rtl8139")
_MAC = Text(
    re.compile(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}|[0-9A-Fa-f]{2}(-[0-9A-Fa-f]{2}){5}"),
    17,
    "a unicast address such as 02:00:00:00:00:01",
)
# Of a container's port in Kubernetes.
_PORT_NAME = Text(
    re.compile(r"(?=.*[a-z])[a-z0-9]+(-[a-z0-9]+)*"), 15, "1 to 15 of a-z, 0-9 and -, at least one a letter"
)
_MAX_PORTS = 256
_MAX_ACPI_INDEX = 16383  # QEMU's
_MAX_NETWORKS = 1
_PREFIXES = (8, 30)  # wide enough for a router and a guest


def network_refusals(spec: VmiSpec) -> Refusals:
    """What is wrong with spec.domain.devices.interfaces and spec.networks."""
    interfaces, networks = effective_interfaces(spec), effective_networks(spec)
    path = "domain.devices.interfaces"
    if len(interfaces) > _MAX_NETWORKS:
        yield refused(path, f"{len(interfaces)} interfaces", "one interface")
    if len(networks) > _MAX_NETWORKS:
        yield refused("networks", f"{len(networks)} networks", "one network")
    yield from unique(path, "name", [interface.name for interface in interfaces])
    yield from unique("networks", "name", [network.name for network in networks])
    names = {network.name: network for network in networks}
    for index, interface in enumerate(interfaces):
        yield from _interface(f"{path}[{index}]", interface)
        if interface.name not in names:
            shown = ", ".join(name[:63] for name in list(names)[:_MAX_NETWORKS]) or "there is none"
            yield refused(f"{path}[{index}].name", interface.name, f"the name of a network: {shown}")
    bridged = {interface.name for interface in interfaces if interface.masquerade is None}
    for index, network in enumerate(spec.networks):
        yield from _network(f"networks[{index}]", network, network.name in bridged)
        if network.name not in {interface.name for interface in interfaces}:
            yield refused(f"networks[{index}].name", network.name, "the name of an interface")


def _interface(path: str, interface: Interface) -> Refusals:
    yield from matching(f"{path}.name", interface.name, WORD)
    bindings = [name for name in ("masquerade", "bridge") if getattr(interface, name) is not None]
    if len(bindings) != 1:
        yield refused(path, " and ".join(bindings) or interface.name, "either masquerade: {} or bridge: {}")
    yield from one_of(f"{path}.model", interface.model, _MODELS)
    yield from one_of(f"{path}.state", interface.state, ("up", "down"))
    yield from within(f"{path}.acpiIndex", interface.acpi_index, 0, _MAX_ACPI_INDEX)
    yield from matching_if_set(f"{path}.macAddress", interface.mac_address, _MAC)
    if _MAC.accepts(interface.mac_address):
        octets = bytes.fromhex(re.sub("[:-]", "", interface.mac_address))
        if octets[0] & 1 or not any(octets):
            yield refused(f"{path}.macAddress", interface.mac_address, _MAC.words)
    yield from _ports(f"{path}.ports", interface)


def _ports(path: str, interface: Interface) -> Refusals:
    yield from at_most(path, interface.ports, _MAX_PORTS)
    yield from unique(path, "name", [port.name for port in interface.ports])
    yield from unique(path, "port", [f"{port.port}/{port.protocol or 'TCP'}" for port in interface.ports])
    for index, port in enumerate(interface.ports):
        yield from within(f"{path}[{index}].port", port.port, 1, 65535)
        yield from one_of(f"{path}[{index}].protocol", port.protocol, ("TCP", "UDP"))
        yield from matching_if_set(f"{path}[{index}].name", port.name, _PORT_NAME)


def _network(path: str, network: Network, bridged: bool) -> Refusals:
    yield from matching(f"{path}.name", network.name, WORD)
    if network.pod is None:
        yield refused(path, network.name, "pod: {}")
    elif network.pod.vm_network_cidr:
        cidr = network.pod.vm_network_cidr
        if bridged:
            yield refused(f"{path}.pod.vmNetworkCIDR", cidr, "none: a bridged guest has the pod's address")
        elif not _usable(cidr):
            allowed = f"a private IPv4 network of {_PREFIXES[0]} to {_PREFIXES[1]} bits such as 10.0.2.0/24"
            yield refused(f"{path}.pod.vmNetworkCIDR", cidr, allowed)


def _usable(cidr: str) -> bool:
    try:
        network = ipaddress.IPv4Network(cidr, strict=False)
    except ValueError:
        return False
    low, high = _PREFIXES
    reserved = network.is_loopback or network.is_link_local or network.is_multicast or network.is_unspecified
    return "/" in cidr and low <= network.prefixlen <= high and network.is_private and not reserved
