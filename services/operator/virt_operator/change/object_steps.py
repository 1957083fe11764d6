"""The steps that write or delete objects of the suite. Pure; called by steps.py.

The objects themselves show their release, so an update that is cancelled halfway is reverted in order as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from virt_core.conventions import components

from virt_operator.change import latecomers, renewals, rollout
from virt_operator.change.objects import Gate, ObjectState, brought
from virt_operator.change.orphans import orphans
from virt_operator.change.replicas import proven
from virt_operator.change.situation import Progress, Situation
from virt_operator.change.waves import waves
from virt_operator.strategy.install_strategy import is_planned, name_of
from virt_operator.strategy.monitoring import is_monitoring
from virt_operator.strategy.ref import DEFINED, WORKLOADS, Ref
from virt_operator.strategy.trust import REGISTRATIONS
from virt_operator.suite import permissions
from virt_operator.suite.actions import Delete, DeletePod, WaitFor

_LEFT = "left behind: not part of this release, and virt-operator may not delete it; delete it with kubectl, or update"


def definitions(situation: Situation, _: Progress) -> Progress:
    """Write CRDs, permissions, Services and all other objects that no later step writes."""
    later = (*WORKLOADS, *REGISTRATIONS, *DEFINED)
    states = (state for state in situation.objects if state.ref.kind not in later)
    written = _brought(situation, states, lambda _: None)
    return Progress(tuple(orphans(situation.observed))).and_then(written)


def component(name: str) -> Callable[[Situation, Progress], Progress]:
    """The step of a workload, for example "virt-handler"."""

    def run(situation: Situation, earlier: Progress) -> Progress:
        def gate(state: ObjectState) -> str | None:
            # The kubelet retries pods with a missing Secret with growing delays, so create the Secret first.
            secret = renewals.missing(situation.observed, state.body)
            if secret is not None:
                return f"Secret {secret} is being made"
            other = state.live is not None and not situation.has_begun(state.live)
            return _held(situation, earlier) or (situation.held if other else "") or None

        states = [state for state in situation.objects if state.ref.kind in WORKLOADS and state.ref.name == name]
        written = _brought(situation, states, gate)
        return _joined(written, _replaced(situation, states))

    return run


def registration(situation: Situation, earlier: Progress) -> Progress:
    """Write APIServices and webhooks. Without a serving backend an APIService breaks discovery for the whole cluster,
    and a webhook breaks every request that it matches. So new ones wait until virt-api is ready; in a change of
    release, until every virt-api is new."""

    def gate(state: ObjectState) -> str | None:
        return None if state.live is not None else _held(situation, earlier) or _virt_api_away(situation)

    return _brought(situation, (state for state in situation.objects if state.ref.kind in REGISTRATIONS), gate)


def defined(situation: Situation, earlier: Progress) -> Progress:
    """Write objects of the suite's own kinds, which the API server does not know before their definition. virt-api is
    not asked about the operator's writes."""

    def gate(state: ObjectState) -> str | None:
        definition = situation.observed.owned.get(Ref("CustomResourceDefinition", "", DEFINED[state.ref.kind]))
        if definition is None or definition.condition("Established").get("status") != "True":
            return "its kind is being defined"
        return _held(situation, earlier)

    return _brought(situation, (state for state in situation.objects if state.ref.kind in DEFINED), gate)


def deregistration(situation: Situation, _: Progress) -> Progress:
    """In a rollback: delete APIServices and webhooks that the older virt-api does not serve."""
    if not situation.ordered or not situation.backward:
        return Progress()
    desired = {state.ref for state in situation.objects}
    retired = [ref for ref in situation.observed.owned if ref.kind in REGISTRATIONS and ref not in desired]
    return _deleted(situation, retired, "not part of the release that comes back")


