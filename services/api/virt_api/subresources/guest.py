"""What a subresource must know of a VirtualMachineInstance, and whether its state allows the call.

Called by streams.py, commands.py and details.py. Conflicts have KubeVirt's words, because its clients look for them; a
guest that does not run yet is a bad request for streams, because virtctl then waits and repeats.
"""

from __future__ import annotations

import ipaddress
from typing import Any

import msgspec
from kubevirt.handler.v1 import handler_pb2
from virt_core.kube.client import KubeClient
from virt_core.kube.errors import KubeError, NotFound, Unavailable
from virt_core.kube.resource import VIRTUAL_MACHINE_INSTANCES
from virt_core.objects.meta import Condition, ObjectMeta

from virt_api import errors
from virt_api.subresources.call import Call

NOT_RUNNING = "VMI is not running"
NO_AGENT = "VMI does not have guest agent connected"
IS_PAUSED = "VMI is paused"


class GuestInterface(msgspec.Struct, frozen=True, rename="camel"):
    """A network interface of the guest."""

    ip_address: str = ""


class GuestStatus(msgspec.Struct, frozen=True, rename="camel"):
    """Where it runs and how far it is."""

    phase: str = ""
    node_name: str = ""
    conditions: list[Condition] = []
    interfaces: list[GuestInterface] = []


class Guest(msgspec.Struct, frozen=True):
    """A VirtualMachineInstance; of its spec, which is stored as anybody wrote it, single values are looked up."""

    metadata: ObjectMeta
    status: GuestStatus = GuestStatus()
    spec: object = None

    @property
    def ref(self) -> handler_pb2.VirtualMachineInstanceRef:
        """Its name for handlers."""
        meta = self.metadata
        return handler_pb2.VirtualMachineInstanceRef(namespace=meta.namespace, name=meta.name, uid=meta.uid)

    @property
    def running(self) -> bool:
        """Whether there is a handler to ask."""
        return self.status.phase == "Running" and bool(self.status.node_name)

    def has(self, condition: str) -> bool:
        """Whether the condition is true."""
        return any(entry.type == condition and entry.status == "True" for entry in self.status.conditions)

    def spec_value(self, *path: str) -> Any:
        """What the spec says at `path`, None if nothing."""
        found = self.spec
        for key in path:
            found = found.get(key) if isinstance(found, dict) else None
        return found

    def require_stream(self, what: str, switch: str, details: dict[str, str]) -> None:
        """Raises BadRequest (virtctl waits and repeats) or Conflict (it gives up) unless there is a device to join:
        `what` for people, `switch` the field of spec.domain.devices that leaves it out."""
        name, phase = self.metadata.name, self.status.phase
        if phase in ("Failed", "Succeeded"):
            raise errors.Conflict(f"VirtualMachineInstance {name} has ended, its phase is {phase}", details)
        if self.spec_value("domain", "devices", switch) is False:
            raise errors.BadRequest(f"VirtualMachineInstance {name} has no {what}: {switch} is false", details)
        if not self.running:
            message = f"VirtualMachineInstance {name} has no {what} yet, its phase is {phase or 'not set'}, not Running"
            raise errors.BadRequest(message, details)

    def require_address(self, details: dict[str, str]) -> str:
        """The guest's address as others reach it. Raises BadRequest or Conflict while there is none."""
        name = self.metadata.name
        if not self.running:
            message = f"VirtualMachineInstance {name} cannot be reached, its phase is {self.status.phase or 'not set'}"
            raise errors.BadRequest(f"{message}: {NOT_RUNNING}", details)
        if self.has("Paused"):
            raise self.conflict(IS_PAUSED)
        for interface in self.status.interfaces[:1]:
            try:
                return str(ipaddress.ip_address(interface.ip_address))
            except ValueError:
                break
        raise errors.Conflict(f"VirtualMachineInstance {name} has no address in its status", details)

    def require_agent(self) -> None:
        """Raises Conflict unless the guest runs and its agent answers."""
        if not self.running:
            raise self.conflict(NOT_RUNNING)
        if not self.has("AgentConnected"):
            raise self.conflict(NO_AGENT)

    def conflict(self, why: str) -> errors.Conflict:
        """The refusal as KubeVirt says it."""
        name = self.metadata.name
        message = f'Operation cannot be fulfilled on virtualmachineinstance.kubevirt.io "{name}": {why}'
        return errors.Conflict(message, {"group": "kubevirt.io", "kind": "virtualmachineinstance", "name": name})


async def read_guest(client: KubeClient, call: Call) -> Guest:
    """The VirtualMachineInstance that `call` names, as it is stored at this moment.

    Raises:
        ApiError: it is not there, or cannot be read.
    """
    try:
        found = await client.get(VIRTUAL_MACHINE_INSTANCES, call.namespace, call.name)
    except NotFound as error:
        message = f'virtualmachineinstances.kubevirt.io "{call.name}" not found in namespace "{call.namespace}"'
        raise errors.NotFound(message, call.details) from error
    except Unavailable as error:
        raise errors.ServiceUnavailable(f"cannot read {call.name}, try again: {error}", call.details) from error
    except KubeError as error:
        raise errors.ApiError(f"virt-api cannot read {call.name}: {error}", call.details) from error
    try:
        return msgspec.convert(found, Guest)
    except msgspec.ValidationError as error:
        raise errors.ApiError(f"virt-api cannot read {call.name} as it is stored: {error}", call.details) from error
