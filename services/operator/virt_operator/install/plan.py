"""What to do now, from what was seen: the one place that decides. Pure.

Called by the reconciler in each pass; what it returns is carried out by execute.py and reported by status.py. Every
pass starts from the cluster's state and trusts nothing that an earlier pass wrote, so any crash is just a later pass.
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from datetime import datetime

from virt_core.api.labels import KUBEVIRT_FINALIZER

from virt_operator.certificates.plan import Due
from virt_operator.install import certificates, rollout
from virt_operator.install.actions import Action, AddFinalizer, Apply, Delete, WaitFor
from virt_operator.install.drift import difference
from virt_operator.install.observed import Observed
from virt_operator.install.spec import RefusedSpec, install_settings
from virt_operator.settings import Settings
from virt_operator.strategy.desired import desired_objects
from virt_operator.strategy.ref import Body, Ref, ref_of
from virt_operator.strategy.settings import COMPONENTS, InstallSettings


@dataclass(frozen=True, slots=True)
class Plan:
    """One pass's decision."""

    actions: tuple[Action, ...] = ()
    waits: tuple[WaitFor, ...] = ()
    """What keeps the suite from being as it should be."""

    settings: InstallSettings | None = None
    """What is being installed; None while nothing is, or the spec is refused."""

    created: bool = False
    """Every object is there and as desired."""

    refused: RefusedSpec | None = None
    next_deadline: datetime | None = None
    """When something falls due by itself."""


def plan(observed: Observed, operator: Settings) -> Plan:
    """Install, repair, or do nothing. A KubeVirt object that is being deleted is removal.py's."""
    suite = observed.suite
    if suite is None:
        return Plan()
    due = certificates.due_now(observed)
    try:
        settings = install_settings(suite.spec, operator)
    except RefusedSpec as refused:
        # What is installed goes on as it is, and its certificates must not run out meanwhile.
        actions = certificates.actions(observed, due) if due.authority is not None else ()
        return Plan(actions, refused=refused, next_deadline=due.next_deadline)
    if KUBEVIRT_FINALIZER not in suite.metadata.finalizers:
        meta = suite.metadata
        add = AddFinalizer(meta.namespace, meta.name, meta.uid, tuple(meta.finalizers))
        return Plan((add,), (WaitFor("KubeVirt object", "its finalizer is being added"),), settings)
    return _install(observed, operator, settings, due)


def _install(observed: Observed, operator: Settings, settings: InstallSettings, due: Due) -> Plan:
    if due.authority is None:
        # Bundles and leaves rest on it, so it is made first; what it leads to is planned when it has been seen.
        first = WaitFor("certificate authority", "being made")
        return Plan(certificates.actions(observed, due), (first,), settings)
    bundle = b64encode(due.authority.bundle).decode()
    desired = {ref_of(body): body for body in desired_objects(settings, bundle)}
    differences = {ref: _difference(observed, ref, body) for ref, body in desired.items()}
    unready = {ref: _not_ready(observed, ref, body) for ref, body in desired.items() if differences[ref] is None}
    unfinished = _unfinished(desired, differences, unready)
    actions: list[Action] = [*certificates.actions(observed, due)]
    waits: list[WaitFor] = [*certificates.waits(due)]
    for ref, body in desired.items():
        why = differences[ref]
        if why is not None:
            gate = _gate(observed, settings, ref, unfinished)
            waits.append(WaitFor(str(ref), gate or "being written"))
            if gate is None:
                actions.append(Apply(ref, body, why))
        elif (waiting := unready[ref]) is not None:
            waits.append(WaitFor(str(ref), waiting))
            actions += _replacements(observed, ref, body)
    created = not any(differences.values())
    if not actions and not waits:
        actions += _superfluous(observed, operator, desired)
    return Plan(tuple(actions), tuple(waits), settings, created, None, due.next_deadline)


def _difference(observed: Observed, ref: Ref, body: Body) -> str | None:
    live = observed.owned.get(ref)
    return "absent" if live is None else difference(body, live.content())


def _not_ready(observed: Observed, ref: Ref, body: Body) -> str | None:
    return rollout.not_ready(ref, observed.owned[ref], observed.pods, rollout.template_hash_of(body))


def _unfinished(
    desired: dict[Ref, Body], differences: dict[Ref, str | None], unready: dict[Ref, str | None]
) -> dict[str, str]:
    """Components that do not yet run as desired, and why."""
    found: dict[str, str] = {}
    for ref in desired:
        if ref.kind in ("Deployment", "DaemonSet") and ref.name in COMPONENTS:
            why = differences[ref] or unready[ref]
            if why is not None:
                found[ref.name] = why
    return found


def _gate(observed: Observed, settings: InstallSettings, ref: Ref, unfinished: dict[str, str]) -> str | None:
    """Why the object must not be written yet."""
    if ref.kind == "APIService" and ref not in observed.owned and not _virt_api_serves(observed, settings):
        # While an APIService has nobody behind it, discovery fails for the whole cluster; so a new one waits.
        return f"virt-api comes first: {unfinished.get('virt-api', 'no replica is available')}"
    if ref.kind in ("Deployment", "DaemonSet"):
        # Pods whose Secret is not there yet would be retried by the kubelet only after a growing delay.
        if not certificates.has_leaf(observed, ref.name):
            return "its certificate is being made"
        assert observed.suite is not None
        return rollout.blocked_by(ref.name, observed.suite, settings, unfinished)
    return None


def _virt_api_serves(observed: Observed, settings: InstallSettings) -> bool:
    live = observed.owned.get(Ref("Deployment", settings.namespace, "virt-api"))
    return live is not None and live.status.get("availableReplicas", 0) > 0


def _replacements(observed: Observed, ref: Ref, body: Body) -> list[Action]:
    if ref.kind != "DaemonSet":
        return []
    found = rollout.replace_one(ref.name, observed.pods, rollout.template_hash_of(body))
    return [found] if found is not None else []


def _superfluous(observed: Observed, operator: Settings, desired: dict[Ref, Body]) -> list[Action]:
    """Objects of an earlier release that this one does not have, once all of this one is ready."""
    secrets = certificates.secrets(operator.namespace)
    return [
        Delete(ref, live.metadata.uid, "not part of this release")
        for ref, live in sorted(observed.owned.items())
        if ref not in desired and ref not in secrets and live.metadata.deletion_timestamp is None
    ]
