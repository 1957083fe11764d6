"""The operator's own objects: what a user applies before the KubeVirt object. Pure; called by manifest.py."""

from __future__ import annotations

from virt_operator.strategy import crds, pods
from virt_operator.strategy.operator_rbac import ACCOUNT, operator_rbac
from virt_operator.strategy.pods import field_env, value_env
from virt_operator.strategy.ref import Body
from virt_operator.strategy.settings import InstallSettings

NAMESPACE_LABELS = {"kubevirt.io": "", "pod-security.kubernetes.io/enforce": "privileged"}


def operator_objects(settings: InstallSettings) -> list[Body]:
    """Namespace, priority class, the KubeVirt CRD, permissions, Deployment."""
    namespace: Body = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": settings.namespace, "labels": dict(NAMESPACE_LABELS)},
    }
    priority: Body = {
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": {"name": pods.PRIORITY_CLASS},
        "value": 1_000_000_000,
        "description": "The virtualization suite itself: it must not be preempted by what it runs.",
    }
    return [namespace, priority, crds.kubevirts(), *operator_rbac(settings), _deployment(settings)]


def kubevirt_object(settings: InstallSettings, use_emulation: bool) -> Body:
    """The object whose creation installs the suite."""
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "KubeVirt",
        "metadata": {"name": "kubevirt", "namespace": settings.namespace},
        "spec": {"configuration": {"developerConfiguration": {"useEmulation": use_emulation}}},
    }


def _deployment(settings: InstallSettings) -> Body:
    health = {"httpGet": {"path": "/healthz", "port": pods.HEALTH_PORT}, "timeoutSeconds": 2}
    container = pods.restricted_container(
        "virt-operator",
        settings.image("virt-operator"),
        settings.pull_policy,
        "70Mi",
        env=[
            value_env("VIRT_OPERATOR_IMAGE", settings.image("virt-operator")),
            field_env("POD_NAMESPACE", "metadata.namespace"),
            field_env("POD_NAME", "metadata.name"),
        ],
        ports=[{"name": "health", "containerPort": pods.HEALTH_PORT, "protocol": "TCP"}],
        volumeMounts=[pods.certificates_mount(read_only=False)],
        **pods.probes(health),
    )
    body = pods.deployment(
        "virt-operator",
        settings.namespace,
        settings.replicas,
        account=ACCOUNT,
        container=container,
        volumes=[pods.own_certificates_volume()],
    )
    # Nobody asks for the hash of this template, and one of an image that a Helm template has yet to name is wrong.
    del body["spec"]["template"]["metadata"]["annotations"]
    return body
