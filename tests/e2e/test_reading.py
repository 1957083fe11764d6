"""What tests that poll read without kubectl is what kubectl prints."""

from __future__ import annotations

import json

import pytest

from tests.e2e.cluster import NAMESPACE, get, kubectl, polling

pytestmark = pytest.mark.parallel


@pytest.mark.parametrize(
    "arguments",
    [
        ("service", "kubernetes"),
        ("svc", "-n", NAMESPACE),
        ("-n", NAMESPACE, "services", "virt-api"),
        ("services", "-A", "-l", "kubevirt.io in (virt-api,virt-operator)"),
        ("pods", "-A", "--field-selector", "metadata.name=nobody"),
        ("crd", "virtualmachineinstances.kubevirt.io"),
        ("vmcf", "-l", "instancetype.kubevirt.io/vendor=kubevirt.io"),
        ("virtualmachineclusterpreferences.instancetype.kubevirt.io", "linux"),
        ("ClusterRole", "kubevirt.io:admin"),
        ("svc,sa", "-n", NAMESPACE),
    ],
    ids=" ".join,
)
def test_what_is_read_here_is_what_kubectl_prints(arguments: tuple[str, ...]) -> None:
    printed = json.loads(kubectl("get", *arguments, "-o", "json"))
    with polling():
        read = get(*arguments)
    assert read.get("items") == printed.get("items")
    assert "items" in printed or read == printed


def test_an_absent_object_is_an_error_of_kubectl() -> None:
    with polling(), pytest.raises(AssertionError, match=r'services "nobody" not found'):
        get("service", "nobody")
