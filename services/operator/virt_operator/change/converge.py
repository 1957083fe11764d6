"""What brings the cluster's objects to what a strategy says, in the order that its release change asks for. Pure.

Called by plan.py once the strategy is there and the operator may apply it. Which objects are of another release is seen
on the objects themselves, so an update that is given up halfway goes back in order too.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from virt_core.objects.meta import rfc3339

from virt_operator.certificates.plan import Due
from virt_operator.change import renewals, rollout
from virt_operator.change.growth import grown
from virt_operator.change.orphans import orphans
from virt_operator.change.versions import is_older
from virt_operator.strategy.desired import STRATEGY_IDENTIFIER, STRATEGY_VERSION
from virt_operator.strategy.install_strategy import InstallStrategy, name_of
from virt_operator.strategy.ref import Body, Ref, ref_of
from virt_operator.strategy.settings import COMPONENTS
from virt_operator.strategy.trust import REGISTRATIONS, trusting
from virt_operator.suite.actions import Action, Apply, Compare, Delete, Replace, WaitFor
from virt_operator.suite.drift import desired_parts, difference
from virt_operator.suite.observed import Observed, Repair

DEFINITIONS, REGISTRATION, CLEANUP = "Definitions", "Registration", "Cleanup"
_WORKLOADS = ("Deployment", "DaemonSet")
# An object that is changed by each write of it, for example by a webhook, is repaired ever less often.
_VAIN_REPAIRS = 2
_REPAIR_AGAIN, _REPAIR_AGAIN_LAST = 5.0, 300.0  # seconds


@dataclass(frozen=True, slots=True)
class Convergence:
    """What is to be done to objects, and what is waited for."""

    actions: tuple[Action, ...]
    waits: tuple[WaitFor, ...]
    """In the order of the steps."""

    created: bool = False
    """Every object is there and as desired."""


@dataclass(frozen=True, slots=True)
class Change:
    """Components of another release, or of other settings, run: an order is kept until they do not."""

    backward: bool
    """Their release is newer than the one that is to be."""

    @property
    def order(self) -> tuple[str, ...]:
        """Components, the first to be changed first."""
        return rollout.UPDATE_ORDER[::-1] if self.backward else rollout.UPDATE_ORDER


def change_of(observed: Observed, strategy: InstallStrategy) -> Change | None:
    """The change that goes on; None for a first installation, where nothing runs that could be disturbed, and for the
    repair of one release."""
    wanted = strategy.objects[0]["metadata"]["annotations"][STRATEGY_VERSION]
    found = [
        live.metadata.annotations.get(STRATEGY_VERSION, "")
        for ref, live in observed.owned.items()
        if ref.kind in _WORKLOADS and live.metadata.annotations.get(STRATEGY_IDENTIFIER) != strategy.deployment_id
    ]
    return Change(any(is_older(wanted, version) for version in found)) if found else None


def converge(
    observed: Observed, due: Due, strategy: InstallStrategy, change: Change | None, *, changing: bool
) -> Convergence:
    """One pass. While `changing`, pods of another release may still run, and permissions only grow."""
    if due.authority is None:
        # Bundles and leaves rest on it, so it is made first; what it leads to is planned when it has been seen.
        first = WaitFor("certificate authority", "being made", DEFINITIONS)
        return Convergence(renewals.actions(observed, due), (first,))
    desired = _desired(observed, strategy, due.authority.bundle, changing=changing)
    differences = {ref: _difference(observed, ref, body) for ref, body in desired.items()}
    unready = {ref: _not_ready(observed, ref, body) for ref, body in desired.items() if differences[ref] is None}
    unfinished = _unfinished(desired, differences, unready)
    order = change.order if change is not None else ()
    retired = _retired(observed, desired) if change is not None and change.backward else ()
    actions: list[Action] = [*renewals.actions(observed, due), *orphans(observed)]
    actions += retired
    waits: list[WaitFor] = [*renewals.waits(due)]
    waits += [WaitFor(str(one.ref), "being removed before virt-api goes back", REGISTRATION) for one in retired]
    for ref, body in desired.items():
        why = differences[ref]
        if why is not None:
            gate = _gate(observed, ref, body, order, unfinished)
            if ref.name == "virt-api" and ref.kind in _WORKLOADS and retired:
                gate = f"{retired[0].ref} comes first: the release that comes back does not serve it"
            gate = gate or _repaired_in_vain(observed, ref, why)
            waits.append(WaitFor(str(ref), gate or "being written", _step(ref)))
            if gate is None:
                actions.append(_write(observed, ref, body, why))
        elif (waiting := unready[ref]) is not None:
            waits.append(WaitFor(str(ref), waiting, _step(ref)))
            actions += _replacements(observed, ref, body)
    actions += _comparisons(observed, desired, differences)
    if not waits:
        superfluous = _superfluous(observed, desired, strategy)
        actions += superfluous
        waits += [WaitFor(str(one.ref), "being removed: not part of this release", CLEANUP) for one in superfluous]
    return Convergence(tuple(actions), _in_order(waits, order), created=not any(differences.values()))


def _desired(observed: Observed, strategy: InstallStrategy, bundle: bytes, *, changing: bool) -> Mapping[Ref, Body]:
    """The strategy's objects as this cluster is to have them."""
    authorities = b64encode(bundle).decode()
    found: dict[Ref, Body] = {}
    for body in strategy.objects:
        ref, wanted = ref_of(body), trusting(body, authorities)
        live = observed.owned.get(ref)
        found[ref] = wanted if live is None else grown(wanted, live.content(), updating=changing)
    return found


