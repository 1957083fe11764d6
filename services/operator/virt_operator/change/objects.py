"""Compares each object of a strategy with the live one, and plans the write that makes them equal. Pure.

`states_of` is called once per pass by situation.py, `brought` by the steps (steps.py) for their own objects.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from virt_core.objects.meta import rfc3339

from virt_operator.change import rollout
from virt_operator.change.grants import is_left_alone, refusal
from virt_operator.change.growth import grown
from virt_operator.strategy.ref import DEFINED, Body, Ref, ref_of
from virt_operator.strategy.trust import trusting
from virt_operator.suite.actions import Action, Apply, Compare, Replace, WaitFor
from virt_operator.suite.drift import desired_parts, difference, part_difference
from virt_operator.suite.observed import Observed, OwnedObject
from virt_operator.suite.repairs import held_until, next_attempt


@dataclass(frozen=True, slots=True)
class ObjectState:
    """An object of the strategy and its live state."""

    ref: Ref
    body: Body
    """The desired object for this cluster."""

    live: OwnedObject | None
    difference: str | None
    """ "absent" or the path of the first difference; None if the live object is as desired."""

    unready: str | None
    """Why the object is not ready although it is as desired."""

    refused: str | None = None
    """Why the operator may not write the object (grants.py)."""

    left: bool = False
    """Whether it is left as it is for now, because the operator may not write it (grants.py)."""

    @property
    def unfinished(self) -> str | None:
        """The difference, or else the reason why the object is not ready."""
        return self.difference or self.unready


Gate = Callable[[ObjectState], str | None]
"""Why an object must not be written yet."""


def states_of(observed: Observed, bodies: Iterable[Body], bundle: bytes, *, changing: bool) -> tuple[ObjectState, ...]:
    """The states of a strategy's objects in their order. While `changing`, pods of another release may run, so
    permissions only grow. `bundle` is the PEM of the CAs by which the API server trusts virt-api."""
    authorities = b64encode(bundle).decode()
    return tuple(_state(observed, trusting(body, authorities), changing) for body in bodies)


def _state(observed: Observed, wanted: Body, changing: bool) -> ObjectState:
    ref = ref_of(wanted)
    live = observed.owned.get(ref)
    if live is None:
        return ObjectState(ref, wanted, None, "absent", None)
    if is_left_alone(observed, ref, wanted, live, changing=changing):
        return ObjectState(ref, wanted, live, None, None, left=True)
    content = live.content()
    body = grown(wanted, content, updating=changing)
    differs = difference(body, content) or _addition(observed, ref, body, live)
    unready = None
    if differs is None:
        unready = rollout.not_ready(ref, live, observed, rollout.template_hash_of(body))
    refused = refusal(observed, ref, wanted, live, changing=changing)
    return ObjectState(ref, body, live, differs, unready, refused)


def _addition(observed: Observed, ref: Ref, body: Body, live: OwnedObject) -> str | None:
    """The first part that somebody added, as far as it is known."""
    if ref.kind in DEFINED:
        return part_difference(body, live)
    compared = observed.compared.get(ref)
    return compared.difference if compared is not None and compared.answers(body, live) else None


def brought(observed: Observed, states: Iterable[ObjectState], gate: Gate) -> tuple[list[Action], list[WaitFor]]:
    """The writes that make these objects as desired, unless `gate` holds them back, and the waits."""
    actions: list[Action] = []
    waits: list[WaitFor] = []
    for state in states:
        if state.difference is not None:
            held = gate(state) or state.refused or _repaired_in_vain(observed, state, state.difference)
            waits.append(WaitFor(str(state.ref), held or "being written"))
            actions += [_write(state, state.difference)] if held is None else []
            continue
        if state.unready is not None:
            waits.append(WaitFor(str(state.ref), state.unready))
        actions += _comparison(observed, state)
    return actions, waits


def next_repair(observed: Observed) -> datetime | None:
    """The next retry of an ineffective repair."""
    due = [moment for repair in observed.repairs.values() if (moment := next_attempt(repair)) is not None]
    return min((moment for moment in due if moment > observed.now), default=None)


def _write(state: ObjectState, why: str) -> Action:
    if state.live is None:
        return Apply(state.ref, state.body, why)
    return Replace(state.ref, state.body, state.live, why)


def _comparison(observed: Observed, state: ObjectState) -> list[Action]:
    """For an object without missing parts: a dry run that finds additions and changes by others."""
    live, compared = state.live, observed.compared.get(state.ref)
    if state.left:
        return []
    if state.ref.kind in DEFINED:
        return []  # compared without a request
    if live is None or not (desired_parts(state.body) or live.parts):
        return []
    known = compared is not None and compared.answers(state.body, live)
    return [] if known else [Compare(state.ref, state.body, live)]


def _repaired_in_vain(observed: Observed, state: ObjectState, why: str) -> str | None:
    """Why an object is not written now: admission changes every write. One that is absent is always written."""
    if state.live is None:
        return None
    due = held_until(observed.repairs.get(state.ref), state.body, observed.now)
    if due is None:
        return None
    return f"{why} is changed by each write, perhaps by a webhook of somebody else; next attempt at {rfc3339(due)}"
