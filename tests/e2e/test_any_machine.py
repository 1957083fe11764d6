"""Any VirtualMachineInstance on a real API server: pods of those that the rules let through are
admitted, fields that are not supported are refused by their paths though nobody validated them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from hypothesis import given, settings

from tests.e2e.cluster import get, kubectl, until
from tests.samples.launcher_pods import pod
from tests.samples.unsupported import UNSUPPORTED, spec_with
from tests.samples.vmis import Spec, supported

pytestmark = pytest.mark.parallel

NAMESPACE = "any-machine"


@pytest.fixture(scope="module")
def restricted() -> Iterator[str]:
    """A namespace that admits no more than PodSecurity "restricted" does."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}}
    try:
        kubectl("apply", "-f", "-", stdin=json.dumps(body))
        until(lambda: bool(kubectl("-n", NAMESPACE, "get", "serviceaccount", "default", check=False)), "its account")
        yield NAMESPACE
    finally:
        kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait")


@settings(max_examples=40, deadline=None)
@given(spec=supported())
def test_the_pod_of_whatever_the_rules_let_through_is_admitted(restricted: str, spec: Spec) -> None:
    body = pod(spec)
    body["metadata"]["namespace"] = restricted
    kubectl("create", "--dry-run=server", "-o", "name", "-f", "-", stdin=json.dumps(body))


def test_every_field_that_is_not_supported_is_named_though_nobody_validated_it(restricted: str) -> None:
    """At admission; or, where the webhook was away, in a condition of the object, which waits."""
    spec = spec_with(*UNSUPPORTED)
    body = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance", "spec": spec,
            "metadata": {"name": "all-of-kubevirt", "namespace": restricted}}  # fmt: skip
    paths = [f"spec.{path.replace('[]', '[0]')}" for path in UNSUPPORTED]
    try:
        try:
            kubectl("create", "--validate=ignore", "-f", "-", stdin=json.dumps(body))
        except AssertionError as refused:
            text = str(refused)
        else:
            vmi = ("-n", restricted, "vmi", "all-of-kubevirt")
            until(lambda: "Synchronized" in json.dumps(get(*vmi).get("status", {})), "the condition")
            text = json.dumps(get(*vmi)["status"]["conditions"])
        assert [path for path in paths if path not in text] == []
    finally:
        kubectl("-n", restricted, "delete", "vmi", "all-of-kubevirt", "--ignore-not-found", "--wait")
