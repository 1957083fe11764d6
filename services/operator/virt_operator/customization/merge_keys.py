"""Lists that a strategic merge patch merges instead of replacing, by kind. Pure; read by strategic_merge.py's callers.

As in the `x-kubernetes-patch-merge-key` and `x-kubernetes-patch-strategy` of the API server's OpenAPI document. No test
compares them yet.
"""

from __future__ import annotations

from collections.abc import Mapping

MergeKeys = Mapping[str, str]
"""By the path of a list, without indices: the key that identifies its entries; "" for a list of plain values."""

_CONTAINER = {
    "": "name",
    ".env": "name",
    ".ports": "containerPort",
    ".volumeDevices": "devicePath",
    ".volumeMounts": "mountPath",
}
_POD = {
    **{
        f".{kind}{path}": key
        for kind in ("containers", "initContainers", "ephemeralContainers")
        for path, key in _CONTAINER.items()
    },
    ".hostAliases": "ip",
    ".imagePullSecrets": "name",
    ".resourceClaims": "name",
    ".schedulingGates": "name",
    ".topologySpreadConstraints": "topologyKey",
    ".volumes": "name",
}
_META = {".metadata.finalizers": "", ".metadata.ownerReferences": "uid"}
_WORKLOAD = {
    **_META,
    **{f".spec.template{path}": key for path, key in _META.items()},
    **{f".spec.template.spec{path}": key for path, key in _POD.items()},
}
_WEBHOOKS = {**_META, ".webhooks": "name", ".webhooks.matchConditions": "name"}

MERGE_KEYS: Mapping[str, MergeKeys] = {
    "APIService": _META,
    "DaemonSet": _WORKLOAD,
    "Deployment": _WORKLOAD,
    "MutatingWebhookConfiguration": _WEBHOOKS,
    "Service": {**_META, ".spec.ports": "port"},
    "ValidatingWebhookConfiguration": _WEBHOOKS,
}
"""Merge keys by kind, for the kinds that KubeVirt customizes. CRDs, RBAC and policies cannot be customized."""
