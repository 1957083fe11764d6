"""The waves in which virt-handler is replaced on the nodes, each proven before the next begins. Pure.

Called by object_steps.py. The wave is in status.upgrade, because nothing else tells a handler that has been proven from
one that has not. It is written before the first pod of it is deleted, so a new leader continues it; with it what the
old handlers have answered (baseline.py). A wave ends when
every handler of it has passed its probes; if one fails, the whole change goes back (stopping.py). Unreachable nodes do
not count: their handlers are replaced when they are back.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import timedelta

import msgspec
from virt_core.conventions.component_pod import TEMPLATE_HASH
from virt_core.objects.meta import rfc3339, seconds_since
from virt_core.objects.upgrade_status import Wave

from virt_operator.change import baseline, guests, rollout
from virt_operator.change.objects import ObjectState
from virt_operator.change.probing import Proof, is_late, late, proof_of
from virt_operator.change.situation import Progress, Situation
from virt_operator.change.stopping import stopped_by
from virt_operator.suite.actions import DeletePod, WaitFor
from virt_operator.suite.observed import Fault, Observed, PodObject

_NAMED = 3  # nodes and pods in a message


def waves(situation: Situation, state: ObjectState) -> Progress:
    """What is next of a DaemonSet whose template is as desired, while its release changes."""
    template_hash = rollout.template_hash_of(state.body)
    pods = rollout.reachable(state.ref.name, situation.observed)
    wave = _stored(situation, template_hash)
    nodes = [node for node in wave.nodes if _is_reachable(node, situation.observed)] if wave is not None else []
    warned = Progress(later=(*baseline.warnings(wave), *guests.skipped(situation, wave, pods)))
    if wave is not None and not wave.proven and nodes:
        return warned.and_then(_current(situation, state, wave, nodes, pods))
    return warned.and_then(_next(situation, state, wave, pods))


def _stored(situation: Situation, template_hash: str) -> Wave | None:
    upgrade = situation.suite.status.upgrade
    wave = upgrade.wave if upgrade is not None else None
    return wave if wave is not None and wave.template == template_hash else None


def _is_reachable(node: str, observed: Observed) -> bool:
    found = observed.nodes.get(node)
    return found is not None and found.trouble is None


def _current(
    situation: Situation, state: ObjectState, wave: Wave, nodes: Collection[str], pods: list[PodObject]
) -> Progress:
    """Replace the pods of the wave and prove the new ones."""
    replaced, proofs = [], {}
    for node in nodes:
        here = [pod for pod in pods if pod.node == node]
        replaced += _old(here, wave.template)
        proofs[node] = _proof(situation, state, wave, here)
    if replaced and is_late(situation, wave.since):
        return _begun_again(situation, state, wave)
    if not any(proof.wait or proof.fault for proof in proofs.values()):
        proofs = guests.proofs(situation, wave, nodes, pods)
    failed = next(((node, proof.fault) for node, proof in proofs.items() if proof.fault is not None), None)
    if failed is not None:
        node, fault = failed
        stopped = stopped_by(situation, state.ref.name, f"node {node}", fault, wave.nodes)
        return Progress(waits=(WaitFor(str(state.ref), f"{_name(wave)} has failed on node {node}"),), stopped=stopped)
    pending = [(node, proof) for node, proof in proofs.items() if proof.wait]
    if not pending:
        return _next(situation, state, msgspec.structs.replace(wave, proven=rfc3339(situation.observed.now)), pods)
    deletions = (DeletePod(pod.metadata.name, pod.metadata.uid, f"{_name(wave)}: older template") for pod in replaced)
    probes = (proof.action for _, proof in pending if proof.action is not None)
    what = "; ".join(f"node {node}: {proof.wait}" for node, proof in pending[:_NAMED])
    return Progress(
        (*deletions, *probes),
        (WaitFor(str(state.ref), f"{_name(wave)}, {_of(pending)}{what}"),),
        deadline=min((proof.deadline for _, proof in pending if proof.deadline is not None), default=None),
    )


def _proof(situation: Situation, state: ObjectState, wave: Wave, here: list[PodObject]) -> Proof:
    """Of a node's handler."""
    new = [pod for pod in here if pod.metadata.annotations.get(TEMPLATE_HASH) == wave.template]
    staying = [pod for pod in new if pod.metadata.deletion_timestamp is None]
    if staying:
        return proof_of(situation, staying[0], wave.since, frozenset(guest.uid for guest in wave.silent))
    if not here and state.unready is None:
        return Proof()  # the DaemonSet is complete: it no longer wants a pod there
    proof = late(situation, wave.since, "its pod is being replaced")
    if proof.fault is None or state.unready is None:
        return proof
    # Its pod is not there, or on no node: the DaemonSet says why. Until it is late, that is said beside it.
    return Proof(fault=Fault(proof.fault.probe, f"{proof.fault.message}: {state.unready}"))


