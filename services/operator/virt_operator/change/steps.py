"""The steps of an installation, an update and a rollback, in their order. Pure; called by change/plan.py.

Each step returns its actions and waits; a step without waits is done. No state is kept: every pass walks all steps, so
a new leader continues from the cluster's state. In an ordered change the objects of a step wait until every earlier
step is done, so a step added to a tuple here blocks all later ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from virt_core.conventions import components
from virt_core.conventions.labels import KUBEVIRT_FINALIZER
from virt_core.objects.upgrade_steps import INSTALL_STRATEGY, OPERATOR

from virt_operator.change import finalize, hardware, monitoring, object_steps, renewals, succession, way_back
from virt_operator.change.situation import Progress, Situation
from virt_operator.strategy.ref import WORKLOADS
from virt_operator.suite.actions import AddFinalizer, WaitFor


@dataclass(frozen=True, slots=True)
class Step:
    """A named step."""

    name: str
    """The name in status.upgrade.step."""

    run: Callable[[Situation, Progress], Progress]
    """Called with the progress of the earlier steps of this pass."""

    first: bool = False
    """Until it is done no later step runs, and the installed release is repaired instead."""


@dataclass(frozen=True, slots=True)
class Walk:
    """The outcome of all steps."""

    progress: Progress
    stopped_at: Step | None
    """The step at which the walk stopped; None if all steps ran."""


def _finalizer(situation: Situation, _: Progress) -> Progress:
    meta = situation.suite.metadata
    if KUBEVIRT_FINALIZER in meta.finalizers:
        return Progress()
    return Progress((AddFinalizer(meta),), (WaitFor("KubeVirt object", "its finalizer is being added"),))


def _install_strategy(situation: Situation, _: Progress) -> Progress:
    found = situation.search
    actions = hardware.begun(situation) if found.strategy is None else ()
    return Progress((*found.actions, *actions), found.waits)


def _permissions(situation: Situation, _: Progress) -> Progress:
    if not situation.lacking or not situation.operation:
        return Progress()
    return Progress(waits=(WaitFor("permissions of virt-operator", situation.lacking),))


def _level(situation: Situation, _: Progress) -> Progress:
    refusal = way_back.refusal(situation)
    return Progress(waits=(WaitFor("KubeVirt object", refusal),)) if refusal else Progress()


def _way_back(situation: Situation, _: Progress) -> Progress:
    """Record the way back. Components are touched when the status names it."""
    opened = way_back.opened(situation)
    if opened is None:
        return Progress()
    why = f"the way back to {opened.version} is being recorded"
    return Progress(waits=(WaitFor("KubeVirt object", why),), way_back=opened)


def _pause(situation: Situation, _: Progress) -> Progress:
    """Hold a change of which no component is there yet. Later it is held between components and waves."""
    workloads = (live for ref, live in situation.observed.owned.items() if ref.kind in WORKLOADS)
    if not situation.held or any(situation.has_begun(live) for live in workloads):
        return Progress()
    return Progress(waits=(WaitFor("KubeVirt object", situation.held),))


def _operator_first(situation: Situation, _: Progress) -> Progress:
    # The operator stays when a change has stopped: an older one might try it again.
    if situation.stopped is not None or not succession.goes_first(situation.strategy, situation.operator):
        return Progress()
    return _moved(situation)


def _operator_last(situation: Situation, earlier: Progress) -> Progress:
    if situation.stopped is not None or succession.goes_first(situation.strategy, situation.operator):
        return Progress()
    if earlier.actions or earlier.waits:
        return Progress()
    moved = _moved(situation)
    if moved.waits and situation.held:
        return Progress(waits=tuple(replace(wait, why=situation.held) for wait in moved.waits))
    return moved


def _moved(situation: Situation) -> Progress:
    assert situation.settings is not None
    return Progress(*succession.move(situation.observed, situation.strategy, situation.settings, situation.operator))


def _certificates(situation: Situation, _: Progress) -> Progress:
    actions = renewals.actions(situation.observed, situation.due)
    if situation.due.authority is not None:
        return Progress(actions)
    # Bundles and leaves depend on the authority, so they are planned once it exists.
    return Progress(actions, (WaitFor("certificate authority", "being made"),))


def _rollover(situation: Situation, _: Progress) -> Progress:
    return Progress(waits=renewals.waits(situation.due))


_BEFORE = (
    Step("Finalizer", _finalizer, first=True),
    Step(INSTALL_STRATEGY, _install_strategy, first=True),
    Step("Permissions", _permissions, first=True),
    Step("Level", _level, first=True),
    Step("Pause", _pause, first=True),
    Step("WayBack", _way_back, first=True),
    Step(OPERATOR, _operator_first, first=True),
)
CERTIFICATES = Step("Certificates", _certificates, first=True)
_DEFINITIONS = Step("Definitions", object_steps.definitions)
_HANDLER, _CONTROLLER, _API = (
    Step(name, object_steps.component(name)) for name in (components.HANDLER, components.CONTROLLER, components.API)
)
_REGISTRATION = Step("Registration", object_steps.registration)
_INSTANCETYPES = Step("CommonInstancetypes", object_steps.defined)
_DEREGISTRATION = Step("Deregistration", object_steps.deregistration)
_AFTER = (
    _INSTANCETYPES,
    Step("Rollover", _rollover),
    Step("Cleanup", object_steps.cleanup),
    Step("Monitoring", monitoring.monitoring),
)
_LAST = (Step(OPERATOR, _operator_last), Step("Finalize", finalize.finalize))

_HARDWARE = Step(hardware.STEP, hardware.hardware)

OBJECTS_FORWARD = (CERTIFICATES, _DEFINITIONS, _HANDLER, _HARDWARE, _CONTROLLER, _API, _REGISTRATION, *_AFTER)
OBJECTS_BACKWARD = (CERTIFICATES, _DEFINITIONS, _DEREGISTRATION, _API, _CONTROLLER, _HANDLER, _REGISTRATION, *_AFTER)

FORWARD: tuple[Step, ...] = (*_BEFORE, *OBJECTS_FORWARD, *_LAST)
"""An update: a new virt-api or virt-controller never calls an old virt-handler with unknown features."""

BACKWARD: tuple[Step, ...] = (*_BEFORE, *OBJECTS_BACKWARD, *_LAST)
"""A rollback. Also used, without an order among the components, for installation and repair."""


def walk(steps: tuple[Step, ...], situation: Situation) -> Walk:
    """Run the steps, each with the progress of the earlier ones."""
    total = Progress()
    for step in steps:
        own = step.run(situation, total)
        waits = tuple(replace(wait, step=step.name) for wait in own.waits)
        total = total.and_then(replace(own, waits=waits))
        if step.first and waits:
            return Walk(total, step)
    return Walk(total, None)
