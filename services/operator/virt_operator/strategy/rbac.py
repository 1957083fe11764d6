"""Service accounts of the components and the permissions that they need. Pure; called by desired.py.

Users' roles are in user_roles.py. Rules for objects of the suite's own namespace are Roles, all others ClusterRoles.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from virt_core.conventions import accounts, components
from virt_core.conventions import apiserver_authentication as authentication

from virt_operator.strategy.ref import KINDS, Body
from virt_operator.strategy.rules import rule

REMOVAL = "kubevirt-operator-removal"
"""ClusterRole and binding."""

_VMIS = "virtualmachineinstances"
_VMS = "virtualmachines"
_REPLICA_SETS = "virtualmachineinstancereplicasets"
_MIGRATIONS = "virtualmachineinstancemigrations"
_INSTANCETYPE_GROUP = "instancetype.kubevirt.io"
_INSTANCETYPES = tuple(
    f"virtualmachine{scope}{what}" for scope in ("", "cluster") for what in ("instancetypes", "preferences")
)
"""Instance types and preferences."""


@dataclass(frozen=True, slots=True)
class Account:
    """A component's service account and its permissions."""

    name: str
    cluster: tuple[Body, ...]
    """Everywhere."""

    local: tuple[Body, ...]
    """In the suite's namespace."""


def _instancetypes(*verbs: str) -> list[Body]:
    return [rule(_INSTANCETYPE_GROUP, kind, *verbs) for kind in _INSTANCETYPES]


_CONFIGURATION = rule("kubevirt.io", "kubevirts", "list", "watch")
_EVENTS = rule("events.k8s.io", "events", "create")

ACCOUNTS = (
    Account(
        accounts.API,
        (
            rule("authorization.k8s.io", "subjectaccessreviews", "create"),
            rule("", "persistentvolumeclaims", "get"),  # of which a VM's instance type is inferred
            rule("", "pods", "get"),  # a launcher pod that is to be evicted
            # patch: the grace period of a forced stop, the mark of an evacuation
            rule("kubevirt.io", _VMIS, "get", "patch"),
            rule("kubevirt.io", _VMS, "get", "patch"),
            rule("kubevirt.io", f"{_VMS}/status", "patch"),
            rule("kubevirt.io", _MIGRATIONS, "create", "list"),  # list: those of a guest in progress
            rule("", "nodes", "get"),  # is the node drained from which an evacuation is cancelled
            *_instancetypes("get"),  # that a VirtualMachine names
            rule("apps", "controllerrevisions", "get"),  # of one that a VirtualMachine has been given before
        ),
        # The handler of a VM's node; the configuration, for webhooks and for the group's own "healthz".
        (rule("", "pods", "list", "watch"), _CONFIGURATION),
    ),
    Account(
        accounts.CONTROLLER,
        (
            rule("kubevirt.io", _VMIS, "get", "list", "watch", "patch", "create", "delete"),
            rule("kubevirt.io", f"{_VMIS}/finalizers", "update"),  # ownerReferences that block the owner's deletion
            rule("kubevirt.io", _VMS, "get", "list", "watch", "patch"),
            rule("kubevirt.io", f"{_VMS}/status", "patch"),
            rule("kubevirt.io", f"{_VMS}/finalizers", "update"),  # as above
            rule("kubevirt.io", _REPLICA_SETS, "get", "list", "watch"),
            rule("kubevirt.io", f"{_REPLICA_SETS}/status", "patch"),
            rule("kubevirt.io", f"{_REPLICA_SETS}/finalizers", "update"),  # as above
            rule("kubevirt.io", _MIGRATIONS, "get", "list", "watch", "create", "patch", "delete"),
            rule("kubevirt.io", f"{_MIGRATIONS}/status", "patch"),
            rule("migrations.kubevirt.io", "migrationpolicies", "list", "watch"),
            # What a guest was started with; the instance type and the preference that its VirtualMachine keeps.
            rule("apps", "controllerrevisions", "create", "get", "delete"),
            *_instancetypes("list", "watch"),
            rule("", "pods", "create", "get", "list", "watch", "delete"),
            rule("", "pods", "patch"),  # what the descheduler reads in annotations
            rule("", "pods/eviction", "create"),  # of guests whose outdated launchers are replaced by eviction
            rule("", "pods/status", "patch"),  # the readiness gate of a pod to which a guest has migrated
            rule("", "persistentvolumeclaims", "get"),  # of VMIs that name one: file system or device, how large
            rule("", "resourcequotas", "list"),  # of a namespace in which a launcher pod was refused: does it
            rule("", "limitranges", "list"),  # ask for limits, and which ratio has
            # Labels, by which MigrationPolicies select; the launcher that new guests get by default.
            rule("", "namespaces", "get", "list", "watch"),
            rule("", "nodes", "get", "list", "watch", "patch"),  # who is unreachable; where no guest may be placed
            # Its own; those about a launcher pod whose first container does not start.
            rule("events.k8s.io", "events", "create", "list"),
        ),
        (
            _CONFIGURATION,
            rule("kubevirt.io", "kubevirts/status", "patch"),  # how many launchers are outdated
            rule("coordination.k8s.io", "leases", "create"),
            rule("coordination.k8s.io", "leases", "list", "watch", "patch", names=[components.CONTROLLER]),
        ),
    ),
    Account(
        accounts.HANDLER,
        (
            rule("kubevirt.io", _VMIS, "list", "watch", "patch"),
            _EVENTS,
            rule("certificates.k8s.io", "certificatesigningrequests", "create", "list", "watch"),
            rule("", "nodes", "patch"),  # its own: heartbeat and labels
        ),
        (_CONFIGURATION,),
    ),
)


