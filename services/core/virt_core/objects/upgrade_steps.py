"""The steps of a change of the whole suite in their order, as virt-operator walks them. Pure.

For those who show a change: virt-operator's admin/ and virtadm. A release that is changed to may have others; a step
that is not here is shown where it is met. Released clients know these names: they do not change.
"""

from __future__ import annotations

from collections.abc import Sequence

from virt_core.conventions import components

_BEFORE = ("Finalizer", "InstallStrategy", "Permissions", "Pause")
_COMPONENTS = (components.HANDLER, components.CONTROLLER, components.API)
_AFTER = ("Registration", "CommonInstancetypes", "Rollover", "Cleanup")
_OPERATOR = "Operator"

FORWARD = (*_BEFORE, _OPERATOR, "Certificates", "Definitions", *_COMPONENTS, *_AFTER)
"""Of an update."""

BACKWARD = (*_BEFORE, "Certificates", "Definitions", "Deregistration", *reversed(_COMPONENTS), *_AFTER, _OPERATOR)
"""Of a rollback, and without an order among the components of an installation."""

DONE, NOW, TO_COME = "done", "now", "to come"


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
    match operation:
        case "Update":
            return FORWARD
        case "Rollback":
            return BACKWARD
        case "Install":
            return [name for name in BACKWARD if name not in ("Deregistration", _OPERATOR)]
    return ()
