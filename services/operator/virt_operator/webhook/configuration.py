"""The desired ValidatingWebhookConfiguration of the webhook. Pure; called by registration.py.

It is not part of the suite: the CRD of KubeVirt owns it, so that garbage collection deletes it with the operator's
manifest. The operator's own writes are exempt, so that it can add and remove finalizers while its webhook is
unreachable. Its dry runs are not exempt: reachability.py uses them.
"""

from __future__ import annotations

from virt_core.conventions import accounts, component_pod, components, labels
from virt_core.conventions.webhooks import OPERATOR_VALIDATOR

from virt_operator.strategy.operator_rbac import ACCOUNT
from virt_operator.strategy.ref import Body

WEBHOOK = "kubevirt-validator.kubevirt.io"
"""The webhook's name in errors of the API server."""

PATH = "/validate-kubevirt"
SERVICE = components.OPERATOR
OWNER_CRD = "kubevirts.kubevirt.io"
_DEADLINE = 10  # seconds; the webhook itself sends at most a single request to the API server


def configuration(namespace: str, ca_bundle: str, owner_uid: str) -> Body:
    """`ca_bundle` is base64 of PEM, `owner_uid` the UID of the CRD of KubeVirt."""
    own = f"request.userInfo.username == '{accounts.user_of(ACCOUNT, namespace)}'"
    webhook: Body = {
        "name": WEBHOOK,
        "admissionReviewVersions": ["v1"],
        "clientConfig": {
            "caBundle": ca_bundle,
            "service": {
                "namespace": namespace,
                "name": SERVICE,
                "path": PATH,
                "port": component_pod.HTTPS_SERVICE_PORT,
            },
        },
        "failurePolicy": "Fail",
        "matchConditions": [
            {"name": "not-by-virt-operator", "expression": f"!({own}) || (has(request.dryRun) && request.dryRun)"}
        ],
        "matchPolicy": "Equivalent",
        "rules": [
            {
                "apiGroups": ["kubevirt.io"],
                "apiVersions": ["v1", "v1alpha3"],
                "operations": ["CREATE", "UPDATE", "DELETE"],
                "resources": ["kubevirts"],
                "scope": "Namespaced",
            }
        ],
        "sideEffects": "None",
        "timeoutSeconds": _DEADLINE,
    }
    owner = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "name": OWNER_CRD,
        "uid": owner_uid,
    }
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {
            "name": OPERATOR_VALIDATOR,
            "labels": {labels.APP: components.OPERATOR},
            "ownerReferences": [owner],
        },
        "webhooks": [webhook],
    }
