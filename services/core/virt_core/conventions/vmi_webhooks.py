"""What virt-operator registers and virt-api serves: the paths of the webhooks for VirtualMachineInstances, as KubeVirt
has them, and whose writes they are not asked about. Pure."""

from __future__ import annotations

MUTATE = "/virtualmachineinstances-mutate"
VALIDATE_CREATE = "/virtualmachineinstances-validate-create"
VALIDATE_UPDATE = "/virtualmachineinstances-validate-update"

API_ACCOUNT = "kubevirt-apiserver"
CONTROLLER_ACCOUNT = "kubevirt-controller"
HANDLER_ACCOUNT = "kubevirt-handler"


def own_users(namespace: str) -> tuple[str, ...]:
    """The users, as the API server names them, who write the status of VirtualMachineInstances."""
    return tuple(f"system:serviceaccount:{namespace}:{account}" for account in (CONTROLLER_ACCOUNT, HANDLER_ACCOUNT))
