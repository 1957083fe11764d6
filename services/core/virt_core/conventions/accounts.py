"""Service accounts of the components and the users that the API server makes of them. Pure.

virt-operator creates the accounts, puts them into pods and names their users in policies; virt-api and the operator
recognize callers by them. Names as in KubeVirt.
"""

from __future__ import annotations

OPERATOR = "kubevirt-operator"
API = "kubevirt-apiserver"
CONTROLLER = "kubevirt-controller"
HANDLER = "kubevirt-handler"


def user_of(account: str, namespace: str) -> str:
    """The user that requests with a token of this account come from."""
    return f"system:serviceaccount:{namespace}:{account}"


def machine_writers(namespace: str) -> tuple[str, ...]:
    """The users who write the status of VirtualMachineInstances, about whose writes no webhook is asked."""
    return tuple(user_of(account, namespace) for account in (CONTROLLER, HANDLER))
