"""ClusterRoles of the suite's users, with KubeVirt's rules. Pure; called by desired.py.

Kubernetes aggregates three of them into its own admin, edit and view. Subresources that this release does not support
are granted as well: whoever may use them in KubeVirt reads what is not supported, instead of "forbidden".
"""

from __future__ import annotations

from virt_core.conventions import subresources
from virt_core.instancetype.matcher import RESOURCES
from virt_core.kube.resource import MIGRATION_POLICIES, VIRTUAL_MACHINE_INSTANCE_MIGRATIONS

from virt_operator.strategy.rbac import cluster_role, cluster_role_binding
from virt_operator.strategy.ref import DEFINED, KINDS, Body
from virt_operator.strategy.rules import rule

_SEE = ("get", "list", "watch")
_EDIT = (*_SEE, "create", "update", "patch", "delete")
_ADMIN = (*_EDIT, "deletecollection")

_KINDS = (
    ("kubevirt.io", "virtualmachines"),
    ("kubevirt.io", "virtualmachineinstances"),
    ("kubevirt.io", "virtualmachineinstancereplicasets"),
    *((resource.group, resource.plural) for pair in RESOURCES.values() for resource in pair),
)
"""Every kind of the suite's that users write. A kind that is new here gets its rules in all three roles."""

_MIGRATIONS = (VIRTUAL_MACHINE_INSTANCE_MIGRATIONS.group, VIRTUAL_MACHINE_INSTANCE_MIGRATIONS.plural)
_SEEN = (_MIGRATIONS, (MIGRATION_POLICIES.group, MIGRATION_POLICIES.plural))
"""Kinds that users read, and write with a role of their own: a migration costs the cluster's network, and a policy
decides about the guests of others."""

_CLUSTER_CHOICES = tuple((KINDS[kind].group, KINDS[kind].plural) for kind in DEFINED)
"""Kinds that an administrator offers to the whole cluster: everybody with an account may read them."""

_VM, _VMI = "virtualmachines", "virtualmachineinstances"
_REPORTS = ("guestosinfo", "filesystemlist", "userlist", "sev/fetchcertchain", "sev/querylaunchmeasurement")
_VOLUMES = ("addvolume", "removevolume")
_GRAPH, _CANCEL = "objectgraph", subresources.EVACUATE_CANCEL
_MAY_READ = {_VM: (subresources.EXPAND, _GRAPH), _VMI: (*_REPORTS, _GRAPH)}
_MAY_OPEN = {_VM: ("portforward",), _VMI: (*subresources.STREAMS, "usbredir")}
_MAY_COMMAND = {
    _VM: (*subresources.LIFECYCLE, *_VOLUMES, "memorydump", _CANCEL),
    _VMI: (*subresources.COMMANDS, *_VOLUMES, _CANCEL, "sev/setupsession", "sev/injectlaunchsecret"),
}
_ALL_ACCOUNTS = "system:authenticated"


def user_roles() -> list[Body]:
    """The roles, and bindings of those that are for every account."""
    read = [*_subresources("get", _MAY_READ), rule(subresources.GROUP, subresources.EXPAND_MANIFEST, "update")]
    use = [*read, *_subresources("get", _MAY_OPEN), *_subresources("update", _MAY_COMMAND)]
    picture = rule(subresources.GROUP, f"{_VMI}/{subresources.SCREENSHOT}", "get")
    suites = rule("kubevirt.io", "kubevirts", "get", "list")
    documents = [rule(subresources.GROUP, name, "get", "list") for name in (subresources.VERSION, subresources.GUESTFS)]
    health = rule(subresources.GROUP, subresources.HEALTHZ, "get")  # not in KubeVirt: whoever sees the suite may ask
    seen = [rule(group, plural, *_SEE) for group, plural in _SEEN]
    migrate = _subresources("update", {_VM: (subresources.MIGRATE,)})
    roles = [
        _aggregated("admin", *_kinds(*_ADMIN), *seen, *use, picture),
        _aggregated("edit", *_kinds(*_EDIT), *seen, *use, suites),
        _aggregated("view", *_kinds(*_SEE), *seen, *read, suites),
        cluster_role("kubevirt.io:migrate", (rule(*_MIGRATIONS, *_ADMIN), *migrate)),
        *_for_all_accounts("kubevirt.io:default", suites, *documents, health),
    ]
    if choices := [rule(group, plural, *_SEE) for group, plural in _CLUSTER_CHOICES]:
        roles += _for_all_accounts("instancetype.kubevirt.io:view", *choices)
    return roles


def _kinds(*verbs: str) -> list[Body]:
    return [rule(group, plural, *verbs) for group, plural in _KINDS]


def _subresources(verb: str, names: dict[str, tuple[str, ...]]) -> list[Body]:
    return [rule(subresources.GROUP, f"{resource}/{name}", verb) for resource, found in names.items() for name in found]


def _aggregated(role_name: str, *rules: Body) -> Body:
    body = cluster_role(f"kubevirt.io:{role_name}", rules)
    body["metadata"]["labels"] = {f"rbac.authorization.k8s.io/aggregate-to-{role_name}": "true"}
    return body


def _for_all_accounts(name: str, *rules: Body) -> list[Body]:
    subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": _ALL_ACCOUNTS}
    return [cluster_role(name, rules), cluster_role_binding(name, name, subject)]
