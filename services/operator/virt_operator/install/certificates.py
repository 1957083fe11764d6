"""What a pass does about certificates: what is due (certificates/plan.py) as actions on Secrets. Pure.

Called by install/plan.py.
"""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import replace

from virt_core.api import labels

from virt_operator.certificates import plan
from virt_operator.certificates.rollover import Authority, Step
from virt_operator.certificates.rotation import DEFAULT, RefusedRotation, Rotation, rotation_of
from virt_operator.install.actions import Action, IssueAuthority, IssueLeaf, UpdateAuthority, WaitFor, WriteBundle
from virt_operator.install.observed import Observed
from virt_operator.strategy.ref import Ref
from virt_operator.strategy.settings import COMPONENTS

_ENDED = ("Succeeded", "Failed")


def due_now(observed: Observed) -> plan.Due:
    """What to renew, from the Secrets that were seen."""
    assert observed.suite is not None
    secrets = {ref.name: live.data for ref, live in observed.owned.items() if ref.kind == "Secret"}
    wanted = plan.leaves(observed.suite.metadata.namespace)
    authority = observed.authority
    behind = _behind(observed, authority) if authority is not None else frozenset[str]()
    due = plan.due(authority, secrets, wanted, _rotation(observed), behind=behind, now=observed.now)
    if authority is None or not observed.authority_spoilt:
        return due
    # What was seen before goes on, and as what is lost may have been lost for a reason, with a successor.
    mended = Step("somebody spoilt its Secret", authority if authority.successor is not None else None)
    return replace(due, step=mended)


def actions(observed: Observed, due: plan.Due) -> tuple[Action, ...]:
    """How to do it. An authority whose Secret is absent is not made here: certificates/authority.py does that."""
    assert observed.suite is not None
    namespace = observed.suite.metadata.namespace

    def seen(secret: str) -> str | None:
        live = observed.owned.get(Ref("Secret", namespace, secret))
        return live.metadata.resource_version if live is not None else None

    made: list[Action] = []
    if due.step is not None and observed.authority_version:
        if due.step.to is not None:
            made.append(UpdateAuthority(due.step.to, due.step.why, observed.authority_version))
        else:
            life = _rotation(observed).authority.duration
            made.append(IssueAuthority(due.authority, life, due.step.why, observed.authority_version))
    if due.authority is not None:
        made += [IssueLeaf(leaf, due.authority, seen(leaf.secret)) for leaf in due.leaves]
        made += [WriteBundle(one, due.authority.bundle, seen(one) or "") for one in due.bundles]
    return tuple(made)


def waits(due: plan.Due) -> tuple[WaitFor, ...]:
    """What keeps a new authority from signing."""
    why = "does not say that it trusts the new certificate authority"
    return tuple(WaitFor(one, why) for one in due.stalled)


def has_leaf(observed: Observed, component: str) -> bool:
    """Whether the Secret is there that the component's pods mount."""
    assert observed.suite is not None
    return Ref("Secret", observed.suite.metadata.namespace, f"kubevirt-{component}-certs") in observed.owned


def secrets(namespace: str) -> frozenset[Ref]:
    """The Secrets with leaves that this release has."""
    return frozenset(Ref("Secret", namespace, leaf.secret) for leaf in plan.leaves(namespace))


def _rotation(observed: Observed) -> Rotation:
    assert observed.suite is not None
    try:
        return rotation_of(observed.suite.spec)
    except RefusedRotation:  # spec.py says so; meanwhile nothing must run out
        return DEFAULT


def _behind(observed: Observed, authority: Authority) -> frozenset[str]:
    """Who is not known to trust the whole bundle: pods by what they say, the API server by its objects."""
    wanted = authority.bundle_sha256
    pods = {
        f"Pod {pod.metadata.name}"
        for pod in observed.pods
        if pod.metadata.labels.get(labels.APP) in COMPONENTS
        and pod.status.get("phase") not in _ENDED
        and observed.trusting.get(pod.metadata.name) != wanted
    }
    bundle = b64encode(authority.bundle).decode()
    objects = {
        str(ref)
        for ref, live in observed.owned.items()
        if ref.kind == "APIService" and json.loads(bytes(live.spec) or b"{}").get("caBundle") != bundle
    }
    return frozenset(pods | objects)
