"""Ports and folders in the pods of operator, api, controller and handler. Pure.

The operator's strategy opens and mounts them; the components listen and read there, and reach each other's RPC port.
virtadm reads the pods.
"""

from __future__ import annotations

RPC_PORT = 8186
"""gRPC by mTLS, in every component."""

HEALTH_PORT = 8080
"""Plain HTTP for the kubelet's probes; virt-api answers them on its HTTPS port."""

API_PORT = 8443
"""virt-api's HTTPS: aggregated API and webhooks."""

METRICS_PORT = 8443
"""HTTPS for Prometheus, KubeVirt's; virt-api answers on its HTTPS port, which has this number."""

OPERATOR_WEBHOOK_PORT = 8444
"""virt-operator's HTTPS: the webhook for KubeVirt objects."""

HTTPS_SERVICE_PORT = 443
"""Of the Services before both: Kubernetes' default for webhooks and APIServices."""

HEALTH_PATH = "/healthz"
"""200 when ready, 503 before, on whichever port answers probes."""

METRICS_PATH = "/metrics"
"""Prometheus' text format, on METRICS_PORT."""

METRICS_PORT_NAME = "metrics"
"""Of the port in pods and in the Service METRICS_SERVICE, KubeVirt's."""

METRICS_SERVICE = "kubevirt-prometheus-metrics"
"""The Service of all components' metrics, KubeVirt's."""

TEMPLATE_HASH = "kubevirt.io/template-hash"
"""Annotation of a workload's template, and so of its pods: the hash of the template. An OnDelete DaemonSet does not
show which pods are old."""

CERTIFICATES = "/etc/virt/certificates"
"""Key, leaf and bundle (certificate_files.py): a Secret's, or in memory where the pod renews its own leaf."""

TRUST = "/etc/virt/trust"
"""Bundle and issuing.json, in pods that renew their own leaf."""

KUBELET_PODS = "/pods"
"""The kubelet's folders of pods in the handler's container. A short path: with the kubelet's own, the address of a
launcher's socket would exceed the 107 bytes of a unix address."""

DEVICE_PLUGINS = "/var/lib/kubelet/device-plugins"
"""The kubelet's folder for device plugins, which must use this very path."""
