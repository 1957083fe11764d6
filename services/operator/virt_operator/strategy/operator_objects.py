"""The operator's own objects, which a user applies before the KubeVirt object. Pure; called by manifest.py."""

from __future__ import annotations

import msgspec
from virt_core.conventions import component_pod, components, environment, images, labels

from virt_operator.strategy import crds, pods
from virt_operator.strategy.operator_rbac import ACCOUNT, operator_rbac
from virt_operator.strategy.pods import value_env
from virt_operator.strategy.ref import Body
from virt_operator.strategy.settings import InstallSettings, Placement

_REPLICAS = 2  # independent of spec.infra.replicas, which is for virt-api and virt-controller

NAMESPACE_LABELS = {"kubevirt.io": "", labels.OPERATOR: "", "pod-security.kubernetes.io/enforce": "privileged"}
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
    """Adds the label that admission.py selects."""
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
    """The Service of webhook and admin port. Replicas are ready when they serve."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": _APP, "namespace": settings.namespace, "labels": {labels.APP: _APP}},
        "spec": {
            "type": "ClusterIP",
            "selector": {labels.APP: _APP},
            "ports": [
                _service_port("webhook", component_pod.HTTPS_SERVICE_PORT, component_pod.OPERATOR_WEBHOOK_PORT),
                _service_port("grpc", component_pod.RPC_PORT, component_pod.RPC_PORT),
            ],
        },
    }


def _service_port(name: str, port: int, target: int) -> Body:
    return {"name": name, "port": port, "targetPort": target, "protocol": "TCP"}


def _budget(settings: InstallSettings) -> Body:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": f"{_APP}-pdb", "namespace": settings.namespace, "labels": {labels.APP: _APP}},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {labels.APP: _APP}}},
    }


def _deployment(settings: InstallSettings) -> Body:
    digests = images.digests_text(settings.digests)
    container = pods.restricted_container(
        components.OPERATOR,
        settings.image(components.OPERATOR),
        settings.pull_policy,
        "90Mi",
        env=[
            value_env(environment.OPERATOR_IMAGE, settings.image(components.OPERATOR)),
            *([value_env(environment.IMAGE_DIGESTS, digests)] if digests else []),
            pods.namespace_env(),
            pods.name_env(),
        ],
        ports=[
            pods.health_port(),
            pods.metrics_port(),
            pods.open_port("webhook", component_pod.OPERATOR_WEBHOOK_PORT),
            pods.rpc_port(),
        ],
        volumeMounts=[pods.certificates_mount(read_only=False)],
        **pods.probes(),
    )
    body = pods.deployment(
        components.OPERATOR,
        msgspec.structs.replace(settings, replicas=_REPLICAS),
        account=ACCOUNT,
        container=container,
        volumes=[pods.own_certificates_volume()],
        placement=Placement(),
    )
    # Without a template hash: nothing uses it, and it would be wrong for the placeholders of the Helm template.
    del body["spec"]["template"]["metadata"]["annotations"]
    return body
