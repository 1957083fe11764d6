"""What an image's QEMU and libvirt know, and which machine needs more."""

from __future__ import annotations

import pytest
from virt_launcher.domain.hypervisor import Hypervisor, unknown_hardware

from tests.samples.hypervisors import RECORD
from tests.unit.launcher.launcher_pod import machine

HYPERVISOR = Hypervisor.parse(RECORD)


def test_the_q35_machine_types_are_known_newest_first() -> None:
    assert (HYPERVISOR.qemu, HYPERVISOR.libvirt) == ("7.2.22", "9.0.0")
    names = [machine_type.name for machine_type in HYPERVISOR.machine_types]
    assert names == ["pc-q35-7.2", "pc-q35-2.10", "pc-q35-2.9", "pc-q35-2.4"]


@pytest.mark.parametrize(
    ("requested", "resolved"),
    [
        ("q35", "pc-q35-7.2"),
        ("pc-q35-7.2", "pc-q35-7.2"),
        ("pc-q35-2.4", "pc-q35-2.4"),
        ("pc-q35-10.0", ""),
        ("pc", ""),
    ],
)
def test_an_alias_is_resolved_and_an_unknown_machine_type_is_not(requested: str, resolved: str) -> None:
    assert HYPERVISOR.resolve(requested) == resolved


def test_an_unknown_machine_type_is_refused_with_the_known_ones_that_stay() -> None:
    assert unknown_hardware(machine(machine_type="pc-q35-10.0"), HYPERVISOR) == (
        "machine type 'pc-q35-10.0' is not known to QEMU 7.2.22 of this launcher, "
        "use q35 or one of pc-q35-7.2, pc-q35-2.10, pc-q35-2.9"
    )


def test_an_unknown_cpu_model_is_refused_with_the_known_ones() -> None:
    wanted = machine()
    wanted.cpu_model.name = "YongFeng"
    assert unknown_hardware(wanted, HYPERVISOR) == (
        "CPU model 'YongFeng' is not known to QEMU 7.2.22 and libvirt 9.0.0 of this launcher, "
        "use host-model or one of Nehalem, qemu64"
    )


@pytest.mark.parametrize("model", ["", "host-model", "host-passthrough", "Nehalem"])
def test_a_known_machine_is_not_refused(model: str) -> None:
    wanted = machine()
    wanted.cpu_model.name = model
    assert unknown_hardware(wanted, HYPERVISOR) == ""
