"""The rules of KubeVirt's ClusterRoles for users, v1.8, as a table. Used by unit and end-to-end tests.

All of KubeVirt's kinds are listed: a test takes those whose CRD this suite has, so a new kind needs no new line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import product
from typing import NamedTuple

SUBRESOURCES = "subresources.kubevirt.io"


class Permission(NamedTuple):
    """One verb of one resource."""

    role: str
    verb: str
    group: str
    resource: str

    @property
    def kind(self) -> str:
        """The name of the CRD that the resource has, if it is a kind of its own."""
        return f"{self.resource}.{self.group}"


_SEE = "get list watch"
_EDIT = f"{_SEE} create update patch delete"
_ADMIN = f"{_EDIT} deletecollection"
_BY_ROLE = {"admin": _ADMIN, "edit": _EDIT, "view": _SEE}

# Source: kubevirt/pkg/virt-operator/resource/generate/rbac/cluster.go
_KINDS = {
    "kubevirt.io": "virtualmachines virtualmachineinstances virtualmachineinstancepresets "
    "virtualmachineinstancereplicasets",
    "instancetype.kubevirt.io": "virtualmachineinstancetypes virtualmachineclusterinstancetypes "
    "virtualmachinepreferences virtualmachineclusterpreferences",
    "pool.kubevirt.io": "virtualmachinepools",
    "snapshot.kubevirt.io": "virtualmachinesnapshots virtualmachinesnapshotcontents virtualmachinerestores",
    "export.kubevirt.io": "virtualmachineexports",
    "clone.kubevirt.io": "virtualmachineclones",
    "backup.kubevirt.io": "virtualmachinebackups virtualmachinebackuptrackers",
}
_MIGRATIONS = ("kubevirt.io", "virtualmachineinstancemigrations")
_POLICIES = ("migrations.kubevirt.io", "migrationpolicies")

_VMI, _VM = "virtualmachineinstances", "virtualmachines"
_READ = (
    f"{_VMI}/guestosinfo {_VMI}/filesystemlist {_VMI}/userlist {_VMI}/objectgraph {_VMI}/sev/fetchcertchain "
    f"{_VMI}/sev/querylaunchmeasurement {_VM}/expand-spec {_VM}/objectgraph"
)
_OPEN = f"{_VMI}/console {_VMI}/vnc {_VMI}/portforward {_VMI}/usbredir {_VM}/portforward"
_COMMAND = (
    f"{_VMI}/pause {_VMI}/unpause {_VMI}/freeze {_VMI}/unfreeze {_VMI}/reset {_VMI}/softreboot {_VMI}/addvolume "
    f"{_VMI}/removevolume {_VMI}/evacuate/cancel {_VMI}/sev/setupsession {_VMI}/sev/injectlaunchsecret "
    f"{_VM}/start {_VM}/stop {_VM}/restart {_VM}/addvolume {_VM}/removevolume {_VM}/memorydump {_VM}/evacuate/cancel"
)
_SUBRESOURCES = {
    "admin": {"get": f"{_READ} {_OPEN} {_VMI}/vnc/screenshot", "update": f"{_COMMAND} expand-vm-spec"},
    "edit": {"get": f"{_READ} {_OPEN}", "update": f"{_COMMAND} expand-vm-spec"},
    "view": {"get": _READ, "update": "expand-vm-spec"},
    "migrate": {"update": f"{_VM}/migrate"},
    "default": {"get": "version guestfs", "list": "version guestfs"},
}

NOT_IN_KUBEVIRT = (Permission("kubevirt.io:default", "get", SUBRESOURCES, "healthz"),)
"""What this suite grants beyond KubeVirt's rules."""

GRANTED_TO_NOBODY = tuple(f"{_VMI}/backup {_VMI}/redefine-checkpoint {_VMI}/vsock {_VM}/removememorydump".split())
"""Subresources that no role of KubeVirt's grants: for administrators of the cluster."""


def kubevirts(kinds: Iterable[str]) -> set[Permission]:
    """Every permission of KubeVirt's roles about these kinds, as their CRDs are named, and about subresources."""
    there = {*kinds, "kubevirts.kubevirt.io"}
    found = set(_of_subresources())
    found |= {permission for permission in _of_kinds() if permission.kind in there}
    return found | set(NOT_IN_KUBEVIRT)


def _of_kinds() -> Iterator[Permission]:
    every = [(group, resource) for group, resources in _KINDS.items() for resource in resources.split()]
    for role, verbs in _BY_ROLE.items():
        for verb, (group, resource) in product(verbs.split(), every):
            yield Permission(f"kubevirt.io:{role}", verb, group, resource)
        for verb, (group, resource) in product(_SEE.split(), (_MIGRATIONS, _POLICIES)):
            yield Permission(f"kubevirt.io:{role}", verb, group, resource)
    for verb in _ADMIN.split():
        yield Permission("kubevirt.io:migrate", verb, *_MIGRATIONS)
    for role, verb in product(("default", "edit", "view"), ("get", "list")):
        yield Permission(f"kubevirt.io:{role}", verb, "kubevirt.io", "kubevirts")
    cluster_kinds = ("virtualmachineclusterinstancetypes", "virtualmachineclusterpreferences")
    for verb, resource in product(_SEE.split(), cluster_kinds):
        yield Permission("instancetype.kubevirt.io:view", verb, "instancetype.kubevirt.io", resource)


def _of_subresources() -> Iterator[Permission]:
    for role, by_verb in _SUBRESOURCES.items():
        for verb, names in by_verb.items():
            for name in names.split():
                yield Permission(f"kubevirt.io:{role}", verb, SUBRESOURCES, name)
