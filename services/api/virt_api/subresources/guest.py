"""The VirtualMachineInstance of a subresource call, and whether its state allows the call.

Called by streams.py, commands.py and details.py. Conflicts have KubeVirt's messages, because its clients parse them.
For streams, a guest that does not run yet is a bad request, because virtctl then waits and retries.
"""

from __future__ import annotations

import ipaddress
from typing import Any

import msgspec
from kubevirt.handler.v1 import handler_pb2
from virt_core.conventions.conditions import AGENT_CONNECTED, PAUSED
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
    """The fields of the status that subresources use."""

    phase: str = ""
    node_name: str = ""
    evacuation_node_name: str = ""
    conditions: list[Condition] = []
    interfaces: list[GuestInterface] = []


class Guest(msgspec.Struct, frozen=True):
    """A VirtualMachineInstance. Its spec is not validated, so single values are looked up in it."""

    metadata: ObjectMeta
    status: GuestStatus = GuestStatus()
    spec: object = None

    @property
    def ref(self) -> handler_pb2.VirtualMachineInstanceRef:
        """The reference in requests to handlers."""
        meta = self.metadata
        return handler_pb2.VirtualMachineInstanceRef(namespace=meta.namespace, name=meta.name, uid=meta.uid)

    @property
    def running(self) -> bool:
        """Whether the guest runs and its node is known."""
        return self.status.phase == "Running" and bool(self.status.node_name)

    def has(self, condition: str) -> bool:
        """Whether the condition is true."""
        return any(entry.type == condition and entry.status == "True" for entry in self.status.conditions)

    def spec_value(self, *path: str) -> Any:
        """The value at `path` in the spec; None if it is not set."""
        found = self.spec
        for key in path:
            found = found.get(key) if isinstance(found, dict) else None
        return found

    def require_stream(self, what: str, switch: str, details: dict[str, str]) -> None:
        """Raises BadRequest (virtctl retries) or Conflict (it does not) unless the device can be opened. `what` names
        the device in messages, `switch` is the field of spec.domain.devices that disables it."""
        name, phase = self.metadata.name, self.status.phase
        if phase in ("Failed", "Succeeded"):
            raise errors.Conflict(f"VirtualMachineInstance {name} has ended, its phase is {phase}", details)
        if self.spec_value("domain", "devices", switch) is False:
            raise errors.BadRequest(f"VirtualMachineInstance {name} has no {what}: {switch} is false", details)
        if not self.running:
            message = f"VirtualMachineInstance {name} has no {what} yet, its phase is {phase or 'not set'}, not Running"
            raise errors.BadRequest(message, details)

    def require_address(self, details: dict[str, str]) -> str:
        """The guest's reachable address. Raises BadRequest or Conflict if there is none."""
        name = self.metadata.name
        if not self.running:
            message = f"VirtualMachineInstance {name} cannot be reached, its phase is {self.status.phase or 'not set'}"
            raise errors.BadRequest(f"{message}: {NOT_RUNNING}", details)
        if self.has(PAUSED):
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
        if not self.has(AGENT_CONNECTED):
            raise self.conflict(NO_AGENT)

    def conflict(self, why: str) -> errors.Conflict:
        """The refusal with KubeVirt's message."""
        name = self.metadata.name
        message = f'Operation cannot be fulfilled on virtualmachineinstance.kubevirt.io "{name}": {why}'
        return errors.Conflict(message, {"group": "kubevirt.io", "kind": "virtualmachineinstance", "name": name})


async def read_guest(client: KubeClient, call: Call) -> Guest:
    """Read the VirtualMachineInstance of `call` from the API server.

    Raises:
        ApiError: it does not exist or cannot be read.
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
