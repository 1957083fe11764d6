"""Environment variables of the components' processes. Pure.

The operator's strategy writes those of the first two groups into pod templates, each service's settings.py reads them.
Template and image of a pod are of one release; only the Job that prints a strategy runs the image of another release
than its template's, so OPERATOR_IMAGE, POD_NAMESPACE and the Job's own variables (strategy/job.py) keep their names.
"""

from __future__ import annotations

# From the pod's own object.
POD_NAMESPACE = "POD_NAMESPACE"
POD_NAME = "POD_NAME"
NODE_NAME = "NODE_NAME"

# From the release and the KubeVirt object.
OPERATOR_IMAGE = "VIRT_OPERATOR_IMAGE"
IMAGE_DIGESTS = "VIRT_IMAGE_DIGESTS"
LAUNCHER_IMAGE = "VIRT_LAUNCHER_IMAGE"
IMAGE_PULL_POLICY = "IMAGE_PULL_POLICY"
IMAGE_PULL_SECRETS = "IMAGE_PULL_SECRETS"

# For tests and processes that are run by hand; no template sets them. None ends with _PORT: for a Service "virt-api"
# the kubelet may set VIRT_API_PORT in every pod.
CERTIFICATES = "VIRT_CERTIFICATES"
RPC_LISTENS_ON = "VIRT_RPC_LISTENS_ON"
HEALTH_LISTENS_ON = "VIRT_HEALTH_LISTENS_ON"
METRICS_LISTENS_ON = "VIRT_METRICS_LISTENS_ON"
HTTPS_LISTENS_ON = "VIRT_HTTPS_LISTENS_ON"
HANDLER_LISTENS_ON = "VIRT_HANDLER_LISTENS_ON"
DRAIN_SECONDS = "VIRT_DRAIN_SECONDS"