def _step(ref: Ref) -> str:
    if ref.kind in _WORKLOADS:
        return ref.name
    return REGISTRATION if ref.kind in REGISTRATIONS else DEFINITIONS


def _in_order(waits: Iterable[WaitFor], order: tuple[str, ...]) -> tuple[WaitFor, ...]:
    steps = (DEFINITIONS, *(order or COMPONENTS), REGISTRATION, CLEANUP)
    return tuple(sorted(waits, key=lambda wait: steps.index(wait.step) if wait.step in steps else len(steps)))


def _difference(observed: Observed, ref: Ref, body: Body) -> str | None:
    live = observed.owned.get(ref)
    if live is None:
        return "absent"
    compared = observed.compared.get(ref)
    found = compared.difference if compared is not None and compared.answers(body, live) else None
    return difference(body, live.content()) or found


def _write(observed: Observed, ref: Ref, body: Body, why: str) -> Action:
    live = observed.owned.get(ref)
    return Apply(ref, body, why) if live is None else Replace(ref, body, live, why)


def _comparisons(
    observed: Observed, desired: Mapping[Ref, Body], differences: Mapping[Ref, str | None]
) -> list[Compare]:
    """For each object in which nothing is missing: whether something was changed or added beside it."""
    unknown = []
    for ref, body in desired.items():
        live, compared = observed.owned.get(ref), observed.compared.get(ref)
        if live is None or differences[ref] is not None or not (desired_parts(body) or live.parts):
            continue
        if compared is None or not compared.answers(body, live):
            unknown.append(Compare(ref, body, live))
    return unknown


def next_repair(observed: Observed) -> datetime | None:
    """When an object is next repaired whose repairs were in vain."""
    due = [moment for repair in observed.repairs.values() if (moment := _due(repair)) is not None]
    return min((moment for moment in due if moment > observed.now), default=None)


def _due(repair: Repair) -> datetime | None:
    if repair.vain < _VAIN_REPAIRS:
        return None
    seconds = min(_REPAIR_AGAIN * 2 ** (repair.vain - _VAIN_REPAIRS), _REPAIR_AGAIN_LAST)
    return repair.at + timedelta(seconds=seconds)


