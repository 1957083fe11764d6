"""What the page can do with a VM: which of it is possible now, and the subresource that does it. Pure.

The API decides whether it is done; this only keeps the page from offering what would be refused anyway.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from virt_core.conventions.subresources import GROUP, VERSIONS
from virt_core.kube.resource import Resource

_VM = Resource(GROUP, VERSIONS[0], "virtualmachines", "VirtualMachine")
_VMI = Resource(GROUP, VERSIONS[0], "virtualmachineinstances", "VirtualMachineInstance")


@dataclass(frozen=True, slots=True)
class Action:
    """A command of a VM."""

    subresource: str
    resource: Resource
    body: dict[str, Any] = field(default_factory=dict)

    def path(self, namespace: str, name: str) -> str:
        """Where it is PUT."""
        return self.resource.path(namespace, name, self.subresource)


ACTIONS = {
    "start": Action("start", _VM),
    "stop": Action("stop", _VM),
    "force-stop": Action("stop", _VM, {"gracePeriod": 0}),
    "restart": Action("restart", _VM),
    "migrate": Action("migrate", _VM),
    "pause": Action("pause", _VMI),
    "unpause": Action("unpause", _VMI),
}
STREAMS = ("console", "vnc")


def stream_path(namespace: str, name: str, stream: str) -> str:
    """The WebSocket of a guest's serial console or display."""
    return _VMI.path(namespace, name, stream)


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What decides which actions are offered."""

    has_vm: bool
    lives: bool
    """Whether there is a VirtualMachineInstance that has not ended."""

    runs: bool
    paused: bool
    migratable: bool
    migrates: bool


def possible(situation: Situation) -> list[str]:
    """The actions to offer, in the order of the page's buttons."""
    now = situation
    offered = {
        "start": now.has_vm and not now.lives,
        "stop": now.has_vm and now.lives,
        "restart": now.has_vm and now.lives,
        "pause": now.runs and not now.paused,
        "unpause": now.runs and now.paused,
        "migrate": now.has_vm and now.runs and now.migratable and not now.migrates,
        "force-stop": now.has_vm and now.lives,
    }
    return [name for name, offers in offered.items() if offers]
