"""Pods whose service account is not the one that they were made with. Pure; called by change/object_steps.py.

A token is good for one account, that very one. When somebody has deleted an account, it is put back at once, but pods
that run keep the token of the old one until the kubelet renews it, most of an hour later, and are refused meanwhile.
"""

from __future__ import annotations

from virt_operator.strategy.ref import Ref
from virt_operator.suite.actions import DeletePod
from virt_operator.suite.observed import Observed


def orphans(observed: Observed) -> list[DeletePod]:
    """Pods to delete, all at once: the API server answers none of them."""
    found = []
    for pod in observed.pods:
        meta = pod.metadata
        account = observed.owned.get(Ref("ServiceAccount", meta.namespace, pod.spec.get("serviceAccountName", "")))
        if account is None or meta.deletion_timestamp is not None:
            continue
        # Moments of the API server in one format: as texts they compare like moments.
        if meta.creation_timestamp < account.metadata.creation_timestamp:
            found.append(DeletePod(meta.name, meta.uid, "older than its service account, so its token is refused"))
    return found
