"""Finds pods whose service account was recreated. Pure; called by change/object_steps.py.

A token belongs to the UID of its account. A deleted account is recreated at once, but running pods keep the old
account's token until the kubelet renews it, up to an hour later. Until then the API server refuses their requests.
"""

from __future__ import annotations

from virt_operator.strategy.ref import Ref
from virt_operator.suite.actions import DeletePod
from virt_operator.suite.observed import Observed


def orphans(observed: Observed) -> list[DeletePod]:
    """Pods to delete. All at once, because the API server refuses all of them."""
    found = []
    for pod in observed.pods:
        meta = pod.metadata
        account = observed.owned.get(Ref("ServiceAccount", meta.namespace, pod.spec.get("serviceAccountName", "")))
        if account is None or meta.deletion_timestamp is not None:
            continue
        # Timestamps of the API server have the same format, so they can be compared as texts.
        if meta.creation_timestamp < account.metadata.creation_timestamp:
            found.append(DeletePod(meta.name, meta.uid, "older than its service account, so its token is refused"))
    return found
