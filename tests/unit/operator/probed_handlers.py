"""Handlers that pass their probes or do not, and who was asked. Used by world.py."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from virt_operator.suite.actions import Prove
from virt_operator.suite.observed import Fault, Probed


@dataclass
class ProbedHandlers:
    """A prober, and what the inventory keeps of its results."""

    broken: set[str] = field(default_factory=set)
    """Releases whose handlers fail."""

    asked: list[Prove] = field(default_factory=list)
    by_uid: dict[str, Probed] = field(default_factory=dict)

    async def prove(self, action: Prove) -> Fault | None:
        self.asked.append(action)
        return Fault("machines", f"pod {action.pod.name} sees nothing") if action.release in self.broken else None

    def probed(self, uid: str, now: datetime, fault: Fault | None) -> None:
        before = self.by_uid.get(uid)
        self.by_uid[uid] = Probed(before.first if before is not None else now, now, fault)

    def break_or_mend(self, release: str) -> None:
        """The handlers of a release fail their probes, or no longer."""
        self.broken ^= {release}
