"""Next releases of which a component is ready and does not work: what is edited in addition. Called by tree.py."""

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
    # It prepares a guest and never starts it.
    "barren": (
        Edit(
            "services/handler/virt_handler/machines/plan.py",
            "    return (*prepared, *disk_preparation(wanted), StartMachine(wanted))\n",
            "    return (*prepared, *disk_preparation(wanted))\n",
            instead=True,
        ),
    ),
    # A virt-controller that takes the Lease and reconciles nothing.
    "idle": (
        Edit(
            "services/controller/virt_controller/app.py",
            'group.create_task(reconciler.work(), name=f"work on {what}")',
            'group.create_task(asyncio.Event().wait(), name=f"no work on {what} by {reconciler}")',
            instead=True,
        ),
    ),
    # A virt-controller that leaves the Lease to others.
    "shy": (
        Edit(
            "services/controller/virt_controller/app.py",
            '("leader", lease.lead(lambda: _work(reconcilers))),',
            '("leader", asyncio.Event().wait()),',
            instead=True,
        ),
    ),
    # A virt-controller that works and never becomes ready.
    "unready": (
        Edit(
            "services/controller/virt_controller/app.py",
            '("http", http.serve(settings.health_port, caches.wait)),',
            '("http", http.serve(settings.health_port, asyncio.Event().wait)),',
            instead=True,
        ),
    ),
    # A virt-api that denies each review.
    "deaf": (
        Edit(
            "services/api/virt_api/admission/webhooks.py",
            '        response = body["response"]\n',
            '        response |= {"allowed": False, "status": {"message": "nothing is admitted"}}\n',
        ),
    ),
}
"""By name."""
