"""ValidatingAdmissionPolicies that confine each virt-handler to its own node. Pure; called by desired.py.

RBAC cannot express "its own": every handler's token may patch every Node and every VirtualMachineInstance, so a
compromised node could take over the cluster. The API server knows the node of a token's pod, and these policies refuse
all writes that the handler of that node does not need: during a migration, the handler of the target's node writes its
side of it, and nothing else before the guest has arrived. Only requests of the handlers' account match; a policy that
cannot be evaluated refuses only those.
"""

from __future__ import annotations

from virt_core.conventions import accounts
from virt_core.conventions.labels import HEARTBEAT, SCHEDULABLE

from virt_operator.strategy.ref import Body

NODE_POLICY, MACHINE_POLICY = "kubevirt-handler-own-node", "kubevirt-handler-own-machines"
_VERSION = "admissionregistration.k8s.io/v1"
_CLAIM = "authentication.kubernetes.io/node-name"  # in the token of each pod since Kubernetes 1.30
_END = ("startTimestamp", "endTimestamp", "failed", "failureReason", "completed", "abortStatus")
_SOURCES = ("sourceCertificateAuthority", "sourceAddress", "sourceDisks", "sourceSwitched", "mode", "progress", *_END)
_TARGETS = (
    "targetCertificateAuthority",
    "targetNodeAddress",
    "targetDirectMigrationNodePorts",
    "targetNodeDomainDetected",
    "targetNodeDomainReadyTimestamp",
    *_END,
)
"""The fields of status.migrationState that a handler of the source's or target's node writes."""

_METADATA = {"labels": "{}", "annotations": "{}", "finalizers": "[]", "ownerReferences": "[]"}
"""What others write into an object's metadata, and what it is while it is not there."""


def handler_policies(namespace: str) -> list[Body]:
    """Both policies and their bindings."""
    vmis = ("kubevirt.io", "virtualmachineinstances")
    nodes = _policy(NODE_POLICY, namespace, ("", "nodes"), _variables(), _NODE_VALIDATIONS)
    more = _variables() | _migration_variables()
    machines = _policy(MACHINE_POLICY, namespace, vmis, more, _MACHINE_VALIDATIONS)
    return [*nodes, *machines]


def _of_update(expression: str, message: str) -> Body:
    """A validation of updates. The first validation refuses all other operations."""
    return {"expression": f"!variables.update || ({expression})", "message": message, "reason": "Forbidden"}


def _unchanged(*fields: str) -> str:
    return " && ".join(f"variables.{field} == variables.{field}Before" for field in fields)


def _unchanged_but(field: str, own: str) -> str:
    """All keys except those in the list `own`, an expression, are unchanged, and no other key is added."""
    new, old = f"variables.{field}", f"variables.{field}Before"
    kept = f"{old}.all(key, key in {own} || (key in {new} && {new}[key] == {old}[key]))"
    return f"{kept} && {new}.all(key, key in {own} || key in {old})"


_ONLY_UPDATES = {
    "expression": "variables.update",
    "message": "virt-handler neither creates nor deletes such objects",
    "reason": "Forbidden",
}
_NODE_VALIDATIONS = [
    _ONLY_UPDATES,
    _of_update("variables.node != '' && request.name == variables.node", "virt-handler may change its own Node only"),
    _of_update(
        f"object.spec == oldObject.spec && {_unchanged('finalizers', 'ownerReferences')}",
        "virt-handler may not change spec, finalizers or owners of its Node",
    ),
    _of_update(
        f"{_unchanged_but('labels', str([SCHEDULABLE]))} && {_unchanged_but('annotations', str([HEARTBEAT]))}",
        f"virt-handler may set label {SCHEDULABLE} and annotation {HEARTBEAT} of its Node only",
    ),
]
_MACHINE_VALIDATIONS = [
    _ONLY_UPDATES,
    _of_update(
        "variables.node != '' && has(oldObject.status) && has(oldObject.status.activePods) && "
        "oldObject.status.activePods.exists(pod, oldObject.status.activePods[pod] == variables.node)",
        "virt-handler may change machines with a pod on its own node only",
    ),
    _of_update("object.spec == oldObject.spec", "virt-handler may not change the spec of a machine"),
    _of_update(
        _unchanged(*_METADATA),
        "virt-handler may not change labels, annotations, finalizers or owners of a machine",
    ),
    _of_update(
        "has(object.status) && has(object.status.activePods) && "
        "object.status.activePods == oldObject.status.activePods && has(object.status.nodeName) && "
        "(object.status.nodeName == variables.node || "
        "(has(oldObject.status.nodeName) && object.status.nodeName == oldObject.status.nodeName))",
        "virt-handler may not change status.activePods, nor status.nodeName to another node than its own",
    ),
    _of_update(
        f"variables.guestIsHere || variables.guestArrives || ({_unchanged_but('status', str(['migrationState']))})",
        "virt-handler may write only status.migrationState of a machine whose guest is on another node",
    ),
    _of_update(
        _unchanged_but("migration", "variables.migrationOwn"),
        "virt-handler may write only the fields of status.migrationState of its side of the migration",
    ),
]


