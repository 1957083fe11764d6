"""Which VirtualMachineInstances go first when a replica set is scaled down. Pure; called by plan.py.

The order of Kubernetes' ReplicaSet: the guest that does the least goes first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from virt_core.vmi.instance import VirtualMachineInstance, VmiPhase

from virt_controller.replica_set.observe import is_ready


def first_to_go(instances: Iterable[VirtualMachineInstance]) -> list[VirtualMachineInstance]:
    """Sorted: first those without a node, then those that do not run, that are not ready, that share their node with
    most others, and the newest."""
    newest_first = sorted(instances, key=lambda vmi: (vmi.metadata.creation_timestamp, vmi.metadata.name), reverse=True)
    on_node = Counter(vmi.status.node_name for vmi in newest_first)

    def usefulness(vmi: VirtualMachineInstance) -> tuple[bool, bool, bool, int]:
        node = vmi.status.node_name
        return bool(node), vmi.status.phase is VmiPhase.RUNNING, is_ready(vmi), -on_node[node]

    return sorted(newest_first, key=usefulness)
