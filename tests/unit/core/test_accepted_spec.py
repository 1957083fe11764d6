"""A spec is parsed and checked once, and the builders take the result."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from virt_core.objects.kubevirt import Configuration, DeveloperConfiguration
from virt_core.testing.patches import merge_patch
from virt_core.validation.refusal import UnsupportedSpec
from virt_core.vmi import accepted
from virt_core.vmi.accepted import AcceptedSpec, AcceptedSpecs, RefusedSpec, accept
from virt_core.vmi.instance import VirtualMachineInstance, parse_spec
from virt_core.vmi.spec.domain import VmiSpec

NONE = Configuration()
MINIMAL: dict[str, Any] = {"domain": {"memory": {"guest": "64Mi"}, "devices": {}}}
WINDOWS = {
    "domain": {
        "memory": {"guest": "512Mi"},
        "features": {"hyperv": {"relaxed": {}}},
        "firmware": {"bootloader": {"efi": {"secureBoot": True}}},
        "devices": {"tpm": {}},
    }
}


def vmi(
    change: dict[str, Any] | None = None,
    *,
    name: str = "g",
    uid: str = "u",
    generation: int = 1,
    phase: str = "Scheduling",
) -> VirtualMachineInstance:
    """The minimal VMI with a merge patch to its spec."""
    stored = {
        "metadata": {"name": name, "uid": uid, "generation": generation},
        "spec": merge_patch(MINIMAL, change or {}),
        "status": {"phase": phase},
    }
    return msgspec.json.decode(json.dumps(stored), type=VirtualMachineInstance)


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[msgspec.Raw]:
    """Every spec that was parsed."""
    seen: list[msgspec.Raw] = []

    def counting(raw: msgspec.Raw) -> VmiSpec:
        seen.append(raw)
        return parse_spec(raw)

    monkeypatch.setattr(accepted, "parse_spec", counting)
    return seen


def test_an_accepted_spec_has_the_values_that_the_user_left_to_defaults() -> None:
    spec = accept(vmi().raw_spec, Configuration(machine_type="pc-q35-7.2", cpu_model="Nehalem"))
    assert (spec.machine_type, spec.cpu_model, spec.memory_bytes, spec.emulated) == (
        "pc-q35-7.2",
        "Nehalem",
        64 << 20,
        False,
    )
    assert (spec.topology.vcpus, [interface.name for interface in spec.interfaces]) == (1, ["default"])


def test_json_and_builtins_are_accepted_alike() -> None:
    assert accept(vmi().raw_spec, NONE) == accept(MINIMAL, NONE)


def test_unknown_fields_and_bad_values_are_refused_together() -> None:
    with pytest.raises(UnsupportedSpec) as error:
        accept(vmi(WINDOWS).raw_spec, NONE)
    assert {refusal.field for refusal in error.value.refusals} == {
        "spec.domain.features.hyperv",
        "spec.domain.firmware.bootloader.efi.secureBoot",
        "spec.domain.devices.tpm.enabled",
    }


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        (
            {"volumes": [{"name": "a", "hostDisk": {}}], "hostname": "UP"},
            ["spec.volumes[0].hostDisk", "spec.hostname"],
        ),
        (
            {
                "domain": {"devices": {"interfaces": [{"name": "a", "sriov": {}}]}},
                "networks": [{"name": "a", "multus": {}}],
            },
            ["spec.domain.devices.interfaces[0].sriov", "spec.networks[0].multus"],
        ),
        (
            {"domain": {"memory": {"guest": {}}, "cpu": {"cores": 99}}},
            ["spec.domain.memory.guest", "spec.domain.cpu.cores"],
        ),
        ({"domain": None, "hostname": "UP"}, ["spec.domain"]),
        ({"volumes": [{}], "hostname": "UP"}, ["spec.volumes[0].name"]),
    ],
)
def test_a_field_that_is_refused_causes_no_second_refusal_of_what_holds_it(
    change: dict[str, Any], fields: list[str]
) -> None:
    with pytest.raises(UnsupportedSpec) as error:
        accept(vmi(change).raw_spec, NONE)
    assert [refusal.field for refusal in error.value.refusals] == fields


EMULATION = Configuration(DeveloperConfiguration(use_emulation=True))


@pytest.mark.parametrize(
    ("cpu", "field"),
    [
        ({"model": "Nehalem", "features": [{"name": "vmx", "policy": "require"}]}, "spec.domain.cpu.features[0].name"),
        ({"features": [{"name": "x2apic"}]}, "spec.domain.cpu.features[0].name"),
        ({"features": [{"name": "avx512f", "policy": "force"}]}, "spec.domain.cpu.features[0].name"),
        ({"model": "Skylake-Server"}, "spec.domain.cpu.model"),
    ],
)
def test_what_a_cpu_requires_and_the_emulator_has_not_is_refused(cpu: dict[str, Any], field: str) -> None:
    with pytest.raises(UnsupportedSpec) as error:
        accept(vmi({"domain": {"cpu": cpu}}).raw_spec, EMULATION)
    assert [refusal.field for refusal in error.value.refusals] == [field]
    assert accept(vmi({"domain": {"cpu": cpu}}).raw_spec, NONE)


@pytest.mark.parametrize(
    "cpu",
    [
        {"model": "Nehalem", "features": [{"name": "aes"}, {"name": "sse4.2"}, {"name": "lahf_lm"}]},
        {"model": "host-passthrough", "features": [{"name": "vmx", "policy": "optional"}]},
        {"features": [{"name": "vmx", "policy": "disable"}, {"name": "avx512f", "policy": "forbid"}]},
    ],
)
def test_what_the_emulator_has_or_the_guest_can_do_without_is_accepted(cpu: dict[str, Any]) -> None:
    assert accept(vmi({"domain": {"cpu": cpu}}).raw_spec, EMULATION)


def test_the_cluster_s_cpu_model_must_be_emulated_too() -> None:
    cluster = Configuration(DeveloperConfiguration(use_emulation=True), cpu_model="Skylake-Server")
    with pytest.raises(UnsupportedSpec, match=r"spec\.domain\.cpu\.model: 'Skylake-Server'"):
        accept(vmi().raw_spec, cluster)
    assert accept(vmi({"domain": {"cpu": {"model": "host-model"}}}).raw_spec, cluster)


def test_an_object_is_parsed_once(parsed: list[msgspec.Raw]) -> None:
    specs = AcceptedSpecs()
    first = specs.of(vmi(), NONE)
    assert isinstance(first, AcceptedSpec)
    for phase in ("Scheduled", "Running", "Running", "Succeeded"):
        assert specs.of(vmi(phase=phase), NONE) is first
    assert isinstance(specs.of(vmi({"hostname": "UP"}, uid="bad"), NONE), RefusedSpec)
    specs.of(vmi({"hostname": "UP"}, uid="bad"), NONE)
    assert len(parsed) == 2


def test_another_object_or_spec_is_parsed_again_and_another_generation_alone_is_not(parsed: list[msgspec.Raw]) -> None:
    specs = AcceptedSpecs()
    for other in (vmi(), vmi(generation=2), vmi(uid="v"), vmi({"hostname": "other"}, uid="v", generation=3)):
        specs.of(other, NONE)
    assert len(parsed) == 3


def test_the_cache_is_bounded(parsed: list[msgspec.Raw]) -> None:
    specs = AcceptedSpecs(kept=2)
    for name in ("a", "b", "a", "c", "a", "b"):
        specs.of(vmi(name=name), NONE)
    assert len(parsed) == 4  # b was looked at least when c came


def test_one_that_has_gone_is_forgotten(parsed: list[msgspec.Raw]) -> None:
    specs = AcceptedSpecs()
    specs.of(vmi(), NONE)
    specs.forget(vmi(name="other").key)
    specs.of(vmi(), NONE)
    assert len(parsed) == 1
    specs.forget(vmi().key)
    specs.of(vmi(), NONE)
    assert len(parsed) == 2


def test_what_the_cluster_allows_now_is_not_held_against_a_guest_that_was_started() -> None:
    old, strict = {"domain": {"machine": {"type": "pc-q35-7.1"}}}, Configuration(emulated_machines=["pc-q35-7.2"])
    specs = AcceptedSpecs()
    assert isinstance(specs.of(vmi(old), NONE), AcceptedSpec)
    assert isinstance(specs.of(vmi(old), strict), RefusedSpec)
    assert isinstance(specs.of(vmi(old, phase="Running"), strict), AcceptedSpec)
