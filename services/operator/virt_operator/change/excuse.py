"""Why a new pod of virt-controller or virt-api that is not ready does not send the change back. Pure; called by
replicas.py.

While an administrator has paused the change, nothing moves by itself. A pod that was proven has shown that the release
works: what has happened to it later, for example on its node, a way back does not mend. Only while its component is
being replaced it counts all the same, because the next pods depend on it.
"""

from __future__ import annotations

from virt_core.objects.upgrade_steps import components_after

from virt_operator.change import hold, rollout
from virt_operator.change.objects import ObjectState
from virt_operator.change.situation import Situation
from virt_operator.strategy.ref import WORKLOADS
from virt_operator.suite.observed import PodObject


def excuse(situation: Situation, state: ObjectState, pod: PodObject | None) -> str:
    """What is said of the pod, or of a component without pods, instead of a way back; "" if there is no excuse."""
    since = f" since {pod.unready_since}" if pod is not None else ""
    if situation.held:
        return f"is not ready{since}: nothing goes back while {situation.held}"
    if not _is_replaced(situation, state) or not _was_proven(situation, state, pod):
        return ""
    return f"was proven and is not ready{since}: nothing goes back for that, and nothing further begins"


def _is_replaced(situation: Situation, state: ObjectState) -> bool:
    """Whether no pod of the release before is left, and none is held back for the first new one."""
    pods = rollout.pods_of(state.ref.name, situation.observed.pods)
    old = rollout.outdated(pods, rollout.template_hash_of(state.body))
    left = [pod for pod in old if pod.metadata.deletion_timestamp is None and not pod.ended]
    return not hold.is_held(state.live, state.body) and not left


def _was_proven(situation: Situation, state: ObjectState, pod: PodObject | None) -> bool:
    """Whether this leader has seen it, or a component has begun that waits for it."""
    if pod is not None and hold.has_answered(situation.observed, pod):
        return True
    later = components_after(state.ref.name, backward=situation.backward)
    workloads = (other for other in situation.objects if other.ref.kind in WORKLOADS and other.ref.name in later)
    return any(other.live is not None and situation.has_begun(other.live) for other in workloads)
