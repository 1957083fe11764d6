"""Next releases whose virt-handler is ready and does not work: what is edited in addition. Called by tree.py."""

from __future__ import annotations

from tests.next_release.edits import Edit

FAULTS: dict[str, tuple[Edit, ...]] = {
    # It asks for the VirtualMachineInstances of a node that does not exist.
    "blind": (
        Edit(
            "services/handler/virt_handler/own_vmis.py",
            'labels=f"{label}={node}"',
            'labels=f"{label}=not-{node}"',
            instead=True,
        ),
    ),
    "slow": (
        Edit(
            "services/handler/virt_handler/service/probes.py",
            "        wanted, turns = frozenset(request.uids), asyncio.Semaphore(_AT_ONCE)\n",
            "        await asyncio.sleep(20)\n",
        ),
    ),
}
"""By name."""
