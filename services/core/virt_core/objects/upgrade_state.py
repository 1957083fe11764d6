"""Where a KubeVirt object says that its suite is: what is installed, requested, in progress, and the way back. Pure.

Called by upgrade_request.py. The object may be of another release, so it is read tolerantly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from virt_core.conventions.suite_status import INSTALL, STOPPED, UPDATE

Json = dict[str, Any]
Release = tuple[str, str]
"""Tag and registry; ("", "") if there is none."""


@dataclass(frozen=True, slots=True)
class State:
    """What the KubeVirt object says."""

    deleted: bool
    installed: Release
    target: Release
    """What is requested."""

    way_back: Release
    way_back_since: str
    operation: str
    """ "" while nothing is in progress and nothing has stopped."""

    step: str
    stopped: Json
    """Why the requested change has stopped; {} if it has not."""

    registry: str
    """In the spec."""

    paused: bool

    @property
    def changes(self) -> bool:
        """Whether a change is in progress, that of a stopped one which goes back included."""
        return self.operation not in ("", STOPPED)

    @property
    def progress(self) -> str:
        """The change in progress, in words."""
        if self.stopped:
            return f"the {self.failed} to {self.target[0]} has stopped and goes back by itself"
        at = f" (step {self.step})" if self.step else ""
        article = "an" if self.operation in (UPDATE, INSTALL) else "a"
        return f"{article} {self.operation.lower()} to {self.target[0]} is in progress{at}"

    @property
    def failed(self) -> str:
        """What has stopped, in a word."""
        return text_of(self.stopped, "operation").lower() or "change"


def state_of(kubevirt: Json) -> State:
    """The state. A spec that virt-operator has not processed yet counts as an update that has begun."""
    status, spec = object_of(kubevirt, "status"), object_of(kubevirt, "spec")
    upgrade = object_of(status, "upgrade")
    stopped, operation = object_of(upgrade, "stopped"), text_of(upgrade, "operation")
    installed, target = _release(status, "observed"), _release(status, "target")
    requested = (text_of(spec, "imageTag") or target[0], text_of(spec, "imageRegistry") or target[1])
    if requested != target:
        stopped, operation, target = {}, operation if operation not in ("", STOPPED) else UPDATE, requested
    back = object_of(upgrade, "wayBack")
    tag = text_of(back, "version")
    return State(
        deleted=bool(text_of(object_of(kubevirt, "metadata"), "deletionTimestamp")),
        installed=installed,
        target=target,
        way_back=(tag, text_of(back, "registry") or installed[1]) if tag else ("", ""),
        way_back_since=text_of(back, "since"),
        operation=operation,
        step=text_of(upgrade, "step"),
        stopped=stopped,
        registry=text_of(spec, "imageRegistry"),
        paused=object_of(spec, "upgradeStrategy").get("paused") is True,
    )


def object_of(value: Json, key: str) -> Json:
    """The object in a field; {} if it is absent or of another type."""
    found = value.get(key)
    return found if isinstance(found, dict) else {}


def text_of(value: Json, key: str) -> str:
    """The text in a field; "" if it is absent or of another type."""
    found = value.get(key)
    return found if isinstance(found, str) else ""


def _release(status: Json, prefix: str) -> Release:
    registry = text_of(status, f"{prefix}KubeVirtRegistry") or text_of(status, "observedKubeVirtRegistry")
    return text_of(status, f"{prefix}KubeVirtVersion"), registry