def cleanup(situation: Situation, earlier: Progress) -> Progress:
    """Objects of an earlier release that this one does not have, once all of this one is ready. The strategy of what
    was installed before goes only when the status no longer names it, also as the way back. Definitions stay: with a
    definition the API server deletes every object of its kind, which a way back to an older release must not cost. What
    this operator may not delete is left behind and named: a newer release brought it, and adopts it when it comes
    back."""
    if earlier.waits:
        return Progress()
    desired, namespace = {state.ref for state in situation.objects}, situation.suite.metadata.namespace
    desired |= renewals.secrets((state.body for state in situation.objects), namespace)
    strategies = [situation.strategy.deployment_id, situation.suite.status.observed_deployment_id]
    strategies += [situation.way_back.deployment_id] if situation.way_back is not None else []
    names = {name_of(strategy) for strategy in strategies if strategy}
    superfluous = [
        ref
        for ref in situation.observed.owned
        if ref not in desired
        and ref.kind != "CustomResourceDefinition"
        and not is_monitoring(ref)
        and not (ref.kind in ("ConfigMap", "Job") and (ref.name in names or is_planned(ref.name)))
    ]
    held, own = situation.observed.held, situation.operator.namespace
    removable = [ref for ref in superfluous if permissions.may_delete(held, ref, own)]
    left = (WaitFor(str(ref), _LEFT) for ref in sorted(set(superfluous) - set(removable)))
    return _deleted(situation, removable, "not part of this release").and_then(Progress(later=tuple(left)))


def _brought(situation: Situation, states: Iterable[ObjectState], gate: Gate) -> Progress:
    actions, waits = brought(situation.observed, states, gate)
    return Progress(tuple(actions), tuple(waits))


def _deleted(situation: Situation, refs: Iterable[Ref], why: str) -> Progress:
    owned = situation.observed.owned
    leaving = [ref for ref in sorted(refs) if owned[ref].metadata.deletion_timestamp is None]
    return Progress(
        tuple(Delete(ref, owned[ref].metadata.uid, why) for ref in leaving),
        tuple(WaitFor(str(ref), f"being removed: {why}") for ref in leaving),
    )


def _held(situation: Situation, earlier: Progress) -> str | None:
    """Why objects of another release are not written yet: the first wait of the earlier steps."""
    if not situation.ordered or not earlier.waits:
        return None
    wait = earlier.waits[0]
    named = wait.what.endswith(f"/{wait.step}")  # the object of a component's step is the component
    return f"{wait.step} comes first: {wait.why if named else f'{wait.what}: {wait.why}'}"


def _virt_api_away(situation: Situation) -> str | None:
    api = next((state for state in situation.objects if _is_virt_api(state.ref)), None)
    live = next((live for ref, live in situation.observed.owned.items() if _is_virt_api(ref)), None)
    if live is not None and rollout.serving(live):
        return None
    return f"virt-api comes first: {(api.unfinished if api is not None else None) or 'no replica is available'}"


def _is_virt_api(ref: Ref) -> bool:
    return (ref.kind, ref.name) == ("Deployment", components.API)


def _replaced(situation: Situation, states: Iterable[ObjectState]) -> Progress:
    """The proof of new pods; of an OnDelete DaemonSet also the next pods to delete, and those on unreachable nodes."""
    found = Progress()
    for state in states:
        if state.difference is not None:
            continue
        if state.ref.kind != "DaemonSet":
            found = found.and_then(proven(situation, state) if situation.is_proven else Progress())
            continue
        if situation.is_proven:
            found = found.and_then(waves(situation, state))
        else:
            deletions = _next_pods(situation, state) if state.unready is not None else []
            found = found.and_then(Progress(tuple(deletions))).and_then(latecomers.proofs(situation, state))
        template_hash = rollout.template_hash_of(state.body)
        left = rollout.left_for_later(state.ref.name, situation.observed, template_hash)
        found = found.and_then(Progress(later=tuple(WaitFor(str(state.ref), why) for why in left)))
    return found


def _next_pods(situation: Situation, state: ObjectState) -> list[DeletePod]:
    """One after another for a repair. On the way back of a change that has stopped: first all of the wave that failed,
    then as many at once as in a wave."""
    name, observed, template_hash = state.ref.name, situation.observed, rollout.template_hash_of(state.body)
    if situation.stopped is None:
        return rollout.next_pods(name, observed, template_hash)
    at_once = situation.pace.size(2, len(rollout.pods_of(name, observed.pods)))
    return rollout.next_pods(name, observed, template_hash, at_once, situation.stopped.nodes)


def _joined(written: Progress, replaced: Progress) -> Progress:
    """Both, with one wait for each object."""
    reasons: dict[str, list[str]] = {}
    for wait in (*written.waits, *replaced.waits):
        reasons.setdefault(wait.what, []).append(wait.why)
    both = written.and_then(replaced)
    return replace(both, waits=tuple(WaitFor(what, "; ".join(whys)) for what, whys in reasons.items()))
