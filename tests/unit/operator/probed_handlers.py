"""Handlers that pass their probes or do not, and who was asked. Used by world.py."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from virt_core.objects.kubevirt import SilentGuest
from virt_operator.peers.answer import SuitePod
from virt_operator.suite.actions import Prove
from virt_operator.suite.observed import Fault, Probed, Survey


@dataclass
class ProbedHandlers:
    """A prober, and what the inventory keeps of its results."""

    broken: set[str] = field(default_factory=set)
    """Releases whose handlers fail."""

    asked: list[Prove] = field(default_factory=list)
    by_uid: dict[str, Probed] = field(default_factory=dict)
    hanging: dict[str, SilentGuest] = field(default_factory=dict)
    """Guests whose launchers do not answer, by node."""

    surveyed: list[str] = field(default_factory=list)
    """The nodes whose old handlers were asked, in order."""

    surveys: dict[str, Survey] = field(default_factory=dict)

    async def prove(self, action: Prove) -> Fault | None:
        self.asked.append(action)
        if action.release in self.broken:
            return Fault("machines", f"pod {action.pod.name} sees nothing")
        guest = self.hanging.get(action.pod.node)
        return Fault("launchers", guest.object) if guest is not None and guest.uid not in action.excused else None

    async def silent_guests(self, pod: SuitePod) -> tuple[SilentGuest, ...]:
        self.surveyed.append(pod.node)
        return (self.hanging[pod.node],) if pod.node in self.hanging else ()

    def probed(self, uid: str, now: datetime, fault: Fault | None) -> None:
        before = self.by_uid.get(uid)
        self.by_uid[uid] = Probed(before.first if before is not None else now, now, fault)

    def forget(self) -> None:
        """The operator's process dies, and with it what it has found."""
        self.by_uid, self.surveys = {}, {}

    def break_or_mend(self, release: str) -> None:
        """The handlers of a release fail their probes, or no longer."""
        self.broken ^= {release}
