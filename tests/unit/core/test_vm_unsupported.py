"""Every field of KubeVirt's VirtualMachineSpec is supported, or refused with exactly its path, as the API server stores
it under fieldValidation=Ignore.
"""

from __future__ import annotations

import re
from typing import Any

import pytest
from virt_core.objects.kubevirt import Configuration
from virt_core.vm.admission import admit
from virt_operator.strategy.crds import virtual_machines

from tests.samples.unsupported import UNSUPPORTED, joined, paths, placed, pruned, spec_with

KIND = "v1.VirtualMachineSpec"
REFUSED = ["dataVolumeTemplates", "updateVolumesStrategy", *(f"template.spec.{path}" for path in UNSUPPORTED)]
PATHS = [path for path in paths(KIND) if path != "running"]  # excludes runStrategy
SCHEMA: dict[str, Any] = next(
    version["schema"]["openAPIV3Schema"]
    for version in virtual_machines()["spec"]["versions"]
    if version["name"] == "v1"
)


def vm(*setting: str) -> dict[str, Any]:
    """A VirtualMachine in which each of these paths is set."""
    spec: dict[str, Any] = {"runStrategy": "Always", "template": {"spec": spec_with()}}
    for path in setting:
        spec = joined(spec, placed(KIND, path))
    return {"metadata": {"name": "g"}, "spec": spec}


def refusing(path: str) -> set[str]:
    """The path that is refused if `path` is set."""
    found = [refused for refused in REFUSED if re.match(re.escape(refused) + r"($|\.|\[)", path)]
    return {f"spec.{refused.replace('[]', '[0]')}" for refused in found}


def refused_fields(body: dict[str, Any]) -> set[str]:
    found = admit(body, None, Configuration(), is_own_account=False)
    return {refusal.field for refusal in found if "is not supported" in refusal.message}


@pytest.mark.parametrize("path", PATHS)
def test_each_field_is_supported_or_refused_with_exactly_its_path(path: str) -> None:
    body = vm(path)
    assert pruned(body, SCHEMA)["spec"] == body["spec"], "the CRD loses what was set"
    assert refused_fields(body) == refusing(path)


def test_all_that_is_not_supported_is_named_at_once() -> None:
    assert refused_fields(vm(*REFUSED)) == {f"spec.{path.replace('[]', '[0]')}" for path in REFUSED}
    assert len(PATHS) > 380
