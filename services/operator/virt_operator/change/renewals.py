"""Translates due certificates (certificates/plan.py) to actions on Secrets. Pure.

Called by change/plan.py and the steps.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from virt_core.conventions import components, labels

from virt_operator.certificates import plan
from virt_operator.certificates.rollover import Authority, Step, trust_data
from virt_operator.certificates.rotation import DEFAULT, RefusedRotation, Rotation, rotation_of
from virt_operator.strategy.pods import TRUST_SECRET
from virt_operator.strategy.ref import Body, Ref
from virt_operator.strategy.trust import REGISTRATIONS, trusts
from virt_operator.suite.actions import (
    Action,
    IssueAuthority,
    IssueLeaf,
    UpdateAuthority,
    WaitFor,
    WriteBundle,
    WriteTrust,
)
from virt_operator.suite.observed import Observed

_WORKLOADS = ("Deployment", "DaemonSet")


def due_now(observed: Observed, namespace: str, desired: Iterable[Body] = ()) -> plan.Due:
    """What to renew, from the observed Secrets, for existing and `desired` workloads."""
    secrets = {ref.name: live.data for ref, live in observed.owned.items() if ref.kind == "Secret"}
    there = [live.content() for ref, live in observed.owned.items() if ref.kind in _WORKLOADS]
    mounted = sorted({ref.name for body in (*there, *desired) for ref in _mounted(body, namespace)})
    wanted = tuple(leaf for name in mounted if (leaf := plan.leaf_of(name, namespace)) is not None)
    authority = observed.authority
    behind = _behind(observed, authority) if authority is not None else frozenset[str]()
    due = plan.due(namespace, authority, secrets, wanted, rotation=_rotation(observed), behind=behind, now=observed.now)
    due = replace(due, trust=TRUST_SECRET in mounted and _unpublished(secrets.get(TRUST_SECRET), authority))
    if authority is None or not observed.authority_invalid:
        return due
    # The last valid authority stays in use, but gets a successor, because its key may have been compromised.
    mended = Step("its Secret is invalid", authority if authority.successor is not None else None)
    return replace(due, step=mended)


def actions(observed: Observed, due: plan.Due) -> tuple[Action, ...]:
    """The actions. certificates/authority.py creates an authority whose Secret is absent."""

    def seen(secret: str) -> str | None:
        live = observed.owned.get(Ref("Secret", due.namespace, secret))
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
        made += [WriteTrust(trust_data(due.authority), seen(TRUST_SECRET))] if due.trust else []
        made += [WriteBundle(bundle, due.authority.bundle, seen(bundle) or "") for bundle in due.bundles]
    return tuple(made)


def upkeep(observed: Observed, namespace: str) -> tuple[tuple[Action, ...], datetime | None]:
    """Renew existing certificates while nothing is installed or another plan is blocked; creates no new ones. Also
    returns when the next renewal is due."""
    due = due_now(observed, namespace)
    there = {ref.name for ref in observed.owned if ref.kind == "Secret"}
    leaves = tuple(leaf for leaf in due.leaves if leaf.secret in there)
    due = replace(due, leaves=leaves, trust=due.trust and TRUST_SECRET in there)
    return actions(observed, due), due.next_deadline


def waits(due: plan.Due) -> tuple[WaitFor, ...]:
    """What a new authority waits for before it signs."""
    why = "does not say that it trusts the new certificate authority"
    return tuple(WaitFor(pod, why) for pod in due.stalled)


def missing(observed: Observed, body: Body) -> str | None:
    """A missing Secret that the workload's pods mount; None if there is none."""
    assert observed.suite is not None
    wanted = secrets((body,), observed.suite.metadata.namespace)
    return next((ref.name for ref in sorted(wanted) if ref not in observed.owned), None)


def secrets(desired: Iterable[Body], namespace: str) -> frozenset[Ref]:
    """The Secrets that belong to `desired`."""
    return frozenset(ref for body in desired for ref in _mounted(body, namespace))


def _unpublished(published: Mapping[str, str] | None, authority: Authority | None) -> bool:
    return authority is not None and published != trust_data(authority)


def _mounted(body: Body, namespace: str) -> list[Ref]:
    """The suite's Secrets among a workload's volumes."""
    pod = body.get("spec", {}).get("template", {}).get("spec", {})
    names = [volume["secret"].get("secretName", "") for volume in pod.get("volumes") or () if volume.get("secret")]
    ours = [name for name in names if name == TRUST_SECRET or plan.leaf_of(name, namespace) is not None]
    return [Ref("Secret", namespace, name) for name in ours]


def _rotation(observed: Observed) -> Rotation:
    try:
        return rotation_of(observed.suite.spec if observed.suite is not None else {})
    except RefusedRotation:  # spec.py reports it; certificates must not expire meanwhile
        return DEFAULT


def _behind(observed: Observed, authority: Authority) -> frozenset[str]:
    """Who is not known to trust the whole bundle: pods by their reports, the API server by its objects."""
    wanted = authority.bundle_sha256
    pods = {
        f"Pod {pod.metadata.name}"
        for pod in observed.pods
        if pod.metadata.labels.get(labels.APP) in components.INSTALLED
        and not pod.ended
        and observed.trusting.get(pod.metadata.name) != wanted
    }
    bundle = b64encode(authority.bundle).decode()
    objects = {
        str(ref)
        for ref, live in observed.owned.items()
        if ref.kind in REGISTRATIONS and not trusts({"kind": ref.kind, **live.content()}, bundle)
    }
    return frozenset(pods | objects)
