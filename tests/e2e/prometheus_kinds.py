"""What virt-operator looks for and writes for a Prometheus of the Prometheus operator. The kinds are defined without a
schema: the Prometheus operator itself is not there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from virt_operator.strategy.monitoring import NAME, ROLE
from virt_operator.strategy.ref import FOREIGN, KINDS

from tests.e2e.builds import condition
from tests.e2e.cluster import NAMESPACE, apply, kubectl, until

MONITORING, ACCOUNT = "monitoring", "prometheus-k8s"
WITHIN = 60.0  # seconds, on a busy machine
READY = "all components are ready"
PLACES = {
    "ServiceMonitor": (MONITORING, NAME),
    "PrometheusRule": (NAMESPACE, NAME),
    "Role": (NAMESPACE, ROLE),
    "RoleBinding": (NAMESPACE, ROLE),
}


def _definition(kind: str) -> dict[str, Any]:
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
    """Until they are served."""
    apply(*map(_definition, kinds))
    for kind in kinds:
        kubectl("wait", "crd", FOREIGN[kind], "--for=condition=Established", "--timeout=180s")


def undefine(*kinds: str) -> None:
    """With all their objects."""
    kubectl("delete", "crd", *(FOREIGN[kind] for kind in kinds), "--ignore-not-found", deadline=120)


@contextmanager
def account() -> Iterator[None]:
    """Namespace and service account of Prometheus; afterwards the suite is as before."""
    meta = {"name": ACCOUNT, "namespace": MONITORING}
    kubectl("create", "namespace", MONITORING)
    try:
        apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta})
        yield
    finally:
        ask(monitorNamespace=None)
        undefine(*FOREIGN)
        kubectl("delete", "namespace", MONITORING, deadline=120)
        until(lambda: not found("Role") and condition("Available")["message"] == READY, "the suite as before", WITHIN)


def ask(**fields: Any) -> None:
    """Set fields of the KubeVirt object's spec; None removes one."""
    kubectl("patch", "kv", "kubevirt", "-n", NAMESPACE, "--type=merge", "-p", json.dumps({"spec": fields}))


def found(kind: str) -> Any:
    """The object; None if it is absent or its kind is."""
    namespace, name = PLACES[kind]
    resource = KINDS[kind]
    plural = f"{resource.plural}.{resource.group}"
    text = kubectl("get", plural, name, "-n", namespace, "--ignore-not-found", "-o", "json", check=False)
    return json.loads(text) if text else None


def all_there(kinds: Any = tuple(PLACES)) -> bool:
    """Those, and none of the others."""
    return all(found(kind) for kind in PLACES if kind in kinds) and not any(
        found(kind) for kind in PLACES if kind not in kinds
    )
