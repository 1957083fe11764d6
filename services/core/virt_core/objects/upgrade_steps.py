"""The steps of a change of the whole suite in their order, as virt-operator walks them. Pure.

For those who show a change: virt-operator's admin/ and virtadm. A release that is changed to may have others; a step
that is not here is shown where it is met. Released clients know these names: they do not change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from virt_core.conventions import components, suite_status

INSTALL_STRATEGY, OPERATOR = "InstallStrategy", "Operator"
_BEFORE = ("Finalizer", INSTALL_STRATEGY, "Permissions", "Level", "Pause", "WayBack")
_AFTER = ("Registration", "CommonInstancetypes", "Rollover", "Cleanup", "Monitoring")
_FINALIZE = "Finalize"

_UP = (components.HANDLER, "Hardware", components.CONTROLLER, components.API)
FORWARD = (*_BEFORE, OPERATOR, "Certificates", "Definitions", *_UP, *_AFTER, _FINALIZE)
"""Of an update."""

_BACK = ("Certificates", "Definitions", "Deregistration", components.API, components.CONTROLLER, components.HANDLER)
BACKWARD = (*_BEFORE, *_BACK, *_AFTER, OPERATOR, _FINALIZE)
"""Of a rollback, and without an order among the components of an installation."""

_CHANGES_ONLY = ("Level", "Pause", "WayBack", "Deregistration", OPERATOR, _FINALIZE)
DONE, NOW, TO_COME = "done", "now", "to come"


def components_after(component: str, *, backward: bool) -> Sequence[str]:
    """The components that are replaced after this one; none after one that is not here."""
    found = [name for name in (BACKWARD if backward else FORWARD) if name in components.INSTALLED]
    return found[found.index(component) + 1 :] if component in found else ()


def steps_of(operation: str, current: str) -> list[tuple[str, str]]:
    """Each step of `operation` with its state while `current` is the step; empty if the operation has no steps."""
    names = _names(operation)
    if not names:
        return []
    if not current:
        return [(name, TO_COME) for name in names]
    if current not in names:
        return [(current, NOW), *((name, TO_COME) for name in names)]
    place = names.index(current)
    return [(name, DONE if at < place else NOW if at == place else TO_COME) for at, name in enumerate(names)]


def _names(operation: str) -> Sequence[str]:
    by_operation: Mapping[str, Sequence[str]] = {
        suite_status.UPDATE: FORWARD,
        suite_status.ROLLBACK: BACKWARD,
        suite_status.INSTALL: [name for name in BACKWARD if name not in _CHANGES_ONLY],
    }
    return by_operation.get(operation, ())