def _policy(
    name: str, namespace: str, resource: tuple[str, str], variables: dict[str, str], validations: list[Body]
) -> list[Body]:
    group, plural = resource
    rule = {
        "apiGroups": [group],
        "apiVersions": ["*"],
        "operations": ["CREATE", "UPDATE", "DELETE"],
        "resources": [plural, f"{plural}/*"],
        "scope": "*",
    }
    user = accounts.user_of(accounts.HANDLER, namespace)
    condition = {"name": "by-virt-handler", "expression": f"request.userInfo.username == '{user}'"}
    spec = {
        "failurePolicy": "Fail",
        "matchConstraints": {"matchPolicy": "Equivalent", "resourceRules": [rule]},
        "matchConditions": [condition],
        "variables": [{"name": key, "expression": expression} for key, expression in variables.items()],
        "validations": validations,
    }
    return [
        {"apiVersion": _VERSION, "kind": "ValidatingAdmissionPolicy", "metadata": {"name": name}, "spec": spec},
        {
            "apiVersion": _VERSION,
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": name},
            "spec": {"policyName": name, "validationActions": ["Deny"]},
        },
    ]


def _variables() -> dict[str, str]:
    extra = "request.userInfo.extra"
    known = f"has({extra}) && '{_CLAIM}' in {extra} && size({extra}['{_CLAIM}']) == 1"
    variables = {
        "update": "request.operation == 'UPDATE' && (!has(request.subResource) || request.subResource == '')",
        "node": f"{known} ? {extra}['{_CLAIM}'][0] : ''",
    }
    for field, empty in _METADATA.items():
        for suffix, which in (("", "object"), ("Before", "oldObject")):
            variables[field + suffix] = f"has({which}.metadata.{field}) ? {which}.metadata.{field} : {empty}"
    return variables


def _migration_variables() -> dict[str, str]:
    """dyn: an object of a CRD's schema is a map at run time, but not for the type check."""
    variables = {}
    for suffix, which in (("", "object"), ("Before", "oldObject")):
        known = f"has({which}.status)"
        variables[f"status{suffix}"] = f"{known} ? dyn({which}.status) : dyn({{}})"
        known += f" && has({which}.status.migrationState)"
        variables[f"migration{suffix}"] = f"{known} ? dyn({which}.status.migrationState) : dyn({{}})"
    source, target = (
        f"'{field}' in variables.migrationBefore && variables.migrationBefore.{field} == variables.node"
        for field in ("sourceNode", "targetNode")
    )
    variables["migrationOwn"] = f"({source} ? {list(_SOURCES)} : []) + ({target} ? {list(_TARGETS)} : [])"
    before = "variables.statusBefore"
    variables["guestIsHere"] = f"!('nodeName' in {before}) || {before}.nodeName in ['', variables.node]"
    now = "'nodeName' in variables.status && variables.status.nodeName == variables.node"
    completed = "'completed' in variables.migration && variables.migration.completed == true"
    variables["guestArrives"] = f"{target} && {now} && {completed}"
    return variables
