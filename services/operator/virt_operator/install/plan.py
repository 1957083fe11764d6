"""What to do now, from what was seen: the one place that decides. Pure.

Called by the reconciler in each pass; what it returns is carried out by execute.py and reported by status.py. Every
pass starts from the cluster's state and trusts nothing that an earlier pass wrote, so any crash is just a later pass.

    spec.py → strategies.py → permissions.py → succession.py → [growth.py, drift.py, rollout.py] → cleanup
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from virt_core.api.labels import KUBEVIRT_FINALIZER

from virt_operator.certificates.plan import Due
from virt_operator.install import certificates, permissions, rollout, strategies, succession
from virt_operator.install.actions import (
    Action,
    AddFinalizer,
    Apply,
    Delete,
    WaitFor,
)
from virt_operator.install.drift import difference
from virt_operator.install.growth import grown
from virt_operator.install.observed import Observed, SuiteObject
from virt_operator.install.spec import RefusedSpec, install_settings
from virt_operator.install.versions import is_older
from virt_operator.settings import Settings
from virt_operator.strategy.install_strategy import InstallStrategy, name_of
from virt_operator.strategy.operator_rbac import operator_rbac
from virt_operator.strategy.ref import Body, Ref, ref_of
from virt_operator.strategy.settings import COMPONENTS, InstallSettings
from virt_operator.strategy.trust import trusting

PERMISSIONS, DEFINITIONS, REGISTRATION, CLEANUP = "Permissions", "Definitions", "Registration", "Cleanup"
_REGISTRATIONS = ("APIService", "ValidatingWebhookConfiguration", "MutatingWebhookConfiguration")


@dataclass(frozen=True, slots=True)
class Plan:
    """One pass's decision."""

    actions: tuple[Action, ...] = ()
    waits: tuple[WaitFor, ...] = ()
    """What keeps the suite from being as it should be, in the order of the steps."""

    settings: InstallSettings | None = None
    """What is being installed; None while nothing is, or the spec is refused."""

    created: bool = False
    """Every object is there and as desired."""

    refused: RefusedSpec | None = None
    next_deadline: datetime | None = None
    """When something falls due by itself."""

    operation: str = ""
    """ "Install", "Update", "Rollback" or "Removal"; "" if the suite is what it was."""

    missing: str = ""
    """Permissions that the operator lacks for what is installed, told while it does what it can."""


def plan(observed: Observed, operator: Settings) -> Plan:
    """Install, repair, change the release, or do nothing. A KubeVirt object that is being deleted is removal.py's."""
    if observed.suite is None:
        return Plan()
    if observed.unknown:
        return Plan(missing=_lacking(observed, operator.release, operator_rbac(_own(operator)), operator))
    due = certificates.due_now(observed)
    try:
        settings = install_settings(observed.suite.spec, operator)
    except RefusedSpec as refused:
        # What is installed goes on as it is, and its certificates must not run out meanwhile.
        actions = certificates.actions(observed, due) if due.authority is not None else ()
        return Plan(actions, refused=refused, next_deadline=due.next_deadline)
    return _towards(settings, observed, observed.suite, operator, due)


def _towards(settings: InstallSettings, observed: Observed, suite: SuiteObject, operator: Settings, due: Due) -> Plan:
    if KUBEVIRT_FINALIZER not in suite.metadata.finalizers:
        meta = suite.metadata
        add = AddFinalizer(meta.namespace, meta.name, meta.uid, tuple(meta.finalizers))
        return Plan((add,), (WaitFor("KubeVirt object", "its finalizer is being added", DEFINITIONS),), settings)
    found = strategies.search(observed, settings)
    if found.strategy is None:
        decided = _repair(observed, operator, due)
        decided = replace(decided, settings=settings, operation=_operation(suite, settings, backward=False))
        return replace(decided, actions=(*decided.actions, *found.actions), waits=(*found.waits, *decided.waits))
    lacking = _lacking(observed, found.strategy.release, found.strategy.operator, operator)
    changes = suite.status.observed_deployment_id != settings.deployment_id
    if lacking and changes:
        wait = WaitFor("permissions of virt-operator", lacking, PERMISSIONS)
        decided = replace(_repair(observed, operator, due), settings=settings, waits=(wait,), missing=lacking)
        return replace(decided, operation=_operation(suite, settings, backward=False))
    backward = changes and _backward(observed, found.strategy, settings)
    decided = _change(observed, operator, due, found.strategy, settings, backward=backward)
    operation = _operation(suite, settings, backward=backward)
    return replace(decided, actions=(*decided.actions, *found.actions), operation=operation, missing=lacking)


