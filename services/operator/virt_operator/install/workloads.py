"""Whether anything runs on the suite, asked from the API server itself: called by the webhook, and by the reconciler
before it removes a suite that must not be removed from under workloads."""

from __future__ import annotations

from virt_core.kube.client import KubeClient
from virt_core.kube.errors import NotFound
from virt_core.kube.resource import VIRTUAL_MACHINE_INSTANCES

_KINDS = (VIRTUAL_MACHINE_INSTANCES,)  # whatever this release serves


async def any_workload(client: KubeClient) -> str | None:
    """One workload as text, for example "VirtualMachineInstance default/vm1"; None if there is none.

    Raises:
        KubeError: it cannot be known now.
    """
    for kind in _KINDS:
        try:
            found = await client.list(kind, limit=1)
        except NotFound:  # the kind is not installed
            continue
        for one in found:
            return f"{kind.kind} {one['metadata']['namespace']}/{one['metadata']['name']}"
    return None
