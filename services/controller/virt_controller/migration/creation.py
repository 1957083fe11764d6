"""Creates the migrations that the suite itself requests. Called by execute.py of evacuation/ and workload_update/."""

from __future__ import annotations

from typing import Any

from virt_core.kube.client import Object
from virt_core.kube.errors import AlreadyExists, Conflict
from virt_core.kube.resource import VIRTUAL_MACHINE_INSTANCE_MIGRATIONS, VIRTUAL_MACHINE_INSTANCES
from virt_core.migration.admission import IN_FLIGHT
from virt_core.vmi.instance import VirtualMachineInstance

from virt_controller.execution import Execution, Refused


async def create(execution: Execution[Any], vmi: VirtualMachineInstance, manifest: Object) -> Object:
    """Create it unless the guest is elsewhere or its eviction withdrawn: the cache may not know that yet.

    Raises:
        Conflict: the cache is behind.
        Refused: the API server has decided against it.
        KubeError: the API server has not decided.
    """
    await require_in_place(execution, vmi)
    try:
        return await execution.create(VIRTUAL_MACHINE_INSTANCE_MIGRATIONS, vmi.metadata.namespace, manifest)
    except AlreadyExists as error:
        raise Conflict(409, f"migration {manifest['metadata']['name']} is there: the cache is behind") from error
    except Refused as error:
        if IN_FLIGHT in str(error):
            raise Conflict(409, f"{error}: the cache is behind") from error
        raise


async def require_in_place(execution: Execution[Any], vmi: VirtualMachineInstance) -> None:
    """Check that the API server has the guest where the cache has it, and as much to leave it.

    Raises:
        Conflict: it has not; the cache is behind.
    """
    meta = vmi.metadata
    found = await execution.read(VIRTUAL_MACHINE_INSTANCES, meta.namespace, meta.name)
    live = VirtualMachineInstance.of(found) if found else None
    if live is None or live.metadata.uid != meta.uid or live.metadata.deletion_timestamp is not None:
        raise Conflict(409, f"VirtualMachineInstance {meta.name} is another one or deleted: the cache is behind")
    before, now = vmi.status, live.status
    if (before.node_name, before.evacuation_node_name) != (now.node_name, now.evacuation_node_name):
        raise Conflict(409, f"VirtualMachineInstance {meta.name} has moved or stays: the cache is behind")
