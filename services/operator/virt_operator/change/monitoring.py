"""The step that brings the objects for a Prometheus of the Prometheus operator. Pure; called by steps.py.

Somebody else installs the kinds, and Prometheus itself, or does not, and may refuse every object. So nothing waits for
this step: what is missing is said in the condition Available, and a write that is refused is repeated later. In a
change of release the objects of the other release stay until all components are of the new one, whose series they ask
for.
"""

from __future__ import annotations

from collections.abc import Iterable

from virt_core.conventions.suite_status import CHANGES
from virt_core.objects.meta import rfc3339

from virt_operator.change.objects import ObjectState, brought, states_of
from virt_operator.change.situation import Progress, Situation
from virt_operator.strategy.monitoring import MONITOR, Place, is_monitoring, placed
from virt_operator.strategy.ref import FOREIGN, Body, Ref, ref_of
from virt_operator.suite.actions import Apply, Beside, Compare, Delete, Replace, WaitFor
from virt_operator.suite.prometheus import FIELDS, Prometheus, Wanted, wanted

_WHAT = "objects for Prometheus"


def monitoring(situation: Situation, earlier: Progress) -> Progress:
    """Write those whose kinds are served, and delete those that are not wanted."""
    wishes, known = wanted(situation.suite.spec), situation.observed.prometheus
    if wishes is None:
        return Progress()  # the spec is refused: they stay as they are
    if known.served and known.namespaces is None:
        why = f"the API server does not say where the service account {wishes.account} is: {known.trouble}"
        return Progress(later=(WaitFor(_WHAT, why),) if known.trouble else ())
    place = wishes.place(known.namespaces or frozenset())
    bodies = _bodies(situation, known, place)
    late = situation.operation in CHANGES and bool(earlier.waits)
    usable = [body for body in bodies if _kind_of(body["kind"]) not in known.unlisted]
    states = states_of(situation.observed, usable, b"", changing=False)
    found = Progress(later=tuple(_lacking(situation, wishes, known, place)))
    for state in states:
        begun = state.live is not None and situation.has_begun(state.live)
        if begun or not late:
            found = found.and_then(_brought(situation, state))
    return found if late else found.and_then(_removed(situation, set(map(ref_of, bodies))))


def _bodies(situation: Situation, known: Prometheus, place: Place | None) -> list[Body]:
    """What is wanted now, also of kinds that are not listed yet. The role is for those who scrape."""
    if place is None:
        return []
    return [body for body in placed(situation.strategy.monitoring, place) if _kind_of(body["kind"]) in known.served]


def _kind_of(kind: str) -> str:
    """The kind without which an object is of no use."""
    return kind if kind in FOREIGN else MONITOR


def _brought(situation: Situation, state: ObjectState) -> Progress:
    actions, waits = brought(situation.observed, [state], lambda _: None)
    found = Progress(later=() if actions else tuple(waits))
    for action in actions:
        if isinstance(action, Apply | Compare | Replace):
            found = found.and_then(_attempt(situation, state.ref, action))
    return found


def _removed(situation: Situation, desired: Iterable[Ref]) -> Progress:
    found = Progress()
    if situation.settings is None:
        return found  # the installed release is being repaired while another is requested
    for ref, live in sorted(situation.observed.owned.items()):
        if is_monitoring(ref) and ref not in desired and live.metadata.deletion_timestamp is None:
            deletion = Delete(ref, live.metadata.uid, "no Prometheus is to find it there")
            found = found.and_then(_attempt(situation, ref, deletion))
    return found


def _attempt(situation: Situation, ref: Ref, action: Apply | Compare | Replace | Delete) -> Progress:
    now, refused = situation.observed.now, situation.observed.prometheus.refused.get(ref)
    if refused is None or refused.action != action or not refused.at <= now < refused.until:
        return Progress((Beside(action),))
    why = f"{refused.why}; next attempt at {rfc3339(refused.until)}"
    return Progress(later=(WaitFor(str(ref), why),), deadline=refused.until)


def _lacking(situation: Situation, wishes: Wanted, known: Prometheus, place: Place | None) -> Iterable[WaitFor]:
    """What is missing, in a cluster that has something for Prometheus, or whose KubeVirt object names one."""
    if not known.served and not wishes.explicit:
        return
    if not situation.strategy.monitoring:
        if wishes.explicit:
            fields = ", ".join(f"spec.{name}" for name in FIELDS if situation.suite.spec.get(name))
            yield WaitFor(_WHAT, f"release {situation.strategy.release} has none, {fields} has no effect")
        return
    absent = [name for kind, name in FOREIGN.items() if kind not in known.served]
    if absent:
        yield WaitFor(_WHAT, f"not installed: CustomResourceDefinition {', '.join(absent)}")
    for kind, trouble in known.unlisted.items():
        if trouble:
            yield WaitFor(_WHAT, f"the API server does not list the {FOREIGN[kind]}: {trouble}")
    if known.served and place is None:
        where = " or ".join(wishes.namespaces)
        yield WaitFor(_WHAT, f"no service account {wishes.account} in namespace {where}, see spec.monitorNamespace")
