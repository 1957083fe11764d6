"""Where a change of the suite is, and what an administrator can do next. Pure; called by summary.py."""

from __future__ import annotations

import msgspec
from virt_core.conventions import suite_status
from virt_core.objects.kubevirt import KubeVirt
from virt_core.objects.meta import Condition, condition_of
from virt_core.objects.upgrade_status import Stopped, Upgrade
from virt_core.objects.upgrade_steps import steps_of

IN_PROGRESS, PAUSED, GOING_BACK, STOPPED = "in progress", "paused", "going back", "stopped"
SOAKING, FINALIZED = "soaking", "finalized"
_WAITING = {
    suite_status.SOAKING: (SOAKING, "virtadm finalize to end the way back now, or virtadm rollback to go back"),
    suite_status.WAITING_FOR_ADMINISTRATOR: (
        "waiting for an administrator",
        "virtadm finalize to end the way back, or virtadm rollback to go back",
    ),
    suite_status.OLD_RELEASE_LIVES: (
        "waiting for the old release to end",
        "mend what the condition Finalized names; until then virtadm rollback goes back",
    ),
}
"""By the reason of the condition Finalized."""

_REFUSED = {
    suite_status.MISSING_PERMISSIONS: "apply kubevirt-operator.yaml of the requested release, or virtadm rollback",
    suite_status.LEVEL_TOO_LOW: "virtadm rollback withdraws the request",
}
"""What to do, by the reason of the condition Synchronized."""


class Step(msgspec.Struct, frozen=True, rename="camel"):
    """A step of the change."""

    name: str
    state: str
    """ "done", "now" or "to come"."""


class Change(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """Where the change is. The JSON of `-o json`: its names only grow."""

    state: str
    """ "in progress", "paused", "going back" (by itself), "stopped" (and back), "soaking", "finalized", …; "" if
    that is not known."""

    steps: list[Step] = []
    """Those of the operation, as far as this virtadm knows them."""

    next: str = ""
    """What to do; "" if there is nothing but to wait."""


def change_of(kubevirt: KubeVirt) -> Change:
    """Where it is."""
    upgrade, conditions = kubevirt.status.upgrade, kubevirt.status.conditions
    if not is_going_on(upgrade):
        return _afterwards(kubevirt)
    assert upgrade is not None
    if (stopped := upgrade.stopped) is not None:
        back = kubevirt.status.observed_kube_virt_version
        if upgrade.operation != suite_status.STOPPED:
            return _of(GOING_BACK, upgrade, f"nothing: {back} comes back by itself")
        again = f"mend what is named above, then virtadm upgrade --to {stopped.version}"
        return _of(STOPPED, upgrade, f"{again}; virtadm rollback to stay at {back}")
    if upgrade.paused_since:
        return _of(PAUSED, upgrade, "virtadm resume, or virtadm rollback")
    return _of(IN_PROGRESS, upgrade, _refused(conditions))


def is_going_on(upgrade: Upgrade | None) -> bool:
    """Whether a change is in progress or has stopped."""
    return upgrade is not None and bool(upgrade.operation)


def _of(state: str, upgrade: Upgrade, to_do: str) -> Change:
    steps = [Step(name, of_step) for name, of_step in steps_of(upgrade.operation, upgrade.step)]
    return Change(state=state, steps=steps, next=to_do)


def _afterwards(kubevirt: KubeVirt) -> Change:
    """Nothing is in progress: whether the last change can be undone."""
    finalized = condition_of(kubevirt.status.conditions, suite_status.FINALIZED)
    if finalized is None:
        return Change(state="", next=_refused(kubevirt.status.conditions))
    if finalized.status == "True":
        return Change(state=FINALIZED)
    state, to_do = _WAITING.get(finalized.reason, ("not finalized", ""))
    return Change(state=state, next=to_do)


def _refused(conditions: list[Condition]) -> str:
    found = condition_of(conditions, "Synchronized")
    return _REFUSED.get(found.reason, "") if found is not None and found.status == "False" else ""


def sentence(stopped: Stopped) -> str:
    """Why a change has stopped."""
    return (
        f"the {stopped.operation.lower()} to {stopped.version} has stopped at {stopped.component}: "
        f"{stopped.object} failed the probe {stopped.probe}: {stopped.message}"
    )
