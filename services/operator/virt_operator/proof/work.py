"""Whether a new pod does the work of its component, shown with a guest of the suite's own. Called by prove.py.

virt-controller: it makes the guest's pod. No scheduler takes it, so it costs no node anything, and no autoscaler a
node. Kubernetes removes it with the guest.

virt-handler: the guest runs on its node and ends. What is not the handler's is no fault: a node without room, an image
that is still pulled, a refusal by somebody else's policy, a node without KVM. The device for tun is the handler's.
"""

from __future__ import annotations

from typing import Any

from virt_core.conventions.devices import KVM, TUN
from virt_core.kube.client import KubeClient
from virt_core.objects.meta import ObjectReference

from virt_operator.proof.guest import Guest, Life, Refused, body_of, created, delete
from virt_operator.suite.observed import Fault, Outcome

RECONCILES = "reconciles"
"""Name of virt-controller's probe."""

GUEST = "guest"
"""Name of virt-handler's probe."""

_NO_SCHEDULER = "kubevirt-upgrade-probe"
_SCHEDULED_WITHIN = 6.0  # seconds; longer if the kubelet has not reported the new handler's devices yet
_ENDED = ("Failed", "Succeeded")


async def controller_outcome(client: KubeClient, owner: ObjectReference, limit: float) -> Outcome:
    """Whether the virt-controller that leads reconciles; it has `limit` seconds.

    Raises:
        KubeError: a request has failed.
    """
    body = body_of(owner, {"schedulerName": _NO_SCHEDULER})
    name = f"VirtualMachineInstance {owner.namespace}/{body['metadata']['name']}"
    try:
        async with created(client, body) as life:
            if not await life.reaches(_is_reconciled, limit):
                return Outcome(Fault(RECONCILES, f"{name} has no launcher pod after {limit:.0f} s"))
    except Refused as error:
        return Outcome(skipped=f"the API server refuses the guest with which it would be probed: {error}")
    return Outcome()


def _is_reconciled(life: Life) -> bool:
    """By its pod, or by the reason why that is refused. The phase Pending is virt-api's."""
    conditions = life.guest.status.conditions if life.guest is not None else []
    return life.has_pod or any(condition.type == "Synchronized" for condition in conditions)


async def handler_outcome(
    client: KubeClient, owner: ObjectReference, node: str, limit: float, *, scheduled_within: float = _SCHEDULED_WITHIN
) -> Outcome:
    """Whether a guest runs on the node and ends; the handler has `limit` seconds for each.

    Raises:
        KubeError: a request has failed.
    """
    body = body_of(owner, {"affinity": on_node(node), "tolerations": [{"operator": "Exists"}]})
    name = f"VirtualMachineInstance {owner.namespace}/{body['metadata']['name']}"
    try:
        async with created(client, body) as life:
            scheduled = await life.reaches(_has_node, scheduled_within)
            if not scheduled and _lacks_device(life.guest):
                scheduled = await life.reaches(_has_node, limit)
            if not scheduled:
                return _not_started(name, life.guest, scheduled_within)
            await life.reaches(_has_started, limit)
            guest = life.guest
            if guest is None or guest.status.phase != "Running":
                return _not_started(name, guest, limit)
            await delete(client, owner.namespace, body["metadata"]["name"])
            if not await life.reaches(lambda life: life.guest is None, limit):
                return Outcome(Fault(GUEST, f"{name} is still there {limit:.0f} s after its deletion"))
    except Refused as error:
        return Outcome(skipped=f"the API server refuses the guest: {error}")
    return Outcome()


def on_node(node: str) -> dict[str, Any]:
    """The affinity of a guest that runs on this node or nowhere."""
    term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}}


def _has_node(life: Life) -> bool:
    return life.guest is not None and life.guest.status.node_name != ""


def _has_started(life: Life) -> bool:
    return life.guest is None or life.guest.status.phase in ("Running", *_ENDED)


def _lacks_device(guest: Guest | None) -> bool:
    why = _reasons(guest) if guest is not None else ""
    return KVM in why or TUN in why


def _reasons(guest: Guest) -> str:
    """Why its pod does not start, as far as virt-controller knows."""
    return "; ".join(
        condition.message
        for condition in guest.status.conditions
        if condition.type in ("PodScheduled", "Synchronized") and condition.status == "False" and condition.message
    )


def _not_started(name: str, guest: Guest | None, seconds: float) -> Outcome:
    """Whose fault it is. A pod that is ready waits for nobody but the handler."""
    if guest is None:
        return Outcome(skipped=f"somebody has deleted {name}")
    status, why = guest.status, _reasons(guest)
    details = f": {why}" if why else ""
    if status.phase in _ENDED:
        return Outcome(Fault(GUEST, f"{name} is {status.phase}{details}"))
    if status.phase == "Scheduled":
        return Outcome(Fault(GUEST, f"{name} does not run {seconds:.0f} s after it was scheduled{details}"))
    if TUN in why:
        return Outcome(Fault(GUEST, f"the pod of {name} finds no device of the node{details}"))
    return Outcome(skipped=f"the pod of the guest has not started within {seconds:.0f} s{details}")
