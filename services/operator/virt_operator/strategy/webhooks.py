"""The webhooks of virt-api for the suite's objects. Pure; called by desired.py, registered when virt-api serves.

Objects have KubeVirt's names. Patches of the suite's own components are exempt: they are most of the writes, need no
validation, and must work while virt-api is down. So are VirtualMachines and replica sets that are being deleted: their
finalizers must go whoever removes them. Only the suite's kinds match, so no other request in the cluster depends on
virt-api.
"""

from __future__ import annotations

from virt_core.conventions import accounts, component_pod, components, labels
from virt_core.conventions.webhooks import (
    EVICTION,
    MIGRATION_MUTATE,
    MIGRATION_VALIDATE_CREATE,
    MIGRATION_VALIDATE_UPDATE,
    MUTATE,
    POLICY_VALIDATE,
    REPLICA_SET_VALIDATE,
    VALIDATE_CLUSTER_INSTANCETYPE,
    VALIDATE_CLUSTER_PREFERENCE,
    VALIDATE_CREATE,
    VALIDATE_INSTANCETYPE,
    VALIDATE_PREFERENCE,
    VALIDATE_UPDATE,
    VM_MUTATE,
    VM_VALIDATE,
)
from virt_core.kube.resource import (
    MIGRATION_POLICIES,
    VIRTUAL_MACHINE_CLUSTER_INSTANCETYPES,
    VIRTUAL_MACHINE_CLUSTER_PREFERENCES,
    VIRTUAL_MACHINE_INSTANCETYPES,
    VIRTUAL_MACHINE_PREFERENCES,
    Resource,
)

from virt_operator.strategy.ref import Body

_VMIS, _VMS = "virtualmachineinstances", "virtualmachines"
_REPLICA_SETS, _MIGRATIONS = "virtualmachineinstancereplicasets", "virtualmachineinstancemigrations"
MUTATOR, VALIDATOR = "virt-api-mutator", "virt-api-validator"
_MUTATE_NAME = "virtualmachineinstances-mutator.kubevirt.io"
_CREATE_NAME = "virtualmachineinstances-create-validator.kubevirt.io"
_EVICTION_NAME = "virt-launcher-eviction-interceptor.kubevirt.io"
CREATE_WEBHOOKS = (_MUTATE_NAME, _CREATE_NAME)
"""Names of the webhooks that are called for each new VirtualMachineInstance."""

_VERSION = "admissionregistration.k8s.io/v1"
_DEADLINE = 10  # seconds, KubeVirt's


def webhooks(namespace: str) -> list[Body]:
    """Both configurations, without CA bundles (trust.py adds them)."""
    own = ", ".join(f"'{user}'" for user in accounts.machine_writers(namespace))
    by_others = {"name": "not-by-kubevirt", "expression": f"!(request.userInfo.username in [{own}])"}
    mutator = _webhook(_MUTATE_NAME, namespace, MUTATE, "CREATE")
    create = _webhook(_CREATE_NAME, namespace, VALIDATE_CREATE, "CREATE")
    update = _webhook("virtualmachineinstances-update-validator.kubevirt.io", namespace, VALIDATE_UPDATE, "UPDATE")
    stays = {"name": "not-deleted", "expression": "!has(object.metadata.deletionTimestamp)"}
    vm_mutator = _webhook("virtualmachines-mutator.kubevirt.io", namespace, VM_MUTATE, "CREATE", "UPDATE", of=_VMS)
    vm = _webhook("virtualmachine-validator.kubevirt.io", namespace, VM_VALIDATE, "CREATE", "UPDATE", of=_VMS)
    replica_set = _webhook(
        "virtualmachinereplicaset-validator.kubevirt.io",
        namespace,
        REPLICA_SET_VALIDATE,
        "CREATE",
        "UPDATE",
        of=_REPLICA_SETS,
    )
    migration_update = _webhook(
        "migration-update-validator.kubevirt.io", namespace, MIGRATION_VALIDATE_UPDATE, "UPDATE", of=_MIGRATIONS
    )
    vm_mutator, vm, replica_set = (
        {**hook, "matchConditions": [by_others, stays]} for hook in (vm_mutator, vm, replica_set)
    )
    migration_mutator = _webhook(
        "migrations-mutator.kubevirt.io", namespace, MIGRATION_MUTATE, "CREATE", of=_MIGRATIONS
    )
    mutators = [
        {**configuration, "reinvocationPolicy": "Never"} for configuration in (mutator, vm_mutator, migration_mutator)
    ]
    return [
        _configuration("MutatingWebhookConfiguration", MUTATOR, *mutators),
        _configuration(
            "ValidatingWebhookConfiguration",
            VALIDATOR,
            create,
            {**update, "matchConditions": [by_others]},
            vm,
            replica_set,
            *_instancetype_validators(namespace),
            _webhook(
                "migration-create-validator.kubevirt.io", namespace, MIGRATION_VALIDATE_CREATE, "CREATE", of=_MIGRATIONS
            ),
            {**migration_update, "matchConditions": [by_others, stays]},
            _of_resource(
                _webhook("migration-policy-validator.kubevirt.io", namespace, POLICY_VALIDATE, "CREATE", "UPDATE"),
                MIGRATION_POLICIES,
            ),
            _eviction_validator(namespace),
        ),
    ]