def _repaired_in_vain(observed: Observed, ref: Ref, why: str) -> str | None:
    """Why an object is not written now: whoever admits the write changes it."""
    repair = observed.repairs.get(ref)
    due = _due(repair) if repair is not None else None
    if due is None or observed.now >= due:
        return None
    return f"{why} is changed by each write, perhaps by a webhook of somebody else; next attempt at {rfc3339(due)}"


def _not_ready(observed: Observed, ref: Ref, body: Body) -> str | None:
    return rollout.not_ready(ref, observed.owned[ref], observed.pods, rollout.template_hash_of(body))


def _unfinished(
    desired: Mapping[Ref, Body], differences: Mapping[Ref, str | None], unready: Mapping[Ref, str | None]
) -> dict[str, str]:
    """Steps that are not done yet, and what of them."""
    found: dict[str, str] = {}
    for ref in desired:
        why = differences[ref] or unready[ref]
        if why is not None:
            found.setdefault(_step(ref), why if ref.name in COMPONENTS else f"{ref}: {why}")
    return found


def _gate(
    observed: Observed, ref: Ref, body: Body, order: tuple[str, ...], unfinished: Mapping[str, str]
) -> str | None:
    """Why the object must not be written yet."""
    if ref.kind in REGISTRATIONS and ref not in observed.owned and not _virt_api_serves(observed, order, unfinished):
        # While an APIService has nobody behind it, discovery fails for the whole cluster, and behind a webhook every
        # request that it matches; so a new one waits, in a change of release until nobody is left who lacks it.
        return f"virt-api comes first: {unfinished.get('virt-api', 'no replica is available')}"
    if ref.kind in _WORKLOADS:
        # Pods whose Secret is not there yet would be retried by the kubelet only after a growing delay.
        if (secret := renewals.missing(observed, body)) is not None:
            return f"Secret {secret} is being made"
        if order:
            return rollout.blocked_by(ref.name, (DEFINITIONS, *order), unfinished)
    return None


def _virt_api_serves(observed: Observed, order: tuple[str, ...], unfinished: Mapping[str, str]) -> bool:
    if order and "virt-api" in unfinished:
        return False
    found = (live for ref, live in observed.owned.items() if (ref.kind, ref.name) == ("Deployment", "virt-api"))
    return any(live.status.get("availableReplicas", 0) > 0 for live in found)


def _retired(observed: Observed, desired: Mapping[Ref, Body]) -> tuple[Delete, ...]:
    """By which the API server is sent to a newer virt-api for what an older one does not serve."""
    return tuple(
        Delete(ref, live.metadata.uid, "not part of the release that comes back")
        for ref, live in sorted(observed.owned.items())
        if ref.kind in REGISTRATIONS and ref not in desired and live.metadata.deletion_timestamp is None
    )


def _replacements(observed: Observed, ref: Ref, body: Body) -> list[Action]:
    if ref.kind != "DaemonSet":
        return []
    found = rollout.replace_one(ref.name, observed.pods, rollout.template_hash_of(body))
    return [found] if found is not None else []


def _superfluous(observed: Observed, desired: Mapping[Ref, Body], strategy: InstallStrategy) -> list[Delete]:
    """Objects of an earlier release that this one does not have, once all of this one is ready. The strategy of what
    was installed before goes only when the status no longer says that it is."""
    assert observed.suite is not None
    secrets = renewals.secrets(desired.values(), observed.suite.metadata.namespace)
    kept = {name_of(one) for one in (strategy.deployment_id, observed.suite.status.observed_deployment_id) if one}
    return [
        Delete(ref, live.metadata.uid, "not part of this release")
        for ref, live in sorted(observed.owned.items())
        if ref not in desired
        and ref not in secrets
        and not (ref.kind in ("ConfigMap", "Job") and ref.name in kept)
        and live.metadata.deletion_timestamp is None
    ]
