"""Objects that virt-api reads of kube-apiserver."""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]
FRONT_PROXY_RULES = "extension-apiserver-authentication"  # a ConfigMap of kube-system


def guest(name: str, *conditions: str, phase: str = "Running", node: str = "node1") -> Object:
    """A VirtualMachineInstance."""
    metadata = {"name": name, "namespace": "default", "uid": f"uid-{name}"}
    status = {
        "phase": phase,
        "nodeName": node,
        "conditions": [{"type": condition, "status": "True"} for condition in conditions],
        "interfaces": [{"name": "default", "ipAddress": "127.0.0.1"}],
    }
    return {"metadata": metadata, "spec": {"domain": {}}, "status": status}


def handler_pod(name: str, node: str) -> Object:
    """A pod of virt-handler on this machine."""
    return {
        "metadata": {"name": name, "namespace": "kubevirt", "labels": {"kubevirt.io": "virt-handler"}},
        "spec": {"nodeName": node},
        "status": {"podIP": "127.0.0.1", "conditions": [{"type": "Ready", "status": "True"}]},
    }


def front_proxy_rules(authorities: str, *, names: str = '["front-proxy-client"]') -> Object:
    """The ConfigMap with which kube-apiserver publishes its front proxy."""
    return {
        "metadata": {
            "name": FRONT_PROXY_RULES,
            "namespace": "kube-system",
        },
        "data": {
            "requestheader-client-ca-file": authorities,
            "requestheader-allowed-names": names,
            "requestheader-username-headers": '["X-Remote-User"]',
            "requestheader-group-headers": '["X-Remote-Group"]',
            "requestheader-extra-headers-prefix": '["X-Remote-Extra-"]',
        },
    }