_SHAPES = (
    (VIRTUAL_MACHINE_INSTANCETYPES, VALIDATE_INSTANCETYPE),
    (VIRTUAL_MACHINE_CLUSTER_INSTANCETYPES, VALIDATE_CLUSTER_INSTANCETYPE),
    (VIRTUAL_MACHINE_PREFERENCES, VALIDATE_PREFERENCE),
    (VIRTUAL_MACHINE_CLUSTER_PREFERENCES, VALIDATE_CLUSTER_PREFERENCE),
)


def _instancetype_validators(namespace: str) -> list[Body]:
    """Of instance types and preferences. Those of the release's own bundle do not wait for virt-api."""
    operator = accounts.user_of(accounts.OPERATOR, namespace)
    by_others = {"name": "not-by-kubevirt", "expression": f"request.userInfo.username != '{operator}'"}
    hooks = []
    for resource, path in _SHAPES:
        hook = _webhook(f"{resource.kind.lower()}-validator.{resource.group}", namespace, path, "CREATE", "UPDATE")
        hooks.append({**_of_resource(hook, resource), "matchConditions": [by_others]})
    return hooks


def _of_resource(hook: Body, resource: Resource) -> Body:
    """The webhook for a resource of another group than kubevirt.io."""
    (of,) = hook["rules"]
    scope = "Namespaced" if resource.namespaced else "Cluster"
    of |= {"apiGroups": [resource.group], "apiVersions": [resource.version], "resources": [resource.plural]}
    return {**hook, "rules": [{**of, "scope": scope}]}


def _eviction_validator(namespace: str) -> Body:
    """Of evictions of launcher pods, by their names: the review has nothing else of the pod. While virt-api is down,
    they are not evicted; all other pods are."""
    hook = _webhook(_EVICTION_NAME, namespace, EVICTION, "CREATE")
    (of,) = hook["rules"]
    of |= {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods/eviction"]}
    only = {"name": "only-vms", "expression": f"request.name.startsWith('{components.LAUNCHER}-')"}
    return {**hook, "sideEffects": "NoneOnDryRun", "matchConditions": [only]}


def _configuration(kind: str, name: str, *hooks: Body) -> Body:
    return {
        "apiVersion": _VERSION,
        "kind": kind,
        "metadata": {"name": name, "labels": {labels.APP: name}},
        "webhooks": list(hooks),
    }


def _webhook(name: str, namespace: str, path: str, *operations: str, of: str = _VMIS) -> Body:
    return {
        "name": name,
        "admissionReviewVersions": ["v1"],
        "clientConfig": {
            "service": {
                "namespace": namespace,
                "name": components.API,
                "path": path,
                "port": component_pod.HTTPS_SERVICE_PORT,
            }
        },
        "failurePolicy": "Fail",
        "matchPolicy": "Equivalent",
        "rules": [
            {
                "apiGroups": ["kubevirt.io"],
                "apiVersions": ["v1", "v1alpha3"],
                "operations": list(operations),
                "resources": [of],
                "scope": "Namespaced",
            }
        ],
        "sideEffects": "None",
        "timeoutSeconds": _DEADLINE,
    }
