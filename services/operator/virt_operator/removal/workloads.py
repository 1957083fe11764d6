"""Reads existing workloads and marked nodes from the API server.

Called by the webhook, and by the reconciler for a suite that is being removed: workloads may block the removal, and
marks on nodes must be removed.
"""

from __future__ import annotations

from collections.abc import Iterable

from virt_core.conventions.labels import SCHEDULABLE, UPGRADE_PROBE
from virt_core.kube.client import KubeClient
from virt_core.kube.errors import NotFound
from virt_core.kube.resource import (
    NODES,
    VIRTUAL_MACHINE_INSTANCE_REPLICA_SETS,
    VIRTUAL_MACHINE_INSTANCES,
    VIRTUAL_MACHINES,
    Resource,
)

from virt_operator.proof.guest import is_own
from virt_operator.strategy.ref import Body

# Whatever this release serves.
_KINDS = (VIRTUAL_MACHINES, VIRTUAL_MACHINE_INSTANCE_REPLICA_SETS, VIRTUAL_MACHINE_INSTANCES)


async def any_workload(client: KubeClient, namespace: str) -> str | None:
    """A workload as text, for example "VirtualMachineInstance default/vm1"; None if there is none but guests that the
    operator of the suite in `namespace` has made.

    Raises:
        KubeError: the request failed.
    """
    for kind in _KINDS:
        try:
            workload = await _first(client, kind, namespace)
        except NotFound:  # the kind is not installed
            continue
        if workload is not None:
            return f"{kind.kind} {workload['metadata']['namespace']}/{workload['metadata']['name']}"
    return None


async def _first(client: KubeClient, kind: Resource, namespace: str) -> Body | None:
    if kind != VIRTUAL_MACHINE_INSTANCES:
        return next(iter(await client.list(kind, limit=1)), None)
    found: Iterable[Body] = await client.list(kind, labels=f"!{UPGRADE_PROBE}", limit=1)
    # Anybody can set the label: it only tells which ones are worth a look.
    found = found or await client.list(kind, labels=UPGRADE_PROBE)
    return next((guest for guest in found if not is_own(guest, namespace)), None)


async def marked_nodes(client: KubeClient) -> tuple[str, ...]:
    """Names of the nodes that a handler has marked.

    Raises:
        KubeError: the request failed.
    """
    return tuple(sorted(node["metadata"]["name"] for node in await client.list(NODES, labels=SCHEDULABLE)))
