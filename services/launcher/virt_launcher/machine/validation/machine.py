"""Validation of a machine. Called by servicer.py before anything is written. Pure.

The handler translates specs that admission has checked, so a failure here is a defect. But the values become part of
file names, device names and XML, so they are not trusted. validation/platform.py checks the platform,
validation/devices.py devices, validation/disks.py disks,
validation/credentials.py access credentials.
"""

from __future__ import annotations

import re
import uuid

from kubevirt.launcher.v1 import machine_pb2

from virt_launcher.machine.validation.checks import LINE, PATH, matches, require
from virt_launcher.machine.validation.credentials import validate_credentials
from virt_launcher.machine.validation.devices import validate_devices
from virt_launcher.machine.validation.disks import validate_disks
from virt_launcher.machine.validation.platform import validate_platform

_MACHINE_TYPE = re.compile(r"(pc-)?q35(-[0-9.]+)?")
_MIB = 1 << 20


def validate(machine: machine_pb2.Machine) -> None:
    """Check every field.

    Raises:
        InvalidField: with field, value and what is allowed.
    """
    for name in ("uid", "name", "namespace"):
        value = getattr(machine, name)
        require(bool(value) and bool(LINE.fullmatch(value)), name, value, "a name in printable ASCII")
    accelerators = (machine_pb2.ACCELERATOR_EMULATION, machine_pb2.ACCELERATOR_KVM)
    require(machine.accelerator in accelerators, "accelerator", machine.accelerator, "EMULATION or KVM")
    matches(_MACHINE_TYPE, "machine_type", machine.machine_type, '"q35" or a version of it such as "pc-q35-7.2"')
    for level in ("sockets", "cores", "threads"):
        count = getattr(machine.cpu, level)
        require(1 <= count <= 255, f"cpu.{level}", count, "1 to 255")
    require(machine.memory_bytes >= _MIB, "memory_bytes", machine.memory_bytes, "at least 1 MiB")
    require(_is_uuid(machine.firmware_uuid), "firmware_uuid", machine.firmware_uuid, "a UUID")
    if machine.HasField("kernel_boot"):
        _kernel_boot(machine.kernel_boot)
    validate_platform(machine)
    validate_devices(machine)
    validate_disks(machine)
    validate_credentials(machine)


def _kernel_boot(boot: machine_pb2.KernelBoot) -> None:
    matches(PATH, "kernel_boot.kernel_path", boot.kernel_path, "an absolute path")
    if boot.initrd_path:
        matches(PATH, "kernel_boot.initrd_path", boot.initrd_path, "an absolute path")
    # 2048: the longest command line of an x86 Linux kernel
    require(len(boot.command_line) < 2048, "kernel_boot.command_line", boot.command_line, "2047 characters at most")
    matches(LINE, "kernel_boot.command_line", boot.command_line, "printable ASCII")


def _is_uuid(value: str) -> bool:
    try:
        return str(uuid.UUID(value)) == value.lower()
    except ValueError:
        return False
