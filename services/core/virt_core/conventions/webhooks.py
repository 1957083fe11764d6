"""Paths of virt-api's webhooks for VirtualMachineInstances, as KubeVirt has them. Pure.

virt-operator registers them, virt-api serves them.
"""

from __future__ import annotations

MUTATE = "/virtualmachineinstances-mutate"
VALIDATE_CREATE = "/virtualmachineinstances-validate-create"
VALIDATE_UPDATE = "/virtualmachineinstances-validate-update"
