"""CPU, memory, firmware and clock that are refused: by field, value and what is allowed."""

from __future__ import annotations

import pytest
from virt_core.testing.patches import merge_patch

from tests.unit.core.spec_changes import (
    Change,
    assert_refused,
    devices,
    domain,
    efi,
    resources,
    uefi_kernel,
)

# Each refused alone: the change, the field, and words of the message.
REFUSED: list[tuple[Change, str, str]] = [
    (domain(cpu={"cores": 65}), "domain.cpu.cores", "65 is not allowed, use 1 to 64"),
    (domain(cpu={"threads": -1}), "domain.cpu.threads", "-1 is not allowed"),
    (resources(limits={"cpu": "65"}), "domain.cpu", "'65x1x1 vCPUs'"),
    (domain(cpu={"model": "a b"}), "domain.cpu.model", "'a b' is not allowed, use host-model, host-passthrough"),
    (domain(cpu={"model": "m" * 65}), "domain.cpu.model", "a model's name"),
    (domain(cpu={"features": [{"name": "<x/>"}]}), "domain.cpu.features[0].name", "'<x/>'"),
    (domain(cpu={"features": [{"name": "a"}, {"name": "a"}]}), "domain.cpu.features[1].name", "no other has"),
    (domain(cpu={"features": [{"name": "a", "policy": "on"}]}), "domain.cpu.features[0].policy", "force or require"),
    (domain(cpu={"dedicatedCpuPlacement": True}), "domain.cpu.dedicatedCpuPlacement", "True is not allowed, use false"),
    (domain(cpu={"isolateEmulatorThread": True}), "domain.cpu.isolateEmulatorThread", "use false"),
    (domain(memory={"guest": "1k"}), "domain.memory.guest", "at least 2Mi"),
    (domain(memory={"guest": "1Mi"}), "domain.memory.guest", "at least 2Mi"),
    (domain(memory={"guest": "9E"}), "domain.memory.guest", "at most 1Ei"),
    (domain(memory={"guest": -5}), "domain.memory.guest", "-5"),
    (
        domain(memory={"hugepages": {"pageSize": "4Mi"}}),
        "domain.memory.hugepages.pageSize",
        "'4Mi' is not allowed, use 2Mi",
    ),
    (
        domain(memory={"hugepages": {"pageSize": "1Gi"}}),
        "domain.memory.hugepages.pageSize",
        "divides the guest's memory",
    ),
    (
        resources(requests={"memory": "much"}),
        "domain.resources.requests.memory",
        "'much' is not allowed, use a quantity",
    ),
    (resources(limits={"cpu": "-1"}), "domain.resources.limits.cpu", "'-1'"),
    (resources(requests={"a b": 1}), "domain.resources.requests", "'a b' is not allowed, use a qualified name"),
    (resources(requests={"hugepages-2Mi": "64Mi"}), "domain.resources.requests", "use spec.domain.memory.hugepages"),
    (resources(requests={"cpu": 2}, limits={"cpu": 1}), "domain.resources.requests.cpu", "at most the limit, 1"),
    (resources(limits={"memory": "32Mi"}), "domain.memory.guest", "at most spec.domain.resources.limits.memory, 32Mi"),
    (domain(machine={"type": "pc"}), "domain.machine.type", "'pc' is not allowed, use q35"),
    (domain(firmware={"uuid": "x"}), "domain.firmware.uuid", "'x' is not allowed, use a UUID"),
    (domain(firmware={"serial": "a<b"}), "domain.firmware.serial", "'a<b'"),
    (
        merge_patch(efi(secureBoot=False), domain(firmware={"bootloader": {"bios": {}}})),
        "domain.firmware.bootloader",
        "one of",
    ),
    (efi(), "domain.firmware.bootloader.efi.secureBoot", "is not set, which means true and is not allowed, use false"),
    (efi(secureBoot=True), "domain.firmware.bootloader.efi.secureBoot", "True is not allowed, use false"),
    (efi(secureBoot=False, persistent=True), "domain.firmware.bootloader.efi.persistent", "use false"),
    (
        {**merge_patch(efi(secureBoot=False), domain(features={"acpi": {"enabled": False}}))},
        "domain.features.acpi.enabled",
        "UEFI needs ACPI",
    ),
    (
        merge_patch(efi(secureBoot=False), domain(memory={"guest": "128Mi"})),
        "domain.memory.guest",
        "'128Mi' is not allowed, use at least 160Mi with UEFI",
    ),
    (
        uefi_kernel("159Mi"),
        "domain.memory.guest",
        "'159Mi' is not allowed, use at least 160Mi with UEFI",
    ),
    (
        domain(
            memory=None,
            resources={"requests": {"memory": "32Mi"}},
            firmware={"bootloader": {"efi": {"secureBoot": False}}},
        ),
        "domain.resources.requests.memory",
        "'32Mi' is not allowed, use at least 160Mi with UEFI",
    ),
    (domain(firmware={"kernelBoot": {"kernelArgs": "x"}}), "domain.firmware.kernelBoot.container", "an image"),
    (
        domain(firmware={"kernelBoot": {"container": {"image": "i", "kernelPath": "/../k"}}}),
        "domain.firmware.kernelBoot.container.kernelPath",
        "an absolute path",
    ),
    (
        domain(firmware={"kernelBoot": {"container": {"image": "i", "kernelPath": "/k"}, "kernelArgs": "a\n"}}),
        "domain.firmware.kernelBoot.kernelArgs",
        "printable ASCII",
    ),
    (
        merge_patch(
            domain(firmware={"bootloader": {"bios": {"useSerial": True}}}), devices(autoattachSerialConsole=False)
        ),
        "domain.firmware.bootloader.bios.useSerial",
        "false without autoattachSerialConsole",
    ),
    (
        domain(features={"apic": {"enabled": False, "endOfInterrupt": True}}),
        "domain.features.apic.endOfInterrupt",
        "false without an APIC",
    ),
    (domain(chassis={"asset": "&"}), "domain.chassis.asset", "'&'"),
    (
        domain(clock={"utc": {}, "timezone": "UTC"}),
        "domain.clock",
        "'utc and timezone' is not allowed, use one of them",
    ),
    (domain(clock={"timezone": "../etc"}), "domain.clock.timezone", "a time zone"),
    (domain(clock={"utc": {"offsetSeconds": 1 << 31}}), "domain.clock.utc.offsetSeconds", "2147483648"),
    (
        domain(clock={"timer": {"rtc": {"tickPolicy": "merge"}}}),
        "domain.clock.timer.rtc.tickPolicy",
        "delay or catchup",
    ),
    (domain(clock={"timer": {"pit": {"tickPolicy": "merge"}}}), "domain.clock.timer.pit.tickPolicy", "delay or"),
    (domain(clock={"timer": {"hpet": {"tickPolicy": "x"}}}), "domain.clock.timer.hpet.tickPolicy", "delay or"),
    (domain(clock={"timer": {"rtc": {"track": "boot"}}}), "domain.clock.timer.rtc.track", "guest or wall"),
]


@pytest.mark.parametrize(("change", "field", "words"), REFUSED, ids=[f"{at}: {words}" for _, at, words in REFUSED])
def test_hardware_that_this_release_lacks_is_refused_by_field_and_value(change: Change, field: str, words: str) -> None:
    assert_refused(change, field, words)