def _next(situation: Situation, state: ObjectState, wave: Wave | None, pods: list[PodObject]) -> Progress:
    """The next wave, if there are old pods left and nothing stands in its way."""
    ref, observed = str(state.ref), situation.observed
    # A wave whose nodes are all away has proven nothing; others take its number.
    changed = wave if wave is not None and wave.proven else None
    old = _old(pods, rollout.template_hash_of(state.body))
    if any(pod.metadata.deletion_timestamp for pod in pods):
        return Progress(wave=changed)  # the DaemonSet is not complete, and says so
    if not old:
        return Progress(wave=changed)
    broken = [pod for pod in old if not pod.ready]
    if not broken and not all(pod.ready for pod in pods):
        return Progress(wave=changed)  # the DaemonSet is not ready, and says why
    if changed is not None:
        left = situation.pace.pause - timedelta(seconds=seconds_since(changed.proven, observed.now))
        if left > timedelta(0):
            until = observed.now + left
            why = f"{_name(changed)} is proven; the next one begins at {rfc3339(until)} (spec.upgradeStrategy)"
            return Progress(waits=(WaitFor(ref, why),), wave=changed, deadline=until)
    if situation.held:
        return Progress(waits=(WaitFor(ref, situation.held),), wave=changed)
    return _begun(situation, state, wave, broken or old)


def _begun(situation: Situation, state: ObjectState, wave: Wave | None, candidates: list[PodObject]) -> Progress:
    """The next wave, on the first nodes of `candidates`. Its pods are deleted when the status names it."""
    before = 0 if wave is None else wave.number if wave.proven else wave.number - 1
    every = len(rollout.pods_of(state.ref.name, situation.observed.pods))
    nodes = sorted({pod.node for pod in candidates if pod.node})[: situation.pace.size(before + 1, every)]
    template_hash = rollout.template_hash_of(state.body)
    here = [pod for pod in candidates if pod.node in nodes]
    if questions := baseline.unknown(situation, here):
        why = f"wave {before + 1}: the virt-handlers of {_listed(nodes)} are asked which launchers answer them"
        return Progress(questions, (WaitFor(str(state.ref), why),), wave=wave if wave and wave.proven else None)
    silent = baseline.silent(situation, here, wave)
    begun = Wave(before + 1, template_hash, nodes, rfc3339(situation.observed.now), silent=silent)
    unscheduled = (
        DeletePod(pod.metadata.name, pod.metadata.uid, "older template") for pod in candidates if not pod.node
    )
    why = f"{_name(begun)} begins on {_listed(nodes)}"
    if not nodes:
        return Progress(tuple(unscheduled), (WaitFor(str(state.ref), "replacing pods without a node"),))
    return Progress(tuple(unscheduled), (WaitFor(str(state.ref), why),), wave=begun)


def _begun_again(situation: Situation, state: ObjectState, wave: Wave) -> Progress:
    """No operator was there to delete its old pods, or it could not: that is no fault of the new ones."""
    again = msgspec.structs.replace(wave, since=rfc3339(situation.observed.now))
    why = f"{_name(wave)} begins again: pods of it have not been deleted"
    return Progress(waits=(WaitFor(str(state.ref), why),), wave=again)


def _old(pods: Iterable[PodObject], template_hash: str) -> list[PodObject]:
    return [pod for pod in rollout.outdated(pods, template_hash) if pod.metadata.deletion_timestamp is None]


def _name(wave: Wave) -> str:
    return f"wave {wave.number}"


def _of(pending: list[tuple[str, Proof]]) -> str:
    return f"{len(pending)} nodes: " if len(pending) > _NAMED else ""


def _listed(nodes: list[str]) -> str:
    shown = ", ".join((*nodes[:_NAMED], *(["…"] if len(nodes) > _NAMED else [])))
    return f"node {shown}" if len(nodes) == 1 else f"{len(nodes)} nodes ({shown})"
