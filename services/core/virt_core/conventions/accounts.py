"""Service accounts of the components and their user names in the API server. Pure.

virt-operator creates the accounts, assigns them to pods and names their users in policies; virt-api and the operator
identify callers by them. Names as in KubeVirt.
"""

from __future__ import annotations

OPERATOR = "kubevirt-operator"
API = "kubevirt-apiserver"
CONTROLLER = "kubevirt-controller"
HANDLER = "kubevirt-handler"


def user_of(account: str, namespace: str) -> str:
    """The user name of requests that carry a token of this account."""
    return f"system:serviceaccount:{namespace}:{account}"


def machine_writers(namespace: str) -> tuple[str, ...]:
    """The users who write stored VirtualMachineInstances. Webhooks exempt their writes."""
    return tuple(user_of(account, namespace) for account in (API, CONTROLLER, HANDLER))
