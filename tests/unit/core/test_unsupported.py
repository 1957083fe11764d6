"""Every field of KubeVirt's VirtualMachineInstanceSpec is supported, or refused with exactly its path.

Generated from the field table that the CRD is made of, with objects as the API server stores them under
fieldValidation=Ignore: pruned by the CRD's schema, so that nothing of KubeVirt's may be lost before we refuse it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from msgspec import inspect
from virt_core.objects.kubevirt import Configuration
from virt_core.testing.patches import merge_patch
from virt_core.validation.refusal import UnsupportedSpec
from virt_core.validation.unsupported import unsupported
from virt_core.vmi.admission import admit_create
from virt_core.vmi.instance import read_spec
from virt_core.vmi.spec.domain import VmiSpec
from virt_operator.strategy.crds import virtual_machine_instances

from tests.samples.unsupported import ROOT, UNSUPPORTED, paths, pruned, spec_with

# Fields of Kubernetes' own types, which are not in KubeVirt's table.
OF_KUBERNETES = {
    *(f"volumes[].{source}.{field}.name" for source in ("cloudInitNoCloud", "cloudInitConfigDrive")
      for field in ("secretRef", "networkDataSecretRef")),
    "volumes[].ephemeral.persistentVolumeClaim.claimName",
    "volumes[].ephemeral.persistentVolumeClaim.readOnly",
}  # fmt: skip


PATHS = list(paths(ROOT))


def stored(spec: dict[str, Any]) -> dict[str, Any]:
    versions = virtual_machine_instances()["spec"]["versions"]
    schema = next(version for version in versions if version["name"] == "v1")["schema"]["openAPIV3Schema"]
    body: dict[str, Any] = pruned({"metadata": {"name": "g"}, "spec": spec}, schema)
    return {**body, "metadata": {"name": "g"}}


def refusing(path: str) -> str | None:
    """The path that is refused if `path` is set, with indexes as in the message; None: it is supported."""
    for refused in UNSUPPORTED:
        if re.match(re.escape(refused) + r"($|\.|\[)", path):
            return f"spec.{refused.replace('[]', '[0]')}"
    return None


def refused_fields(spec: dict[str, Any]) -> set[str]:
    """Fields that are refused as not supported."""
    return {
        refusal.field
        for refusal in admit_create(stored(spec), Configuration())
        if "is not supported" in refusal.message
    }


@pytest.mark.parametrize("path", PATHS)
def test_each_field_of_kubevirts_is_supported_or_refused_with_exactly_its_path(path: str) -> None:
    spec = spec_with(path)
    assert stored(spec)["spec"] == spec, "the CRD loses what was set"
    refused = refusing(path)
    assert refused_fields(spec) == ({refused} if refused else set())
    if refused:
        with pytest.raises(UnsupportedSpec) as error:
            read_spec(spec)
        assert f"{refused}: is not supported by this release, remove it" in str(error.value)


def test_all_that_is_not_supported_is_named_at_once_in_one_message() -> None:
    spec = spec_with(*UNSUPPORTED)
    expected = {f"spec.{path.replace('[]', '[0]')}" for path in UNSUPPORTED}
    assert refused_fields(spec) == expected
    with pytest.raises(UnsupportedSpec) as error:
        read_spec(spec)
    assert all(f"{path}: is not supported" in str(error.value) for path in expected)


def test_each_item_of_a_list_is_named_by_its_index() -> None:
    disks = [{"name": "a"}, {"name": "b", "tag": "t"}, {"name": "c", "disk": {"pciAddress": "0"}}]
    assert refused_fields(merge_patch(spec_with(), {"domain": {"devices": {"disks": disks}}})) == {
        "spec.domain.devices.disks[1].tag",
        "spec.domain.devices.disks[2].disk.pciAddress",
    }


@pytest.mark.parametrize("source", ["dataVolume", "persistentVolumeClaim"])
def test_hotplug_is_refused_with_what_to_do_instead(source: str) -> None:
    (refusal,) = unsupported(spec_with(f"volumes[].{source}.hotpluggable"), VmiSpec)
    assert str(refusal) == (
        f"spec.volumes[0].{source}.hotpluggable: is not supported by this release, remove it: "
        "a volume of the spec is attached when the guest starts"
    )


@pytest.mark.parametrize(
    ("path", "instead"),
    [
        ("volumes[].hostDisk", "PersistentVolume"),
        ("volumes[].sysprep", "cdrom"),
        ("networks[].multus", "use pod"),
        ("domain.devices.interfaces[].slirp", "use masquerade or bridge"),
        ("domain.devices.interfaces[].binding", "use masquerade or bridge"),
    ],
)
def test_what_a_user_can_have_otherwise_is_refused_with_that(path: str, instead: str) -> None:
    assert any(instead in refusal.message for refusal in unsupported(spec_with(path), VmiSpec))


def test_what_kubevirt_does_not_have_either_is_refused_where_the_api_server_let_it_through() -> None:
    spec = merge_patch(spec_with(), {"domain": {"cpu": {"sokets": 2}}, "extra": {"deep": [1]}})
    assert {str(refusal) for refusal in unsupported(spec, VmiSpec)} == {
        "spec.domain.cpu.sokets: is not supported by this release, remove it",
        "spec.extra: is not supported by this release, remove it",
    }


def ours(kind: inspect.Type, path: str = "") -> Iterator[tuple[str, inspect.Type]]:
    """Every path below one of our types, and its type."""
    if isinstance(kind, inspect.UnionType):
        kind = next(option for option in kind.types if not isinstance(option, inspect.NoneType))
    if isinstance(kind, inspect.ListType):
        yield from ours(kind.item_type, f"{path}[]")
    if isinstance(kind, inspect.StructType):
        for field in kind.fields:
            below = f"{path}.{field.encode_name}".lstrip(".")
            yield below, field.type
            yield from ours(field.type, below)


def test_no_type_of_ours_has_a_field_that_kubevirt_has_not() -> None:
    supported = {path for path, _ in ours(inspect.type_info(VmiSpec))}
    assert supported - set(PATHS) == OF_KUBERNETES
    assert {path for path in PATHS if refusing(path) is None} == supported - OF_KUBERNETES


def test_the_list_of_what_is_not_supported_has_nothing_in_it_that_kubevirt_has_not() -> None:
    assert set(UNSUPPORTED) <= set(PATHS)
    assert len(PATHS) > 370
