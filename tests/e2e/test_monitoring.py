"""The objects for a Prometheus of the Prometheus operator come with its kinds and its account, and go with them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from virt_operator.strategy.ref import FOREIGN

from tests.e2e import prometheus_kinds
from tests.e2e.builds import condition
from tests.e2e.cluster import NAMESPACE, get, kubectl, until
from tests.e2e.prometheus_kinds import (
    ACCOUNT,
    MONITORING,
    PLACES,
    READY,
    WITHIN,
    all_there,
    ask,
    define,
    found,
    undefine,
)


@pytest.fixture
def prometheus() -> Iterator[None]:
    with prometheus_kinds.account():
        yield


def test_the_objects_for_prometheus_come_are_repaired_and_go(prometheus: None) -> None:
    until(lambda: condition("Available")["message"] == READY, "the suite to be whole")
    assert not found("Role")
    define("ServiceMonitor")
    until(lambda: all_there(set(PLACES) - {"PrometheusRule"}), "all but the PrometheusRule", WITHIN)
    absent = FOREIGN["PrometheusRule"]
    until(lambda: absent in condition("Available")["message"], "the KubeVirt object to name the kind", WITHIN)
    define("PrometheusRule")
    until(all_there, "the PrometheusRule", WITHIN)
    account = f"system:serviceaccount:{MONITORING}:{ACCOUNT}"
    may_list = ("auth", "can-i", "list", "pods", "-n", NAMESPACE, "--as", account)
    until(lambda: kubectl(*may_list, check=False).strip() == "yes", "the API server to know the role", WITHIN)
    what_is_changed_comes_back()
    ask(monitorNamespace="nowhere")
    until(lambda: all_there(()), "them to go", WITHIN)
    missing = f"no service account {ACCOUNT} in namespace nowhere"
    until(lambda: missing in kubectl("describe", "kv", "kubevirt", "-n", NAMESPACE), "the account to be named", WITHIN)
    assert condition("Available")["status"] == "True"
    ask(monitorNamespace=None)
    until(all_there, "them to come back", WITHIN)
    undefine(*FOREIGN)
    until(lambda: all_there(()), "the role to go", WITHIN)
    until(lambda: condition("Available")["message"] == READY, "nothing to be missing", WITHIN)


def what_is_changed_comes_back() -> None:
    """Of each kind, a part that is the suite's is changed, and then the object is deleted."""
    part = {"Role": "rules", "RoleBinding": "subjects"}
    before = {kind: found(kind)[part.get(kind, "spec")] for kind in PLACES}
    for kind, (namespace, name) in PLACES.items():
        value: Any = [] if kind in part else {"edited": True}
        patch = [{"op": "replace", "path": f"/{part.get(kind, 'spec')}", "value": value}]
        kubectl("patch", kind.lower(), name, "-n", namespace, "--type=json", "-p", json.dumps(patch))
    until(lambda: {kind: (found(kind) or {}).get(part.get(kind, "spec")) for kind in PLACES} == before, "it", WITHIN)
    uids = {kind: found(kind)["metadata"]["uid"] for kind in PLACES}
    for kind, (namespace, name) in PLACES.items():
        kubectl("delete", kind.lower(), name, "-n", namespace)
    until(lambda: all((found(k) or {"metadata": {"uid": uids[k]}})["metadata"]["uid"] != uids[k] for k in PLACES), "it")
    assert get("kv", "kubevirt", "-n", NAMESPACE)["status"]["phase"] == "Deployed"
