"""The operator's own objects: what a user applies before the KubeVirt object. Pure; called by manifest.py."""

from __future__ import annotations

import msgspec
from virt_core.conventions import components, labels
from virt_core.rpc import PORT

from virt_operator.strategy import crds, pods
from virt_operator.strategy.operator_rbac import ACCOUNT, operator_rbac
from virt_operator.strategy.pods import field_env, value_env
from virt_operator.strategy.ref import Body
from virt_operator.strategy.settings import InstallSettings, Placement

_REPLICAS = 2  # whatever spec.infra.replicas says: it is about virt-api and virt-controller

NAMESPACE_LABELS = {"kubevirt.io": "", labels.OPERATOR: "", "pod-security.kubernetes.io/enforce": "privileged"}
WEBHOOK_PORT = 8444
_APP = components.OPERATOR


def operator_objects(settings: InstallSettings) -> list[Body]:
    """Namespace, priority class, the KubeVirt CRD, permissions, Service and disruption budget, Deployment."""
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
    permissions = operator_rbac(settings)
    objects = [namespace, priority, crds.kubevirts(), *permissions, _service(settings), _budget(settings)]
    return [_labelled(body) for body in (*objects, _deployment(settings))]


def _labelled(body: Body) -> Body:
    """As admission.py recognizes it."""
    meta = body["metadata"]
    return {**body, "metadata": {**meta, "labels": {**meta.get("labels", {}), labels.OPERATOR: ""}}}


def kubevirt_object(settings: InstallSettings, use_emulation: bool) -> Body:
    """The object whose creation installs the suite."""
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "KubeVirt",
        "metadata": {"name": "kubevirt", "namespace": settings.namespace},
        "spec": {"configuration": {"developerConfiguration": {"useEmulation": use_emulation}}},
    }


def _service(settings: InstallSettings) -> Body:
    """Where the API server finds the webhook, and people and tools the admin port. Whoever serves is ready, and nobody
    else is sent to."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": _APP, "namespace": settings.namespace, "labels": {labels.APP: _APP}},
        "spec": {
            "type": "ClusterIP",
            "selector": {labels.APP: _APP},
            "ports": [
                {"name": "webhook", "port": 443, "targetPort": WEBHOOK_PORT, "protocol": "TCP"},
                {"name": "grpc", "port": PORT, "targetPort": PORT, "protocol": "TCP"},
            ],
        },
    }


def _budget(settings: InstallSettings) -> Body:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": f"{_APP}-pdb", "namespace": settings.namespace, "labels": {labels.APP: _APP}},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {labels.APP: _APP}}},
    }


def _deployment(settings: InstallSettings) -> Body:
    health = {"httpGet": {"path": "/healthz", "port": pods.HEALTH_PORT}, "timeoutSeconds": 2}
    container = pods.restricted_container(
        components.OPERATOR,
        settings.image(components.OPERATOR),
        settings.pull_policy,
        "90Mi",
        env=[
            value_env("VIRT_OPERATOR_IMAGE", settings.image(components.OPERATOR)),
            field_env("POD_NAMESPACE", "metadata.namespace"),
            field_env("POD_NAME", "metadata.name"),
        ],
        ports=[
            {"name": "health", "containerPort": pods.HEALTH_PORT, "protocol": "TCP"},
            {"name": "webhook", "containerPort": WEBHOOK_PORT, "protocol": "TCP"},
            pods.rpc_port(),
        ],
        volumeMounts=[pods.certificates_mount(read_only=False)],
        **pods.probes(health),
    )
    body = pods.deployment(
        components.OPERATOR,
        msgspec.structs.replace(settings, replicas=_REPLICAS),
        account=ACCOUNT,
        container=container,
        volumes=[pods.own_certificates_volume()],
        placement=Placement(),
    )
    # Nobody asks for the hash of this template, and one of an image that a Helm template has yet to name is wrong.
    del body["spec"]["template"]["metadata"]["annotations"]
    return body
