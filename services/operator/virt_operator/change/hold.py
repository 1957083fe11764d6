"""Holds the rollout of virt-controller and virt-api at the first new pod until it is proven. Pure.

Called by situation.py for each Deployment of a strategy. `minReadySeconds` is written together with the new template:
a new pod that is ready does not count as available for that long, so with maxUnavailable 0 Kubernetes removes no old
pod and makes no second new one. Proven, the field is removed, which is no new template, and the rollout goes on. Unlike
`paused` it takes effect before the first new pod, and ends by itself if no virt-operator is left.
"""

from __future__ import annotations

from virt_core.conventions import components

from virt_operator.change import rollout
from virt_operator.strategy.ref import Body, Ref
from virt_operator.suite.observed import Observed, OwnedObject, PodObject

WHY = "no further pod is replaced until the first new one is proven"
_SECONDS = 300  # less than the default of progressDeadlineSeconds, as the API server demands
_FIELD = "minReadySeconds"
_HELD = tuple(Ref("Deployment", "", name) for name in (components.API, components.CONTROLLER))


def applied(observed: Observed, body: Body, *, changing: bool) -> Body:
    """The desired object, held or not; `changing`: while new pods are proven."""
    kind, meta = body["kind"], body["metadata"]
    if Ref(kind, "", meta["name"]) not in _HELD:
        return body
    live = observed.owned.get(Ref(kind, meta.get("namespace", ""), meta["name"]))
    if live is None:
        return body
    spec = live.content().get("spec", {})
    template_hash = rollout.template_hash_of(body)
    if changing and rollout.template_hash_of({"spec": spec}) != template_hash:
        return _with(body, _longest(body))
    if changing and is_held(live, body) and not _is_first_proven(observed, meta["name"], template_hash):
        return _with(body, _longest(body))
    wanted = body["spec"].get(_FIELD, 0)
    return _with(body, wanted) if spec.get(_FIELD, 0) != wanted else body


def has_answered(observed: Observed, pod: PodObject) -> bool:
    """Whether a pod has passed its probes."""
    known = observed.probes.get(pod.metadata.uid)
    return known is not None and known.fault is None


def has_reconciled(observed: Observed, pod: PodObject) -> bool:
    """Whether a pod has led and reconciled."""
    known = observed.works.get(pod.metadata.uid)
    return known is not None and known.fault is None


def is_held(live: OwnedObject | None, body: Body) -> bool:
    """Whether the live Deployment waits for the proof; the user may have customized the field of `body`."""
    found = live.content().get("spec", {}).get(_FIELD, 0) if live is not None else 0
    return bool(found) and found == _longest(body)


def _is_first_proven(observed: Observed, component: str, template_hash: str) -> bool:
    new = rollout.new_pods(component, observed, template_hash)
    answered = [pod for pod in new if has_answered(observed, pod)]
    if component == components.CONTROLLER:
        return any(has_reconciled(observed, pod) for pod in answered)
    return bool(answered)


def _longest(body: Body) -> int:
    spec = body["spec"]
    own, deadline = spec.get(_FIELD), spec.get("progressDeadlineSeconds")
    longest = min(_SECONDS, deadline - 1) if isinstance(deadline, int) else _SECONDS
    return max(own, longest) if isinstance(own, int) else longest


def _with(body: Body, seconds: int) -> Body:
    return {**body, "spec": {**body["spec"], _FIELD: seconds}}