def component_rbac(namespace: str) -> list[Body]:
    """Service accounts, roles and bindings of the three components."""
    objects: list[Body] = []
    for account in ACCOUNTS:
        subject = service_account_subject(account.name, namespace)
        objects += [
            {
                "apiVersion": "v1",
                "kind": "ServiceAccount",
                "metadata": {"name": account.name, "namespace": namespace},
            },
            cluster_role(account.name, account.cluster),
            cluster_role_binding(account.name, account.name, subject),
            role(account.name, namespace, account.local),
            role_binding(account.name, namespace, account.name, subject),
        ]
    subject = service_account_subject(accounts.API, namespace)
    # The certificate authority and names of the front proxy, which virt-api must know to trust X-Remote headers.
    return [*objects, role_binding(accounts.API, authentication.NAMESPACE, authentication.READER, subject)]


def service_account_subject(name: str, namespace: str) -> Body:
    """A service account as the subject of a binding."""
    return {"kind": "ServiceAccount", "name": name, "namespace": namespace}


def removal(objects: Iterable[Body], namespace: str) -> list[Body]:
    """The permission to remove what a release installs, for whichever operator is there.

    The operator's own roles come with its manifest. Where an older manifest is applied over a newer release they do not
    name what only the newer one has. This role comes with the release, and holds the names of both until the change
    is done (change/growth.py).
    """
    names: dict[str, list[str]] = {}
    for body in objects:
        if not KINDS[body["kind"]].namespaced:
            names.setdefault(body["kind"], []).append(body["metadata"]["name"])
    rules = [rule(KINDS[kind].group, KINDS[kind].plural, "delete", names=names[kind]) for kind in sorted(names)]
    subject = service_account_subject(accounts.OPERATOR, namespace)
    return [cluster_role(REMOVAL, tuple(rules)), cluster_role_binding(REMOVAL, REMOVAL, subject)]


def cluster_role(name: str, rules: tuple[Body, ...]) -> Body:
    """A ClusterRole."""
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": name},
        "rules": list(rules),
    }


def role(name: str, namespace: str, rules: tuple[Body, ...]) -> Body:
    """A Role."""
    body = cluster_role(name, rules)
    return {**body, "kind": "Role", "metadata": {"name": name, "namespace": namespace}}


def cluster_role_binding(name: str, role_name: str, *subjects: Body) -> Body:
    """A ClusterRoleBinding to a ClusterRole."""
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role_name},
        "subjects": list(subjects),
    }


def role_binding(name: str, namespace: str, role_name: str, subject: Body) -> Body:
    """A RoleBinding to a Role of the same namespace."""
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": name, "namespace": namespace},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role_name},
        "subjects": [subject],
    }
