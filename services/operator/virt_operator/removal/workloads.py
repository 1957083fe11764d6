"""Whether anything runs on the suite, and which nodes say that something may: asked from the API server itself.

Called by the webhook, and by the reconciler for a suite that is to be removed: not from under workloads, if its object
says so, and with what handlers wrote on nodes.
"""

from __future__ import annotations

from virt_core.conventions.labels import SCHEDULABLE
from virt_core.kube.client import KubeClient
from virt_core.kube.errors import NotFound
from virt_core.kube.resource import NODES, VIRTUAL_MACHINE_INSTANCES, VIRTUAL_MACHINES

_KINDS = (VIRTUAL_MACHINES, VIRTUAL_MACHINE_INSTANCES)  # whatever this release serves


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
        for workload in found:
            return f"{kind.kind} {workload['metadata']['namespace']}/{workload['metadata']['name']}"
    return None


async def marked_nodes(client: KubeClient) -> tuple[str, ...]:
    """Names of the nodes that a handler has marked.

    Raises:
        KubeError: it cannot be known now.
    """
    return tuple(sorted(node["metadata"]["name"] for node in await client.list(NODES, labels=SCHEDULABLE)))
