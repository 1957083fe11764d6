"""The operator's permissions: its own needs, and the union of all permissions that it grants. Pure; called by
operator_objects.py, and by change/ and preflight/ to compare it with what is held.

Computed from the desired objects, so a component's new permission is added to the operator's manifest automatically.
Changes and deletions of cluster-scoped objects are limited to the names in the strategy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from virt_core.conventions import accounts, components
from virt_core.conventions import apiserver_authentication as authentication
from virt_core.conventions.node_certificate import SIGNER_NAME
from virt_core.conventions.webhooks import OPERATOR_VALIDATOR

from virt_operator.strategy import desired, monitoring, rbac
from virt_operator.strategy.ref import KINDS, Body, ref_of
from virt_operator.strategy.rules import rule, union
from virt_operator.strategy.settings import InstallSettings

ACCOUNT = accounts.OPERATOR
STRATEGY_ACCOUNT = "kubevirt-install-strategy"
LEASE = components.OPERATOR

_WEBHOOKS = "validatingwebhookconfigurations"

# Strategies are written by the Job that prints them.
_WRITES: Mapping[str, tuple[str, ...]] = {"ConfigMap": ()}


def operator_rbac(settings: InstallSettings) -> list[Body]:
    """The operator's service account, roles and bindings."""
    objects = desired.desired_objects(settings)
    namespace = settings.namespace
    subject = rbac.service_account_subject(ACCOUNT, namespace)
    cluster = union([*_granted(objects, "ClusterRole"), *_cluster_needs(objects)])
    granted = _granted((*objects, *desired.desired_monitoring(settings)), "Role")
    local = union([*granted, *_local_needs(objects, namespace)])
    kube_system = union(_local_needs(objects, authentication.NAMESPACE))
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": ACCOUNT, "namespace": namespace}},
        rbac.cluster_role(ACCOUNT, tuple(cluster)),
        rbac.cluster_role_binding(ACCOUNT, ACCOUNT, subject),
        rbac.role(ACCOUNT, namespace, tuple(local)),
        rbac.role_binding(ACCOUNT, namespace, ACCOUNT, subject),
        rbac.role(ACCOUNT, authentication.NAMESPACE, tuple(kube_system)),
        rbac.role_binding(ACCOUNT, authentication.NAMESPACE, ACCOUNT, subject),
        # virt-api is bound to this role, and Kubernetes requires the permissions for granting it.
        rbac.role_binding(f"{ACCOUNT}-authentication", authentication.NAMESPACE, authentication.READER, subject),
        *_strategy_rbac(namespace),
    ]


def _strategy_rbac(namespace: str) -> list[Body]:
    """The account of the Job that prints a release's strategy."""
    subject = rbac.service_account_subject(STRATEGY_ACCOUNT, namespace)
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": STRATEGY_ACCOUNT, "namespace": namespace}},
        rbac.role(STRATEGY_ACCOUNT, namespace, (rule("", "configmaps", "create", "patch"),)),
        rbac.role_binding(STRATEGY_ACCOUNT, namespace, STRATEGY_ACCOUNT, subject),
    ]


def _granted(objects: Iterable[Body], kind: str) -> list[Body]:
    return [rule for body in objects if body["kind"] == kind for rule in body["rules"]]


def _cluster_needs(objects: Iterable[Body]) -> list[Body]:
    names: dict[str, list[str]] = {}
    for body in objects:
        if not KINDS[body["kind"]].namespaced:
            names.setdefault(body["kind"], []).append(body["metadata"]["name"])
    rules = [
        # Creating an admission policy with KubeVirt objects as parameters requires "get".
        rule("kubevirt.io", "kubevirts", "get", "list", "watch", "patch"),
        rule("kubevirt.io", "kubevirts/status", "patch"),
        rule("kubevirt.io", "virtualmachineinstances", "list"),
        rule("kubevirt.io", "virtualmachines", "list"),
        rule("kubevirt.io", "virtualmachineinstancereplicasets", "list"),
        # Nodes: pods on unreachable ones are ignored, and removal deletes the handlers' marks.
        rule("", "nodes", "list", "watch", "patch"),
        rule("admissionregistration.k8s.io", _WEBHOOKS, "create", "list", "watch"),
        rule("admissionregistration.k8s.io", _WEBHOOKS, "patch", names=[OPERATOR_VALIDATOR]),
        rule("events.k8s.io", "events", "create"),
        # The plan of an upgrade: room for guests that move, and webhooks of others that stand in the way.
        rule("", "pods", "list"),
        rule("", "namespaces", "list"),
        rule("discovery.k8s.io", "endpointslices", "list"),
        rule("certificates.k8s.io", "certificatesigningrequests", "list", "watch"),
        rule("certificates.k8s.io", "certificatesigningrequests/approval", "patch"),
        rule("certificates.k8s.io", "certificatesigningrequests/status", "patch"),
        rule("certificates.k8s.io", "signers", "approve", "sign", names=[SIGNER_NAME]),
    ]
    for kind, resource in KINDS.items():
        if kind in names:
            rules += [
                rule(resource.group, resource.plural, "list", "watch", "create"),
                rule(resource.group, resource.plural, "patch", "delete", names=names[kind]),
            ]
    rules += _monitoring_needs()
    # Bindings are in two namespaces and are watched by one request.
    return [*rules, rule("rbac.authorization.k8s.io", "rolebindings", "list", "watch")]


def _monitoring_needs() -> list[Body]:
    """Where Prometheus is, is said by a KubeVirt object: its service account is looked for in all namespaces, and the
    ServiceMonitor may be in any."""
    resource = KINDS[monitoring.MONITOR]
    return [
        rule("", "serviceaccounts", "list", "watch"),
        rule(resource.group, resource.plural, "list", "watch", "create"),
        rule(resource.group, resource.plural, "patch", "delete", names=[monitoring.NAME]),
    ]


def _local_needs(objects: Iterable[Body], namespace: str) -> list[Body]:
    own = namespace != authentication.NAMESPACE
    kinds = {ref_of(body).kind for body in objects if ref_of(body).namespace == namespace}
    if own:
        # All are watched, and those of other releases or settings are deleted.
        kinds = {kind for kind, resource in KINDS.items() if resource.namespaced and kind != monitoring.MONITOR}
    rules = [
        rule(KINDS[kind].group, KINDS[kind].plural, *_seen(kind), "delete", *_WRITES.get(kind, ("create", "patch")))
        for kind in sorted(kinds)
    ]
    if own:
        rules += [
            rule("", "pods", "list", "watch", "delete"),
            # Only events say why a DaemonSet's or a Job's pods are not created.
            rule("events.k8s.io", "events", "list"),
            # What the target's launcher image knows is printed by a pod of the plan.
            rule("", "pods/log", "get"),
            rule("coordination.k8s.io", "leases", "create"),
            rule("coordination.k8s.io", "leases", "list", "watch", "patch", names=[LEASE]),
        ]
    return rules


def _seen(kind: str) -> tuple[str, ...]:
    """Bindings are watched everywhere, by one request (_cluster_needs)."""
    return () if kind == "RoleBinding" else ("list", "watch")
