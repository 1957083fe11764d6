"""Reads existing workloads and marked nodes from the API server.

Called by the webhook, and by the reconciler for a suite that is being removed: workloads may block the removal, and
marks on nodes must be removed.
"""

from __future__ import annotations

from virt_core.conventions.labels import SCHEDULABLE, UPGRADE_PROBE
from virt_core.kube.client import KubeClient
from virt_core.kube.errors import NotFound
from virt_core.kube.resource import (
    NODES,
    VIRTUAL_MACHINE_INSTANCE_REPLICA_SETS,
    VIRTUAL_MACHINE_INSTANCES,
    VIRTUAL_MACHINES,
)

# Whatever this release serves.
_KINDS = (VIRTUAL_MACHINES, VIRTUAL_MACHINE_INSTANCE_REPLICA_SETS, VIRTUAL_MACHINE_INSTANCES)


async def any_workload(client: KubeClient) -> str | None:
    """A workload as text, for example "VirtualMachineInstance default/vm1"; None if there is none.

    Raises:
        KubeError: the request failed.
    """
    for kind in _KINDS:
        try:
            found = await client.list(kind, labels=f"!{UPGRADE_PROBE}", limit=1)
        except NotFound:  # the kind is not installed
            continue
        for workload in found:
            return f"{kind.kind} {workload['metadata']['namespace']}/{workload['metadata']['name']}"
    return None


async def marked_nodes(client: KubeClient) -> tuple[str, ...]:
    """Names of the nodes that a handler has marked.

    Raises:
        KubeError: the request failed.
    """
    return tuple(sorted(node["metadata"]["name"] for node in await client.list(NODES, labels=SCHEDULABLE)))
