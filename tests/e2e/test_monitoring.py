"""The objects for a Prometheus of the Prometheus operator come with its kinds and its account, and go with them.

Neither the Prometheus operator nor Prometheus runs: the kinds are defined without a schema.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from virt_operator.strategy.monitoring import NAME, ROLE
from virt_operator.strategy.ref import FOREIGN, KINDS

from tests.e2e.builds import condition
from tests.e2e.cluster import NAMESPACE, apply, get, kubectl, until

MONITORING, ACCOUNT = "monitoring", "prometheus-k8s"
WITHIN = 60.0  # seconds, on a busy machine
READY = "all components are ready"
PLACES = {
    "ServiceMonitor": (MONITORING, NAME),
    "PrometheusRule": (NAMESPACE, NAME),
    "Role": (NAMESPACE, ROLE),
    "RoleBinding": (NAMESPACE, ROLE),
}


def definition(kind: str) -> dict[str, Any]:
    resource = KINDS[kind]
    names = {"kind": kind, "listKind": f"{kind}List", "plural": resource.plural, "singular": kind.lower()}
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    version = {"name": resource.version, "served": True, "storage": True, "schema": schema}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": FOREIGN[kind]},
        "spec": {"group": resource.group, "scope": "Namespaced", "names": names, "versions": [version]},
    }


def define(*kinds: str) -> None:
    apply(*map(definition, kinds))
    for kind in kinds:
        kubectl("wait", "crd", FOREIGN[kind], "--for=condition=Established", "--timeout=180s")


def undefine(*kinds: str) -> None:
    kubectl("delete", "crd", *(FOREIGN[kind] for kind in kinds), "--ignore-not-found")


@pytest.fixture
def prometheus() -> Iterator[None]:
    """Its namespace and its account; afterwards the suite is as before."""
    meta = {"name": ACCOUNT, "namespace": MONITORING}
    kubectl("create", "namespace", MONITORING)
    try:
        apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta})
        yield
    finally:
        ask(monitorNamespace=None)
        undefine(*FOREIGN)
        kubectl("delete", "namespace", MONITORING)
        until(lambda: not found("Role") and condition("Available")["message"] == READY, "the suite as before", WITHIN)


def ask(**fields: Any) -> None:
    kubectl("patch", "kv", "kubevirt", "-n", NAMESPACE, "--type=merge", "-p", json.dumps({"spec": fields}))


def found(kind: str) -> Any:
    """The object; None if it is absent or its kind is."""
    namespace, name = PLACES[kind]
    resource = KINDS[kind]
    plural = f"{resource.plural}.{resource.group}"
    text = kubectl("get", plural, name, "-n", namespace, "--ignore-not-found", "-o", "json", check=False)
    return json.loads(text) if text else None


def all_there(kinds: Any = tuple(PLACES)) -> bool:
    return all(found(kind) for kind in PLACES if kind in kinds) and not any(
        found(kind) for kind in PLACES if kind not in kinds
    )


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
