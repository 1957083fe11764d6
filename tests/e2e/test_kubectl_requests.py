"""What tests read, create and delete without kubectl is what kubectl would."""

from __future__ import annotations

import json

import pytest

from tests.e2e.cluster import NAMESPACE, apply, get, kubectl, remove

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
    read = get(*arguments)
    assert read.get("items") == printed.get("items")
    assert "items" in printed or read == printed


def test_an_absent_object_is_an_error_of_kubectl() -> None:
    with pytest.raises(AssertionError, match=r'services "nobody" not found'):
        get("service", "nobody")


def test_what_is_created_here_is_what_kubectl_applies() -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied"}, "data": {"key": "value"}}
    found = []
    try:
        for create in (apply, lambda manifest: kubectl("apply", "-f", "-", stdin=json.dumps(manifest))):
            create(body)
            made = get("configmap", "applied", "--show-managed-fields")
            manager = [(entry["manager"], entry["operation"]) for entry in made["metadata"].pop("managedFields")]
            for varies in ("uid", "resourceVersion", "creationTimestamp"):
                del made["metadata"][varies]
            found.append((made, manager))
            remove("configmap", "applied")
            assert get("configmaps", "--field-selector", "metadata.name=applied")["items"] == []
    finally:
        kubectl("delete", "configmap", "applied", "--ignore-not-found")
    assert found[0] == found[1]


def test_one_that_is_there_already_is_applied() -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied-twice"}, "data": {"key": "value"}}
    try:
        apply(body)
        apply({**body, "data": {}})
        assert "data" not in get("configmap", "applied-twice")
    finally:
        remove("configmap", "applied-twice")


def test_what_is_refused_is_an_error_of_kubectl() -> None:
    with pytest.raises(AssertionError, match=r'unknown field "dta"'):
        apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "misspelt"}, "dta": {}})
