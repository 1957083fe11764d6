"""status.upgrade of the KubeVirt object: a change of the suite, why it has stopped, and the way back. Pure; a part of
kubevirt.py, and not of KubeVirt's API.

Operators of other releases decode it: fields are only added, with defaults.
"""

from __future__ import annotations

import msgspec

FIRST_LEVEL = 1
"""The feature level of release 0.1.0, whose operator writes no level."""


class Waiting(msgspec.Struct, frozen=True, rename="camel"):
    """An object that the operator waits for."""

    object: str
    """Kind and name, for example "DaemonSet kubevirt/virt-handler"."""

    reason: str
    since: str
    """RFC 3339."""


class SilentGuest(msgspec.Struct, frozen=True, rename="camel"):
    """A guest whose launcher did not answer before its node's virt-handler was replaced, so it proves nothing."""

    uid: str
    object: str
    """Namespace and name of the VirtualMachineInstance."""

    message: str = ""
    """What the virt-handler of before said."""


class Wave(msgspec.Struct, frozen=True, rename="camel"):
    """The nodes whose virt-handler is being replaced, or was replaced last."""

    number: int
    """1 is the first, the canary."""

    template: str
    """Hash of the pods' template: a wave of another one does not count."""

    nodes: list[str]
    since: str
    """When it began, RFC 3339."""

    proven: str = ""
    """When every handler of it had passed its probes, RFC 3339; "" before."""

    silent: list[SilentGuest] = []
    """Of its nodes and of those of earlier waves."""


class Stopped(msgspec.Struct, frozen=True, rename="camel"):
    """Why an update or a rollback went back by itself. It is not tried again before somebody asks for it."""

    target: str
    """The target's deployment ID."""

    version: str
    release: str
    operation: str
    """ "Update" or "Rollback"."""

    component: str
    """For example "virt-handler"."""

    object: str
    """What failed its probe, for example "node node1"."""

    probe: str
    message: str
    at: str
    """RFC 3339."""

    retry: str = ""
    """Value of the annotation that asks for another try, at that time."""

    nodes: list[str] = []
    """The nodes of the wave."""


class LedgerEntry(msgspec.Struct, frozen=True):
    """Something that a roll back would not bring back, or not as it is."""

    object: str
    """Kind and name, for example "VirtualMachine default/vm1"."""

    field: str
    why: str


class WayBack(msgspec.Struct, frozen=True, rename="camel"):
    """The release to which a roll back is open, until the upgrade is finalized."""

    version: str
    """The tag of its images."""

    registry: str
    release: str
    level: int
    """Its feature level."""

    deployment_id: str = msgspec.field(default="", name="deploymentID")
    since: str = ""
    """When the update began, RFC 3339."""

    proven_at: str = ""
    """When it was complete, RFC 3339; "" before."""

    hardware_at: str = ""
    """When it became clear what both releases know of hardware, or that it stays unknown; "" before. RFC 3339."""

    hardware_of: str = ""
    """Which launchers have been asked: kubevirt.io/launchers of the pod that they have printed it in."""

    hardware_unknown: str = ""
    """Why the following fields are empty; "" if they are not."""

    machine_types: dict[str, str] = {}
    """By alias, the newest machine type that QEMU of both releases knows."""

    known_machine_types: list[str] = []
    """Those that the release to go back to knows, without aliases."""

    cpu_models: list[str] = []
    """Those that both know."""

    cpu_features: list[str] | None = None
    """Those that both know; None: a release does not say."""

    ledger: list[LedgerEntry] = []
    """What a roll back would not bring back: when the update was complete, and about every ten minutes since."""

    refusals: list[str] = []
    """Why the upgrade cannot be finalized yet, although it has been asked for or is due."""


class Upgrade(msgspec.Struct, frozen=True, rename="camel"):
    """The operation in progress or the one that has stopped, and what outlasts it. Not a field of KubeVirt's API.

    Releases from 0.1.0 on decode this: `operation`, `step` and `since` are always written, as strings."""

    operation: str = ""
    """ "Install", "Update", "Rollback", "Removal" or "Stopped"; "" without one."""

    step: str = ""
    since: str = ""
    """When the step began, RFC 3339."""

    started_at: str = ""
    from_version: str = ""
    to_version: str = ""
    waiting_for: list[Waiting] = []
    paused_since: str = ""
    """RFC 3339; "" while it is not paused."""

    wave: Wave | None = None
    stopped: Stopped | None = None
    way_back: WayBack | None = None
    """None: finalized, or the first release of this cluster."""

    level: int = 0
    """The cluster's feature level: the lowest of all components, and until an upgrade is finalized that of the release
    before. 0: unknown."""

    finalized_by: str = ""
    """Value of the annotation kubevirt.io/finalize-upgrade that has done what it is for; "" if that has another."""


def finalizing(version: str, since: str) -> str:
    """The value of the annotation kubevirt.io/finalize-upgrade for one upgrade to `version`: the one whose way back is
    open `since`."""
    return f"{version}@{since}" if since else version
