"""Validation of the guest's devices except disks. Part of validation/machine.py."""

from __future__ import annotations

import re

from kubevirt.launcher.v1 import machine_pb2

from virt_launcher.machine.validation.checks import DEVICE, distinct, is_ipv4, matches, require, specified, unix_socket

_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,252})?")
_MOST_INPUTS = 16
_MOST_ROUTES = 16  # more would not fit into a DHCP reply
_HIGHEST_ACPI_INDEX = 16 * 1024 - 1  # QEMU's
_HIGHEST_BOOT_ORDER = 65535  # libvirt's


def validate_devices(machine: machine_pb2.Machine) -> None:
    """Raises InvalidField."""
    if machine.HasField("serial_console"):
        console = machine.serial_console
        unix_socket("serial_console.socket_path", console.socket_path)
        if console.log_path:
            unix_socket("serial_console.log_path", console.log_path)
    for index, interface in enumerate(machine.interfaces):
        _interface(f"interfaces[{index}]", interface)
    for name in ("mac_address", "tap_device", "acpi_index"):
        values = ((f"interfaces[{index}].{name}", getattr(i, name)) for index, i in enumerate(machine.interfaces))
        distinct((field, value) for field, value in values if value)
    _boot_orders(machine)
    require(len(machine.inputs) <= _MOST_INPUTS, "inputs", len(machine.inputs), f"{_MOST_INPUTS} at most")
    for index, wanted in enumerate(machine.inputs):
        specified(machine_pb2.InputType, f"inputs[{index}].type", wanted.type)
        specified(machine_pb2.InputBus, f"inputs[{index}].bus", wanted.bus)
    if machine.HasField("display"):
        unix_socket("display.socket_path", machine.display.socket_path)
        if machine.display.HasField("card"):
            specified(machine_pb2.DisplayCard, "display.card", machine.display.card)
    if machine.HasField("watchdog"):
        specified(machine_pb2.WatchdogModel, "watchdog.model", machine.watchdog.model)
        specified(machine_pb2.WatchdogAction, "watchdog.action", machine.watchdog.action)


def _boot_orders(machine: machine_pb2.Machine) -> None:
    orders = [(f"disks[{index}].boot_order", disk.boot_order) for index, disk in enumerate(machine.disks)]
    orders += [(f"interfaces[{index}].boot_order", i.boot_order) for index, i in enumerate(machine.interfaces)]
    for field, order in orders:
        require(order <= _HIGHEST_BOOT_ORDER, field, order, f"0 to {_HIGHEST_BOOT_ORDER}")
    distinct((field, order) for field, order in orders if order)


def _interface(path: str, interface: machine_pb2.NetworkInterface) -> None:
    matches(_MAC, f"{path}.mac_address", interface.mac_address, 'lower-case "aa:bb:cc:dd:ee:ff"')
    specified(machine_pb2.NetworkCardModel, f"{path}.model", interface.model)
    matches(DEVICE, f"{path}.tap_device", interface.tap_device, "a network device's name")
    require(interface.mtu == 0 or 576 <= interface.mtu <= 65535, f"{path}.mtu", interface.mtu, "576 to 65535, or 0")
    index = interface.acpi_index
    require(index <= _HIGHEST_ACPI_INDEX, f"{path}.acpi_index", index, f"0 to {_HIGHEST_ACPI_INDEX}")
    many = interface.multiqueue
    virtio = interface.model == machine_pb2.NETWORK_CARD_MODEL_VIRTIO
    require(not many or virtio, f"{path}.multiqueue", many, "false unless the model is virtio")
    if interface.HasField("dhcp"):
        _lease(f"{path}.dhcp", interface.dhcp)


def _lease(path: str, lease: machine_pb2.DhcpLease) -> None:
    matches(DEVICE, f"{path}.bridge_device", lease.bridge_device, "a network device's name")
    require(is_ipv4(lease.client_address), f"{path}.client_address", lease.client_address, "an IPv4 address")
    if lease.router_address:
        require(is_ipv4(lease.router_address), f"{path}.router_address", lease.router_address, "an IPv4 address")
    require(1 <= lease.prefix_length <= 32, f"{path}.prefix_length", lease.prefix_length, "1 to 32")
    if lease.hostname:
        matches(_HOST_NAME, f"{path}.hostname", lease.hostname, "a DNS name")
    if lease.subdomain:
        matches(_HOST_NAME, f"{path}.subdomain", lease.subdomain, "a DNS name")
    require(len(lease.routes) <= _MOST_ROUTES, f"{path}.routes", len(lease.routes), f"{_MOST_ROUTES} at most")
    for index, route in enumerate(lease.routes):
        for name in ("destination", "router"):
            value = getattr(route, name)
            require(is_ipv4(value), f"{path}.routes[{index}].{name}", value, "an IPv4 address")
        require(route.prefix_length <= 32, f"{path}.routes[{index}].prefix_length", route.prefix_length, "0 to 32")
