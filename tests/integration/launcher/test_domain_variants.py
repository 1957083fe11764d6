"""Every field of a machine becomes XML that libvirt's own schema and QEMU's driver accept; some are booted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import libvirt
import pytest
from kubevirt.launcher.v1 import machine_pb2, state_pb2
from virt_launcher.domain.files import DomainFiles
from virt_launcher.domain.xml import domain_xml
from virt_launcher.machine.validation.machine import validate

from tests.integration.launcher.pod import PRIVATE
from tests.integration.launcher.variants import LEAST_WITH_UEFI, VARIANTS

if TYPE_CHECKING:
    from tests.integration.launcher.pod import Pod


async def test_libvirt_accepts_every_variant(pod: Pod, connection: Any) -> None:
    refused = {}
    for name, change in VARIANTS.items():
        machine = pod.machine()
        change(machine)
        validate(machine)
        try:
            domain = connection.defineXMLFlags(_xml(machine), libvirt.VIR_DOMAIN_DEFINE_VALIDATE)
        except libvirt.libvirtError as error:
            refused[name] = str(error)
        else:
            domain.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_NVRAM)
    assert not refused


async def test_libvirts_schema_accepts_every_variant_under_kvm(pod: Pod, connection: Any) -> None:
    """Where there is no KVM, that is all that libvirt has against them."""
    for name, change in VARIANTS.items():
        machine = pod.machine()
        change(machine)
        machine.accelerator = machine_pb2.ACCELERATOR_KVM
        try:
            domain = connection.defineXMLFlags(_xml(machine), libvirt.VIR_DOMAIN_DEFINE_VALIDATE)
        except libvirt.libvirtError as error:
            assert "does not support virt type 'kvm'" in str(error), name
        else:
            domain.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_NVRAM)


@pytest.mark.parametrize("variant", ["every device", "uefi", "transitional virtio", "clock in a time zone"])
async def test_guest_boots_and_is_reachable(pod: Pod, variant: str) -> None:
    machine = pod.machine()
    VARIANTS[variant](machine)
    assert (await pod.start_machine(machine)).phase == state_pb2.MACHINE_PHASE_RUNNING, pod.log
    await pod.wait_for_console(b"guest-demo: lease ", b"\n")
    assert b"boot=" in await (await pod.connect(7777))[0].readline()


@pytest.mark.slow  # a minute of emulated firmware; test_guest_boots_and_is_reachable boots with UEFI, too
async def test_uefi_comes_up_with_the_least_memory_and_every_device(pod: Pod) -> None:
    machine = pod.machine()
    VARIANTS["every device"](machine)
    VARIANTS["uefi"](machine)
    machine.ClearField("kernel_boot")
    machine.memory_bytes = LEAST_WITH_UEFI
    machine.cpu.cores = 8
    assert (await pod.start_machine(machine)).phase == state_pb2.MACHINE_PHASE_RUNNING, pod.log
    await pod.wait_for_console(b"BdsDxe: ", b" ")


async def test_guest_reads_the_configured_smbios_fields(pod: Pod) -> None:
    machine = pod.machine()
    machine.smbios.serial = "<4711>"
    machine.clock.utc_offset_seconds = 20 * 365 * 86400
    await pod.start_machine(machine)
    await pod.wait_for_console(b"guest-demo login: ", b"ready")
    await pod.type(b"echo serial=$(cat /sys/class/dmi/id/product_serial) year=$(date +%Y).\n")
    assert await pod.wait_for_console(b"serial=<", b">") == b"4711"
    assert int(await pod.wait_for_console(b"year=", b".")) > 2040


def _xml(machine: machine_pb2.Machine) -> str:
    return domain_xml(machine, DomainFiles.below(Path(PRIVATE)))
