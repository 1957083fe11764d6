"""virt-handler, one per node. Pure; called by desired.py.

It is root, privileged and in the host's PID namespace because it enters other pods' network namespaces, makes their
tap devices and rules, and serves devices to the kubelet. It has no host network: callers reach it by its pod's address.
"""

from __future__ import annotations

from virt_core.conventions import accounts, components, labels
from virt_core.conventions.node_certificate import PER_NODE

from virt_operator.strategy import pods
from virt_operator.strategy.pods import field_env
from virt_operator.strategy.ref import Body
from virt_operator.strategy.settings import InstallSettings

_DEVICE_PLUGINS = "/var/lib/kubelet/device-plugins"


def virt_handler(settings: InstallSettings) -> Body:
    """OnDelete: the operator replaces pods one by one, when it has seen that the one before is well."""
    app = components.HANDLER
    # /pods and not the full path, with which a launcher's socket would exceed the 107 characters of a unix address.
    mounts = [
        pods.certificates_mount(read_only=False),  # the node's own key is made here and never leaves
        pods.trust_mount(),
        {"name": "kubelet-pods", "mountPath": "/pods", "mountPropagation": "HostToContainer"},
        {"name": "device-plugins", "mountPath": _DEVICE_PLUGINS},
    ]
    container: Body = {
        "name": app,
        "image": settings.image(app),
        "imagePullPolicy": settings.pull_policy,
        "env": [
            field_env("NODE_NAME", "spec.nodeName"),
            field_env("POD_IP", "status.podIP"),
            field_env("POD_NAMESPACE", "metadata.namespace"),
            field_env("POD_NAME", "metadata.name"),
        ],
        "ports": [
            pods.rpc_port(),
            {"name": "health", "containerPort": pods.HEALTH_PORT, "protocol": "TCP"},
        ],
        # As much as a small guest asks for: with less, ten busy guests kept a restarted handler from its CPU for 30 s.
        "resources": {"requests": {"cpu": "100m", "memory": "80Mi"}},
        "securityContext": {"privileged": True, "runAsUser": 0},
        "volumeMounts": mounts,
        **pods.probes({"httpGet": {"path": "/healthz", "port": pods.HEALTH_PORT}, "timeoutSeconds": 2}),
    }
    spec: Body = {
        "serviceAccountName": accounts.HANDLER,
        "hostPID": True,
        "tolerations": [{"operator": "Exists"}],
        "containers": [container],
        "volumes": [
            pods.own_certificates_volume(),
            pods.trust_volume(),
            {"name": "kubelet-pods", "hostPath": {"path": "/var/lib/kubelet/pods"}},
            {"name": "device-plugins", "hostPath": {"path": _DEVICE_PLUGINS}},
        ],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": app, "namespace": settings.namespace, "labels": {labels.APP: app}},
        "spec": {
            "selector": {"matchLabels": {labels.APP: app}},
            "updateStrategy": {"type": "OnDelete"},
            "template": pods.template(app, pods.placed(spec, settings, settings.workloads), {PER_NODE: "true"}),
        },
    }