def _change(
    observed: Observed,
    operator: Settings,
    due: Due,
    strategy: InstallStrategy,
    settings: InstallSettings,
    *,
    backward: bool,
) -> Plan:
    """Towards `strategy`: the operator first, or last on the way back."""
    actions, waits = succession.move(observed, strategy, settings, operator)
    first = succession.goes_first(strategy, operator)
    if waits and first:
        certificates_due = certificates.actions(observed, due)
        return Plan((*certificates_due, *actions), waits, settings, next_deadline=due.next_deadline)
    decided = _install(observed, operator, due, strategy, settings, backward=backward)
    if waits and not decided.actions and not decided.waits:
        return replace(decided, actions=actions, waits=waits)
    return decided


def _repair(observed: Observed, operator: Settings, due: Due) -> Plan:
    """What is installed is kept as it should be while the strategy of what is asked for is not there."""
    installed = strategies.observed_strategy(observed)
    if installed is None:
        return Plan(certificates.actions(observed, due), next_deadline=due.next_deadline)
    decided = _install(observed, operator, due, installed, None, backward=False)
    kept = tuple(one for one in decided.actions if not isinstance(one, Delete))
    return replace(decided, actions=kept, waits=())


def _lacking(observed: Observed, release: str, needs: Iterable[Body], operator: Settings) -> str:
    if "permissions" in observed.unknown:
        return ""
    lacking = permissions.missing(observed.held, needs, operator.namespace)
    return permissions.told(lacking, release) if lacking else ""


def _own(operator: Settings) -> InstallSettings:
    return InstallSettings(operator.namespace, operator.registry, operator.tag)


def _backward(observed: Observed, strategy: InstallStrategy, settings: InstallSettings) -> bool:
    before = strategies.observed_strategy(observed)
    if before is not None:
        return is_older(strategy.release, before.release)
    assert observed.suite is not None
    return is_older(settings.tag, observed.suite.status.observed_kube_virt_version)


def _operation(suite: SuiteObject, settings: InstallSettings, *, backward: bool) -> str:
    if not suite.status.observed_deployment_id:
        return "Install"
    if suite.status.observed_deployment_id == settings.deployment_id:
        return ""
    return "Rollback" if backward else "Update"


