"""Common parts of the pods of operator, api, controller and handler. Pure; called by deployments.py, daemonsets.py.

All containers satisfy PodSecurity `restricted`, except the handler's (daemonsets.py says why).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from virt_core.conventions import component_pod, environment, labels
from virt_core.conventions.launcher_pod import HYPERVISOR_RECORD

from virt_operator.strategy.ref import Body
from virt_operator.strategy.settings import InstallSettings, Placement

PRIORITY_CLASS = "kubevirt-cluster-critical"
TRUST_SECRET = "kubevirt-trust"  # noqa: S105 - the name of an object, which holds no key
_USER = 1001  # the images' USER


def rpc_port() -> Body:
    """The gRPC port of every component."""
    return open_port("grpc", component_pod.RPC_PORT)


def health_port() -> Body:
    """The port of the kubelet's probes of operator, controller and handler."""
    return open_port("health", component_pod.HEALTH_PORT)


def metrics_port() -> Body:
    """The HTTPS port for Prometheus of operator, controller and handler."""
    return open_port(component_pod.METRICS_PORT_NAME, component_pod.METRICS_PORT)


def open_port(name: str, port: int) -> Body:
    """A port of a container."""
    return {"name": name, "containerPort": port, "protocol": "TCP"}


def field_env(name: str, path: str) -> Body:
    """An environment variable from the pod's own object, for example "spec.nodeName"."""
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}


def namespace_env() -> Body:
    """The pod's namespace, which is the suite's."""
    return field_env(environment.POD_NAMESPACE, "metadata.namespace")


def name_env() -> Body:
    """The pod's name."""
    return field_env(environment.POD_NAME, "metadata.name")


def value_env(name: str, value: str) -> Body:
    """A plain environment variable."""
    return {"name": name, "value": value}


def probes(port: int = component_pod.HEALTH_PORT, **scheme: str) -> Body:
    """Probe every second until the process is ready, then every five seconds."""
    action: Body = {"httpGet": {"path": component_pod.HEALTH_PATH, "port": port, **scheme}, "timeoutSeconds": 2}
    return {
        "startupProbe": {**action, "periodSeconds": 1, "failureThreshold": 120},
        "readinessProbe": {**action, "periodSeconds": 5, "failureThreshold": 2},
    }


def certificates_volume(secret: str) -> Body:
    """The component's leaf; mounted by `certificates_mount`."""
    return {"name": "certificates", "secret": {"secretName": secret, "defaultMode": 0o440}}


def trust_volume() -> Body:
    """The trusted authorities, for a pod with its own leaf; mounted by `trust_mount`."""
    return {"name": "trust", "secret": {"secretName": TRUST_SECRET, "defaultMode": 0o440}}


def trust_mount() -> Body:
    """The mount of `trust_volume`."""
    return {"name": "trust", "mountPath": component_pod.TRUST, "readOnly": True}


def own_certificates_volume() -> Body:
    """A volume in memory for a pod's own leaf; mounted by `certificates_mount`."""
    return {"name": "certificates", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}


def certificates_mount(*, read_only: bool = True) -> Body:
    """The mount of either certificates volume."""
    return {"name": "certificates", "mountPath": component_pod.CERTIFICATES, "readOnly": read_only}


def restricted_container(name: str, image: str, pull_policy: str, memory: str, **more: Any) -> Body:
    """A container without privileges on a read-only root."""
    return {
        "name": name,
        "image": image,
        "imagePullPolicy": pull_policy,
        "resources": {"requests": {"cpu": "5m", "memory": memory}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        **more,
    }


def record_container(name: str, image: str, pull_policy: str) -> Body:
    """A container that prints what the QEMU and libvirt of a launcher's image know of hardware."""
    command = ["cat", HYPERVISOR_RECORD]
    more = {"command": command, "terminationMessagePolicy": "FallbackToLogsOnError"}
    return restricted_container(name, image, pull_policy, "10Mi", **more)


def for_launchers(spec: Body) -> Body:
    """`spec` on nodes on which launcher pods run: their image is of one architecture."""
    return {**spec, "nodeSelector": {"kubernetes.io/arch": "amd64", **spec.get("nodeSelector", {})}}


def template(app: str, spec: Body, annotations: Mapping[str, str] | None = None) -> Body:
    """A pod template labelled as `app`, carrying its own hash."""
    content = hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()[:16]
    return {
        "metadata": {
            "labels": {labels.APP: app},
            "annotations": {component_pod.TEMPLATE_HASH: content, **(annotations or {})},
        },
        # No environment variables for Services: the suite does not use them.
        "spec": {"priorityClassName": PRIORITY_CLASS, "enableServiceLinks": False, **spec},
    }


def component_template(app: str, spec: Body, annotations: Mapping[str, str] | None = None) -> Body:
    """The template of a component's pods, which have metrics. Those of Jobs have no port that Prometheus could ask."""
    made = template(app, spec, annotations)
    made["metadata"]["labels"][labels.PROMETHEUS] = "true"
    return made


def placed(spec: Body, settings: InstallSettings, placement: Placement) -> Body:
    """`spec` with the user's placement and pull Secrets. The user's affinity replaces ours of the same kind;
    tolerations are added."""
    more: Body = {
        "imagePullSecrets": [{"name": name} for name in settings.pull_secrets],
        "nodeSelector": placement.node_selector,
        "affinity": {**spec.get("affinity", {}), **placement.affinity},
        "tolerations": [*spec.get("tolerations", []), *placement.tolerations],
    }
    return {**spec, **{key: value for key, value in more.items() if value}}


def deployment(
    app: str, settings: InstallSettings, *, account: str, container: Body, volumes: list[Body], placement: Placement
) -> Body:
    """A Deployment whose replicas prefer different nodes, and which keeps their number during a rollout."""
    apart = {
        "weight": 1,
        "podAffinityTerm": {
            "labelSelector": {"matchLabels": {labels.APP: app}},
            "topologyKey": "kubernetes.io/hostname",
        },
    }
    spec: Body = {
        "serviceAccountName": account,
        "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [apart]}},
        "securityContext": {"runAsNonRoot": True, "fsGroup": _USER},
        "tolerations": [{"key": "CriticalAddonsOnly", "operator": "Exists"}],
        "containers": [container],
    }
    if volumes:
        spec["volumes"] = volumes
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": app, "namespace": settings.namespace, "labels": {labels.APP: app}},
        "spec": {
            "replicas": settings.replicas,
            "selector": {"matchLabels": {labels.APP: app}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "template": component_template(app, placed(spec, settings, placement)),
        },
    }
