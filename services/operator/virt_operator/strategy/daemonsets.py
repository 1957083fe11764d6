"""virt-handler, one per node. Pure; called by desired.py.

It runs as root, privileged and in the host's PID namespace because it enters other pods' network namespaces, creates
their tap devices and rules, and serves devices to the kubelet. It has no host network: callers use its pod's address.
"""

from __future__ import annotations

from virt_core.conventions import accounts, component_pod, components, environment, labels
from virt_core.conventions.node_certificate import PER_NODE

from virt_operator.strategy import pods
from virt_operator.strategy.pods import field_env
from virt_operator.strategy.ref import Body
from virt_operator.strategy.settings import InstallSettings

_KUBELET_PODS = "/var/lib/kubelet/pods"


def virt_handler(settings: InstallSettings) -> Body:
    """OnDelete: the operator replaces pods in waves, each after the previous one is proven (change/waves.py)."""
    app = components.HANDLER
    mounts = [
        pods.certificates_mount(read_only=False),  # the node's key is created here and never leaves the pod
        pods.trust_mount(),
        {"name": "kubelet-pods", "mountPath": component_pod.KUBELET_PODS, "mountPropagation": "HostToContainer"},
        {"name": "device-plugins", "mountPath": component_pod.DEVICE_PLUGINS},
    ]
    container: Body = {
        "name": app,
        "image": settings.image(app),
        "imagePullPolicy": settings.pull_policy,
        "env": [
            pods.namespace_env(),
            pods.name_env(),
            field_env(environment.NODE_NAME, "spec.nodeName"),
        ],
        "ports": [pods.rpc_port(), pods.health_port(), pods.metrics_port()],
        # The request of a small guest: with less, ten busy guests delayed a restarted handler by 30 s.
        "resources": {"requests": {"cpu": "100m", "memory": "80Mi"}},
        "securityContext": {"privileged": True, "runAsUser": 0},
        "volumeMounts": mounts,
        **pods.probes(),
    }
    spec: Body = {
        "serviceAccountName": accounts.HANDLER,
        "hostPID": True,
        "tolerations": [{"operator": "Exists"}],
        "containers": [container],
        "volumes": [
            pods.own_certificates_volume(),
            pods.trust_volume(),
            {"name": "kubelet-pods", "hostPath": {"path": _KUBELET_PODS}},
            {"name": "device-plugins", "hostPath": {"path": component_pod.DEVICE_PLUGINS}},
        ],
    }
    placed = pods.placed(spec, settings, settings.workloads)
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": app, "namespace": settings.namespace, "labels": {labels.APP: app}},
        "spec": {
            "selector": {"matchLabels": {labels.APP: app}},
            "updateStrategy": {"type": "OnDelete"},
            "template": pods.component_template(app, placed, {PER_NODE: "true"}),
        },
    }
