"""KubeVirt's kinds that have no definition here: a manifest of one is refused in words that name the kind."""

from __future__ import annotations

import json

import pytest

from tests.e2e.cluster import kubectl

pytestmark = pytest.mark.parallel


@pytest.mark.parametrize(
    ("version", "kind"),
    [
        ("pool.kubevirt.io/v1beta1", "VirtualMachinePool"),
        ("clone.kubevirt.io/v1beta1", "VirtualMachineClone"),
        ("snapshot.kubevirt.io/v1beta1", "VirtualMachineSnapshot"),
        ("snapshot.kubevirt.io/v1beta1", "VirtualMachineRestore"),
        ("export.kubevirt.io/v1beta1", "VirtualMachineExport"),
    ],
)
def test_a_manifest_of_a_kind_without_definition_is_refused_by_name(version: str, kind: str) -> None:
    body = {"apiVersion": version, "kind": kind, "metadata": {"name": "missing"}, "spec": {}}
    for verb in ("apply", "create", "delete"):
        with pytest.raises(AssertionError, match=f'no matches for kind "{kind}" in version "{version}"'):
            kubectl(verb, "-f", "-", stdin=json.dumps(body))
