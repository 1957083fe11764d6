"""The Service of virt-api and its APIServices, and that of metrics. Pure; called by desired.py."""

from __future__ import annotations

from virt_core.conventions import component_pod, components, labels, subresources

from virt_operator.strategy.ref import Body


def virt_api_service(namespace: str) -> Body:
    """The Service through which the API server calls virt-api."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": components.API, "namespace": namespace, "labels": {labels.APP: components.API}},
        "spec": {
            "type": "ClusterIP",
            "selector": {labels.APP: components.API},
            "ports": [
                {
                    "name": "https",
                    "port": component_pod.HTTPS_SERVICE_PORT,
                    "targetPort": component_pod.API_PORT,
                    "protocol": "TCP",
                }
            ],
        },
    }


def metrics_service(namespace: str) -> Body:
    """The Service of all components' metrics. Without an address, as KubeVirt's: Prometheus asks each pod."""
    marks = {labels.PROMETHEUS: "true"}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": component_pod.METRICS_SERVICE,
            "namespace": namespace,
            "labels": {labels.APP: "", **marks},
        },
        "spec": {
            "type": "ClusterIP",
            "clusterIP": "None",
            "selector": marks,
            "ports": [
                {
                    "name": component_pod.METRICS_PORT_NAME,
                    "port": component_pod.HTTPS_SERVICE_PORT,
                    "targetPort": component_pod.METRICS_PORT,  # by number: virt-api's port has another name
                    "protocol": "TCP",
                }
            ],
        },
    }


def api_services(namespace: str) -> list[Body]:
    """One per version. Numbers as in KubeVirt."""
    return [
        {
            "apiVersion": "apiregistration.k8s.io/v1",
            "kind": "APIService",
            "metadata": {"name": f"{version}.{subresources.GROUP}"},
            "spec": {
                "group": subresources.GROUP,
                "version": version,
                "groupPriorityMinimum": 1000,
                "versionPriority": 15,
                "service": {"namespace": namespace, "name": components.API, "port": component_pod.HTTPS_SERVICE_PORT},
            },
        }
        for version in subresources.VERSIONS
    ]
