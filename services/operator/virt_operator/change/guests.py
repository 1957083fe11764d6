"""A guest on each node of a wave, started once every new handler of it has passed its other probes. Pure.

Called by waves.py. So the guests start together, and a wave takes as long as the slowest of them. A cordoned node gets
none: nothing new shall start there.
"""

from __future__ import annotations

from collections.abc import Iterable

from virt_core.conventions.component_pod import TEMPLATE_HASH
from virt_core.objects.upgrade_status import Wave

from virt_operator.change.probing import Proof, work_of
from virt_operator.change.situation import Situation
from virt_operator.suite.actions import WaitFor
from virt_operator.suite.observed import PodObject

_NAMED = 3  # nodes in a message


def proofs(situation: Situation, wave: Wave, nodes: Iterable[str], pods: Iterable[PodObject]) -> dict[str, Proof]:
    """The proof of each node's new handler by a guest. A node that no longer wants a handler needs none."""
    if not situation.pace.probe_guest:
        return {}
    new = _new(wave, pods)
    return {node: work_of(situation, new[node]) for node in nodes if node in new and not _is_cordoned(situation, node)}


def skipped(situation: Situation, wave: Wave | None, pods: Iterable[PodObject]) -> tuple[WaitFor, ...]:
    """Names the nodes of the wave without a guest, and why. Nothing waits for them."""
    if wave is None or not situation.pace.probe_guest:
        return ()
    reasons = {}
    for node, pod in _new(wave, pods).items():
        known = situation.observed.works.get(pod.metadata.uid)
        if _is_cordoned(situation, node):
            reasons[node] = "it is cordoned"
        elif known is not None and known.skipped:
            reasons[node] = known.skipped
    named = sorted(reasons.items())
    waits = [WaitFor(f"Node {node}", f"no guest has been started to prove it: {why}") for node, why in named[:_NAMED]]
    if len(named) > _NAMED:
        waits.append(WaitFor(f"{len(named) - _NAMED} more nodes", "the same"))
    return tuple(waits)


def _new(wave: Wave, pods: Iterable[PodObject]) -> dict[str, PodObject]:
    """The new handlers of the wave by node."""
    return {
        pod.node: pod
        for pod in pods
        if pod.node in wave.nodes
        and pod.metadata.annotations.get(TEMPLATE_HASH) == wave.template
        and pod.metadata.deletion_timestamp is None
    }


def _is_cordoned(situation: Situation, node: str) -> bool:
    found = situation.observed.nodes.get(node)
    return found is not None and found.spec.unschedulable
