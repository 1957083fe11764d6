"""Whether a new pod does the work of its component, shown with a guest of the suite's own. Called by prove.py.

virt-controller: it gives the guest a phase and makes its pod, and takes both away when the guest is deleted. No
scheduler takes the pod, so it costs no node anything, and no autoscaler a node.
"""

from __future__ import annotations

from virt_core.kube.client import KubeClient
from virt_core.objects.meta import ObjectReference

from virt_operator.proof.guest import Refused, body_of, created, delete
from virt_operator.suite.observed import Fault, Outcome

RECONCILES = "reconciles"
"""Name of virt-controller's probe."""

_NO_SCHEDULER = "kubevirt-upgrade-probe"


async def controller_outcome(client: KubeClient, owner: ObjectReference, limit: float) -> Outcome:
    """Whether the virt-controller that leads reconciles; it has `limit` seconds for the begin and for the end.

    Raises:
        KubeError, TimeoutError: a request has failed.
    """
    body = body_of(owner, {"schedulerName": _NO_SCHEDULER})
    name = f"VirtualMachineInstance {owner.namespace}/{body['metadata']['name']}"
    try:
        async with created(client, body) as life:
            if not await life.reaches(lambda guest: guest is not None and guest.status.phase != "", limit):
                return Outcome(Fault(RECONCILES, f"{name} has no phase after {limit:.0f} s"))
            await delete(client, owner.namespace, body["metadata"]["name"])
            if not await life.reaches(lambda guest: guest is None, limit):
                return Outcome(Fault(RECONCILES, f"{name} is still there {limit:.0f} s after its deletion"))
    except Refused as error:
        return Outcome(skipped=f"the API server refuses the guest with which it would be probed: {error}")
    return Outcome()
