"""Decides when the operator itself moves to the requested release. Pure; called by change/steps.py.

The newest operator drives. In an update the operator updates its own Deployment first, and its successor does the rest.
In a rollback it reverts the components first and itself last.
"""

from __future__ import annotations

from virt_core.conventions import components

from virt_operator.change import rollout
from virt_operator.change.versions import is_older
from virt_operator.settings import Settings
from virt_operator.strategy.install_strategy import InstallStrategy
from virt_operator.strategy.ref import ref_of
from virt_operator.strategy.settings import InstallSettings
from virt_operator.suite.actions import Action, ApplyOwn, WaitFor
from virt_operator.suite.observed import Observed

# Without permissions: these come with the manifest that a user applies, never from the operator itself.
_KINDS = ("Service", "PodDisruptionBudget", "Deployment")


def goes_first(strategy: InstallStrategy, operator: Settings) -> bool:
    """Whether the operator moves before the components."""
    return not is_older(strategy.release, operator.release)


def move(
    observed: Observed, strategy: InstallStrategy, settings: InstallSettings, operator: Settings
) -> tuple[tuple[Action, ...], tuple[WaitFor, ...]]:
    """Actions that move the operator to the image in `settings`; empty if this process already runs it."""
    same = (settings.registry, settings.tag) == (operator.registry, operator.tag)
    if same or observed.operator is None:  # None: started by hand, so not replaced
        return (), ()
    image = settings.image(components.OPERATOR)
    bodies = tuple(body for body in strategy.operator if body["kind"] in _KINDS)
    what = str(next(ref_of(body) for body in bodies if body["kind"] == "Deployment"))
    if image not in images(observed):
        return (ApplyOwn(bodies, f"moving to {image}"),), (WaitFor(what, f"moving to {image}"),)
    trouble = rollout.trouble(observed.operator_pods)
    return (), (WaitFor(what, f"its successor of {image} is not leading yet{trouble}"),)


def images(observed: Observed) -> list[str]:
    """Images of the operator's own Deployment."""
    if observed.operator is None:
        return []
    containers = observed.operator.content().get("spec", {}).get("template", {}).get("spec", {}).get("containers", [])
    return [container.get("image", "") for container in containers]
