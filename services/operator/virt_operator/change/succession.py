"""When the operator itself moves to the release that is asked for. Pure; called by change/steps.py.

The newest operator drives: towards a newer release it moves first, all else stays as it is, and its successor does the
rest; towards an older one it takes the components back and moves last.
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

# Permissions are not among them: they come with the manifest that a user applies, never from the operator itself.
_KINDS = ("Service", "PodDisruptionBudget", "Deployment")


def goes_first(strategy: InstallStrategy, operator: Settings) -> bool:
    """Whether the operator moves before the components do."""
    return not is_older(strategy.release, operator.release)


def move(
    observed: Observed, strategy: InstallStrategy, settings: InstallSettings, operator: Settings
) -> tuple[tuple[Action, ...], tuple[WaitFor, ...]]:
    """What brings the operator to the image that `settings` ask for; nothing if this process runs it."""
    same = (settings.registry, settings.tag) == (operator.registry, operator.tag)
    if same or observed.operator is None:  # None: run by hand, and so replaced by hand
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
