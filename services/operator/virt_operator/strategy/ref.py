"""References to objects, shared by strategy, plan and executor. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from virt_core.conventions import components
from virt_core.kube import resource
from virt_core.kube.resource import Resource

Body = dict[str, Any]
"""A Kubernetes object as JSON has it."""

_DISRUPTION_BUDGETS = Resource("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget")
_POLICIES = Resource(
    "admissionregistration.k8s.io", "v1", "validatingadmissionpolicies", "ValidatingAdmissionPolicy", namespaced=False
)
_POLICY_BINDINGS = Resource(
    "admissionregistration.k8s.io",
    "v1",
    "validatingadmissionpolicybindings",
    "ValidatingAdmissionPolicyBinding",
    namespaced=False,
)
_SERVICE_MONITORS = Resource("monitoring.coreos.com", "v1", "servicemonitors", "ServiceMonitor")
_PROMETHEUS_RULES = Resource("monitoring.coreos.com", "v1", "prometheusrules", "PrometheusRule")

# Every kind that the operator installs, watches and removes, in the order of installation.
KINDS: Mapping[str, Resource] = {
    known.kind: known
    for known in (
        resource.CUSTOM_RESOURCE_DEFINITIONS,
        _POLICIES,
        _POLICY_BINDINGS,
        resource.SERVICE_ACCOUNTS,
        resource.CLUSTER_ROLES,
        resource.CLUSTER_ROLE_BINDINGS,
        resource.ROLES,
        resource.ROLE_BINDINGS,
        resource.SERVICES,
        resource.SECRETS,
        resource.CONFIG_MAPS,
        resource.JOBS,
        _DISRUPTION_BUDGETS,
        resource.DEPLOYMENTS,
        resource.DAEMON_SETS,
        resource.API_SERVICES,
        resource.MUTATING_WEBHOOK_CONFIGURATIONS,
        resource.VALIDATING_WEBHOOK_CONFIGURATIONS,
        resource.VIRTUAL_MACHINE_CLUSTER_INSTANCETYPES,
        resource.VIRTUAL_MACHINE_CLUSTER_PREFERENCES,
        _SERVICE_MONITORS,
        _PROMETHEUS_RULES,
    )
}

DEFINED: Mapping[str, str] = {
    kind: f"{KINDS[kind].plural}.{KINDS[kind].group}"
    for kind in ("VirtualMachineClusterInstancetype", "VirtualMachineClusterPreference")
}
"""Kinds that the suite itself defines, with the name of the CustomResourceDefinition. The API server serves them only
while it exists, and stores their objects as they are written, without defaults."""

FOREIGN: Mapping[str, str] = {
    kind: f"{KINDS[kind].plural}.{KINDS[kind].group}" for kind in ("ServiceMonitor", "PrometheusRule")
}
"""Kinds that somebody else defines or does not, with the name of the CustomResourceDefinition. Nothing of the
suite waits for their objects."""

MANAGED_BY_OPERATOR = components.OPERATOR
"""Value of the label app.kubernetes.io/managed-by on all objects that the operator installs and may remove."""


WORKLOADS = ("Deployment", "DaemonSet")
"""Kinds whose pods are the suite's components."""


class Ref(NamedTuple):
    """A reference to an object; `namespace` is "" for cluster-scoped kinds."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"

    @property
    def resource(self) -> Resource:
        """The API server's resource."""
        return KINDS[self.kind]


def ref_of(body: Body) -> Ref:
    """The name of a desired object."""
    meta = body["metadata"]
    return Ref(body["kind"], meta.get("namespace", ""), meta["name"])