def _install(
    observed: Observed,
    operator: Settings,
    due: Due,
    strategy: InstallStrategy,
    settings: InstallSettings | None,
    *,
    backward: bool,
) -> Plan:
    """`settings` None: only repair."""
    if due.authority is None:
        # Bundles and leaves rest on it, so it is made first; what it leads to is planned when it has been seen.
        first = WaitFor("certificate authority", "being made", DEFINITIONS)
        return Plan(certificates.actions(observed, due), (first,), settings)
    assert observed.suite is not None
    changing = observed.suite.status.observed_deployment_id not in ("", strategy.deployment_id)
    desired = _desired(observed, strategy, due.authority.bundle, changing=changing)
    differences = {ref: _difference(observed, ref, body) for ref, body in desired.items()}
    unready = {ref: _not_ready(observed, ref, body) for ref, body in desired.items() if differences[ref] is None}
    # A first installation has no order: nothing runs that could be disturbed. Nor has the repair of one release.
    order = () if not changing else rollout.UPDATE_ORDER[::-1] if backward else rollout.UPDATE_ORDER
    unfinished = _unfinished(desired, differences, unready)
    actions: list[Action] = [*certificates.actions(observed, due)]
    waits: list[WaitFor] = [*certificates.waits(due)]
    for ref, body in desired.items():
        why = differences[ref]
        if why is not None:
            gate = _gate(observed, operator.namespace, ref, order, unfinished)
            waits.append(WaitFor(str(ref), gate or "being written", _step(ref)))
            if gate is None:
                actions.append(Apply(ref, body, why))
        elif (waiting := unready[ref]) is not None:
            waits.append(WaitFor(str(ref), waiting, _step(ref)))
            actions += _replacements(observed, ref, body)
    created = not any(differences.values())
    if not waits:
        superfluous = _superfluous(observed, operator, desired, {strategy.deployment_id})
        actions += superfluous
        waits += [WaitFor(str(one.ref), "being removed: not part of this release", CLEANUP) for one in superfluous]
    return Plan(tuple(actions), _in_order(waits, order), settings, created, None, due.next_deadline)


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
    if ref.kind in ("Deployment", "DaemonSet"):
        return ref.name
    return REGISTRATION if ref.kind in _REGISTRATIONS else DEFINITIONS


def _in_order(waits: Iterable[WaitFor], order: tuple[str, ...]) -> tuple[WaitFor, ...]:
    steps = (strategies.STEP, DEFINITIONS, *(order or COMPONENTS), REGISTRATION, CLEANUP)
    return tuple(sorted(waits, key=lambda wait: steps.index(wait.step) if wait.step in steps else len(steps)))


def _difference(observed: Observed, ref: Ref, body: Body) -> str | None:
    live = observed.owned.get(ref)
    return "absent" if live is None else difference(body, live.content())


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
    observed: Observed, namespace: str, ref: Ref, order: tuple[str, ...], unfinished: Mapping[str, str]
) -> str | None:
    """Why the object must not be written yet."""
    if ref.kind in _REGISTRATIONS and ref not in observed.owned and not _virt_api_serves(observed, namespace):
        # While an APIService has nobody behind it, discovery fails for the whole cluster; so a new one waits.
        return f"virt-api comes first: {unfinished.get('virt-api', 'no replica is available')}"
    if ref.kind in ("Deployment", "DaemonSet"):
        # Pods whose Secret is not there yet would be retried by the kubelet only after a growing delay.
        if not certificates.has_leaf(observed, ref.name):
            return "its certificate is being made"
        if order:
            return rollout.blocked_by(ref.name, (DEFINITIONS, *order), unfinished)
    return None


def _virt_api_serves(observed: Observed, namespace: str) -> bool:
    live = observed.owned.get(Ref("Deployment", namespace, "virt-api"))
    return live is not None and live.status.get("availableReplicas", 0) > 0


def _replacements(observed: Observed, ref: Ref, body: Body) -> list[Action]:
    if ref.kind != "DaemonSet":
        return []
    found = rollout.replace_one(ref.name, observed.pods, rollout.template_hash_of(body))
    return [found] if found is not None else []


def _superfluous(
    observed: Observed, operator: Settings, desired: Mapping[Ref, Body], deployments: set[str]
) -> list[Delete]:
    """Objects of an earlier release that this one does not have, once all of this one is ready. The strategy of what
    was installed before goes only when the status no longer says that it is."""
    assert observed.suite is not None
    status = observed.suite.status
    secrets = certificates.secrets(operator.namespace)
    kept = {name_of(one) for one in (*deployments, status.observed_deployment_id) if one}
    return [
        Delete(ref, live.metadata.uid, "not part of this release")
        for ref, live in sorted(observed.owned.items())
        if ref not in desired
        and ref not in secrets
        and not (ref.kind in ("ConfigMap", "Job") and ref.name in kept)
        and live.metadata.deletion_timestamp is None
    ]
