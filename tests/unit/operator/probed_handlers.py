"""Handlers that pass their probes or do not, and who was asked. Used by world.py."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from virt_core.objects.upgrade_status import SilentGuest
from virt_operator.peers.answer import SuitePod
from virt_operator.suite.actions import Prove, ProveWork
from virt_operator.suite.observed import Fault, Outcome, Probed, Survey


@dataclass
class ProbedHandlers:
    """A prober, and what the inventory keeps of its results."""

    broken: set[str] = field(default_factory=set)
    """Releases whose handlers fail."""

    refusing: set[str] = field(default_factory=set)
    """Components whose new pods fail."""

    asked: list[Prove] = field(default_factory=list)
    by_uid: dict[str, Probed] = field(default_factory=dict)
    hanging: dict[str, SilentGuest] = field(default_factory=dict)
    """Guests whose launchers do not answer, by node."""

    idle: bool = False
    """Whether new virt-controllers lead and do nothing."""

    guests: dict[str, Outcome] = field(default_factory=dict)
    """What became of the guest with which a handler was proven, by node; by default it ran and ended."""

    worked: list[ProveWork] = field(default_factory=list)
    works: dict[str, Probed] = field(default_factory=dict)
    surveyed: list[str] = field(default_factory=list)
    """The nodes whose old handlers were asked, in order."""

    surveys: dict[str, Survey] = field(default_factory=dict)

    async def prove(self, action: Prove) -> Fault | None:
        self.asked.append(action)
        if action.pod.component in self.refusing:
            return Fault("admission", "refuses a valid VirtualMachineInstance")
        if action.release in self.broken:
            return Fault("machines", f"pod {action.pod.name} sees nothing")
        guest = self.hanging.get(action.pod.node)
        return Fault("launchers", guest.object) if guest is not None and guest.uid not in action.excused else None

    async def prove_work(self, action: ProveWork) -> Outcome:
        self.worked.append(action)
        if action.pod.component == "virt-controller":
            return Outcome(Fault("reconciles", "has no phase") if self.idle else None)
        return self.guests.get(action.pod.node, Outcome())

    async def silent_guests(self, pod: SuitePod) -> tuple[SilentGuest, ...]:
        self.surveyed.append(pod.node)
        return (self.hanging[pod.node],) if pod.node in self.hanging else ()

    @property
    def handlers(self) -> list[Prove]:
        """Those of virt-handler that were asked."""
        return [action for action in self.asked if action.pod.component == "virt-handler"]

    @property
    def guests_on(self) -> list[str]:
        """The nodes of the guests with which handlers were proven, in order."""
        return [action.pod.node for action in self.worked if action.pod.component == "virt-handler"]

    def probed(self, uid: str, now: datetime, fault: Fault | None) -> None:
        before = self.by_uid.get(uid)
        self.by_uid[uid] = Probed(before.first if before is not None else now, now, fault)

    def remember_work(self, uid: str, now: datetime, outcome: Outcome) -> None:
        before = self.works.get(uid)
        self.works[uid] = Probed(before.first if before is not None else now, now, outcome.fault, outcome.skipped)

    def forget(self) -> None:
        """The operator's process dies, and with it what it has found."""
        self.by_uid, self.surveys, self.works = {}, {}, {}

    def break_or_mend(self, release: str) -> None:
        """The handlers of a release fail their probes, or no longer."""
        self.broken ^= {release}
