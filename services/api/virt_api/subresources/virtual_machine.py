"""A VirtualMachine and its guest, as they are stored at this moment. Called by lifecycle.py and streams.py."""

from __future__ import annotations

import msgspec
from virt_core.kube.client import KubeClient, Object
from virt_core.kube.errors import KubeError, NotFound, Unavailable
from virt_core.kube.resource import VIRTUAL_MACHINE_INSTANCES, VIRTUAL_MACHINES
from virt_core.vm.virtual_machine import VirtualMachine

from virt_api import errors
from virt_api.subresources.call import Call
from virt_api.subresources.guest import Guest

_NOT_STARTED = "VMI is not started"


async def read_object(client: KubeClient, call: Call) -> Object:
    """The VirtualMachine that `call` names, as JSON has it.

    Raises:
        ApiError: it is not there, or cannot be read.
    """
    try:
        return await client.get(VIRTUAL_MACHINES, call.namespace, call.name)
    except NotFound as error:
        raise errors.NotFound(f'virtualmachines.kubevirt.io "{call.name}" not found', call.details) from error
    except KubeError as error:
        raise failed(call, error) from error


async def read_vm(client: KubeClient, call: Call) -> VirtualMachine:
    """The same, decoded. Raises ApiError."""
    return VirtualMachine.of(await read_object(client, call))


async def read_own_guest(client: KubeClient, vm: VirtualMachine, call: Call) -> Guest | None:
    """Its VirtualMachineInstance; None: there is none, or it is another's. Raises ApiError if it cannot be read."""
    meta = vm.metadata
    try:
        found = await client.get(VIRTUAL_MACHINE_INSTANCES, meta.namespace, meta.name)
    except NotFound:
        return None
    except KubeError as error:
        raise failed(call, error) from error
    try:
        guest = msgspec.convert(found, Guest)
    except msgspec.ValidationError as error:
        raise errors.ApiError(f"virt-api cannot read {call.name} as it is stored: {error}", call.details) from error
    return guest if guest.metadata.controller_uid == meta.uid else None


async def read_started_guest(client: KubeClient, call: Call) -> Guest:
    """The guest of the VirtualMachine that `call` names. Raises ApiError; Conflict: it is not started."""
    vm = await read_vm(client, call)
    guest = await read_own_guest(client, vm, call)
    if guest is None:
        message = f'Operation cannot be fulfilled on virtualmachine.kubevirt.io "{call.name}": {_NOT_STARTED}'
        raise errors.Conflict(message, call.details)
    return guest


def failed(call: Call, error: KubeError) -> errors.ApiError:
    """What a user is answered when the API server fails."""
    if isinstance(error, Unavailable):
        return errors.ServiceUnavailable(f"cannot {call.subresource} {call.name}, try again: {error}", call.details)
    return errors.ApiError(f"virt-api cannot {call.subresource} {call.name}: {error}", call.details)
