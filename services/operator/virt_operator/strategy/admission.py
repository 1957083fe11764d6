"""The ValidatingAdmissionPolicy that prevents the deletion of the operator while a KubeVirt object exists. Pure; called
by desired.py.

Objects with `labels.OPERATOR` (the operator's manifest and the CRDs) can be deleted only if there is no KubeVirt
object: without the operator nobody would remove its finalizer. The operator installs the policy, because deleting the
manifest would delete it as well; it is removed last. Exempt are the operator, which removes CRDs itself, and
Kubernetes' controllers, which complete deletions. The policy selects by label, so that no other object of the cluster
depends on its evaluation.
"""

from __future__ import annotations

from virt_core.conventions import accounts, labels

from virt_operator.strategy.ref import Body

POLICY = "kubevirt-operator-stays"
PROTECTED = {
    "": ["namespaces", "serviceaccounts", "services"],
    "apiextensions.k8s.io": ["customresourcedefinitions"],
    "apps": ["deployments"],
    "policy": ["poddisruptionbudgets"],
    "rbac.authorization.k8s.io": ["clusterrolebindings", "clusterroles", "rolebindings", "roles"],
    "scheduling.k8s.io": ["priorityclasses"],
}
"""Resources of the operator's manifest by group."""

_MESSAGE = (
    "'KubeVirt object ' + params.metadata.namespace + '/' + params.metadata.name + ' exists: delete the KubeVirt "
    "object first and wait until it is gone (kubectl -n ' + params.metadata.namespace + ' delete kubevirt ' + "
    "params.metadata.name + '), then repeat this'"
)


def policy(namespace: str, account: str) -> list[Body]:
    """Policy and binding; `account` is the operator's service account."""
    exempt = {
        "not-by-virt-operator": f"request.userInfo.username != '{accounts.user_of(account, namespace)}'",
        "not-by-kubernetes": "!('system:serviceaccounts:kube-system' in request.userInfo.groups) && "
        "request.userInfo.username != 'system:kube-controller-manager'",
    }
    rules = [
        {"apiGroups": [group], "apiVersions": ["*"], "operations": ["DELETE"], "resources": resources, "scope": "*"}
        for group, resources in PROTECTED.items()
    ]
    version = "admissionregistration.k8s.io/v1"
    return [
        {
            "apiVersion": version,
            "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": POLICY},
            "spec": {
                "failurePolicy": "Fail",
                "paramKind": {"apiVersion": "kubevirt.io/v1", "kind": "KubeVirt"},
                "matchConstraints": {
                    "matchPolicy": "Equivalent",
                    "objectSelector": {"matchLabels": {labels.OPERATOR: ""}},
                    "resourceRules": rules,
                },
                "matchConditions": [{"name": name, "expression": text} for name, text in exempt.items()],
                "validations": [{"expression": "false", "messageExpression": _MESSAGE, "reason": "Forbidden"}],
            },
        },
        {
            "apiVersion": version,
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": POLICY},
            "spec": {
                "policyName": POLICY,
                # Evaluated for each KubeVirt object; without any there is nothing to refuse.
                "paramRef": {"namespace": namespace, "selector": {}, "parameterNotFoundAction": "Allow"},
                "validationActions": ["Deny"],
            },
        },
    ]
