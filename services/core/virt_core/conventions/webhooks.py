"""Paths of virt-api's webhooks, as KubeVirt has them, and the registration of virt-operator's own. Pure.

virt-operator registers them, virt-api serves them.
"""

from __future__ import annotations

OPERATOR_VALIDATOR = "virt-operator-validator"
"""The ValidatingWebhookConfiguration of virt-operator's own webhook. By the bundle in it the API server, and virtadm,
know virt-operator's certificate."""

MUTATE = "/virtualmachineinstances-mutate"
VALIDATE_CREATE = "/virtualmachineinstances-validate-create"
VALIDATE_UPDATE = "/virtualmachineinstances-validate-update"
VM_MUTATE = "/virtualmachines-mutate"
VM_VALIDATE = "/virtualmachines-validate"
REPLICA_SET_VALIDATE = "/virtualmachinereplicaset-validate"
VALIDATE_INSTANCETYPE = "/virtualmachineinstancetypes-validate"
VALIDATE_CLUSTER_INSTANCETYPE = "/virtualmachineclusterinstancetypes-validate"
VALIDATE_PREFERENCE = "/virtualmachinepreferences-validate"
VALIDATE_CLUSTER_PREFERENCE = "/virtualmachineclusterpreferences-validate"
EVICTION = "/launcher-eviction-validate"
MIGRATION_MUTATE = "/migration-mutate-create"
MIGRATION_VALIDATE_CREATE = "/migration-validate-create"
MIGRATION_VALIDATE_UPDATE = "/migration-validate-update"
POLICY_VALIDATE = "/migration-policy-validate-create"
