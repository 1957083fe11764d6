"""Whether a machine can be run at all. Called by servicer.py before anything is written. Pure.

The handler translates what admission let through, so each of these is somebody's mistake; but the values end up in
file names, device names and XML, and are not trusted.
"""

from __future__ import annotations

import ipaddress
import re
import uuid

from kubevirt.launcher.v1 import launcher_pb2 as pb
from virt_core.rpc.errors import InvalidField

_MACHINE_TYPE = re.compile(r"(pc-)?q35(-[0-9.]+)?")
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_DEVICE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}")  # IFNAMSIZ
_HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,252})?")
_PATH = re.compile(r"/[\x21-\x7e]{1,106}")  # 107: the longest unix socket
_LINE = re.compile(r"[\x20-\x7e]*")
_MODELS = ("virtio", "e1000", "e1000e", "rtl8139")
_MIB = 1 << 20


def validate(machine: pb.Machine) -> None:
    """Check every field.

    Raises:
        InvalidField: naming the field, its value and what is allowed.
    """
    for name in ("uid", "name", "namespace"):
        value = getattr(machine, name)
        _require(bool(value) and bool(_LINE.fullmatch(value)), name, value, "a name in printable ASCII")
    accelerators = (pb.ACCELERATOR_EMULATION, pb.ACCELERATOR_KVM)
    _require(machine.accelerator in accelerators, "accelerator", machine.accelerator, "EMULATION or KVM")
    _matches(_MACHINE_TYPE, "machine_type", machine.machine_type, '"q35" or a version of it such as "pc-q35-7.2"')
    for level in ("sockets", "cores", "threads"):
        count = getattr(machine.cpu, level)
        _require(1 <= count <= 255, f"cpu.{level}", count, "1 to 255")
    _require(machine.memory_bytes >= _MIB, "memory_bytes", machine.memory_bytes, "at least 1 MiB")
    _require(_is_uuid(machine.firmware_uuid), "firmware_uuid", machine.firmware_uuid, "a UUID")
    if machine.HasField("kernel_boot"):
        _kernel_boot(machine.kernel_boot)
    if machine.HasField("serial_console"):
        console = machine.serial_console
        _matches(_PATH, "serial_console.socket_path", console.socket_path, "an absolute path of 107 characters at most")
        if console.log_path:
            _matches(_PATH, "serial_console.log_path", console.log_path, "an absolute path of 107 characters at most")
    for index, interface in enumerate(machine.interfaces):
        _interface(f"interfaces[{index}]", interface)


def _kernel_boot(boot: pb.KernelBoot) -> None:
    _matches(_PATH, "kernel_boot.kernel_path", boot.kernel_path, "an absolute path")
    if boot.initrd_path:
        _matches(_PATH, "kernel_boot.initrd_path", boot.initrd_path, "an absolute path")
    # 2048: the longest command line of an x86 Linux kernel
    _require(len(boot.command_line) < 2048, "kernel_boot.command_line", boot.command_line, "2047 characters at most")
    _matches(_LINE, "kernel_boot.command_line", boot.command_line, "printable ASCII")


def _interface(path: str, interface: pb.NetworkInterface) -> None:
    _matches(_MAC, f"{path}.mac_address", interface.mac_address, 'lower-case "aa:bb:cc:dd:ee:ff"')
    _require(interface.model in _MODELS, f"{path}.model", interface.model, " or ".join(_MODELS))
    _matches(_DEVICE, f"{path}.tap_device", interface.tap_device, "a network device's name")
    _require(interface.mtu == 0 or 576 <= interface.mtu <= 65535, f"{path}.mtu", interface.mtu, "576 to 65535, or 0")
    if not interface.HasField("dhcp"):
        return
    lease = interface.dhcp
    _matches(_DEVICE, f"{path}.dhcp.bridge_device", lease.bridge_device, "a network device's name")
    for name in ("router_address", "client_address"):
        value = getattr(lease, name)
        _require(_is_ipv4(value), f"{path}.dhcp.{name}", value, "an IPv4 address")
    _require(1 <= lease.prefix_length <= 32, f"{path}.dhcp.prefix_length", lease.prefix_length, "1 to 32")
    if lease.hostname:
        _matches(_HOST_NAME, f"{path}.dhcp.hostname", lease.hostname, "a DNS name")


def _require(valid: bool, field: str, value: object, allowed: str) -> None:
    if not valid:
        raise InvalidField(f"machine.{field}", value, allowed)


def _matches(pattern: re.Pattern[str], field: str, value: str, allowed: str) -> None:
    _require(pattern.fullmatch(value) is not None, field, value, allowed)


def _is_uuid(value: str) -> bool:
    try:
        return str(uuid.UUID(value)) == value.lower()
    except ValueError:
        return False


def _is_ipv4(value: str) -> bool:
    try:
        ipaddress.IPv4Address(value)
    except ValueError:
        return False
    return True
