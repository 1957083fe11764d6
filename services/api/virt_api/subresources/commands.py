"""The subresources that change a running guest: pause, unpause, reset, softreboot, freeze, unfreeze. Called by
served.py.

The guest's status is checked first, with KubeVirt's messages and in KubeVirt's order; the launcher, which knows the
current state, checks again. The response is 200 without a body, as in KubeVirt.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web
from kubevirt.handler.v1 import handler_pb2, handler_pb2_grpc
from virt_core import logs
from virt_core.conventions.conditions import AGENT_CONNECTED, PAUSED
from virt_core.kube.client import KubeClient
from virt_core.rpc import errors as rpc_errors

from virt_api import errors
from virt_api.subresources.call import Call
from virt_api.subresources.command_options import command_of, options_of
from virt_api.subresources.guest import IS_PAUSED, NO_AGENT, NOT_RUNNING, Guest, read_guest
from virt_api.subresources.handler_errors import from_rpc
from virt_api.subresources.handler_pods import HandlerPods

_DEADLINE = 30.0  # seconds; a guest agent may need long to freeze file systems
_VM_NOT_RUNNING = "VM is not running"
_NO_WAY_TO_REBOOT = "VMI neither have the agent connected nor the ACPI feature enabled"
_log = logs.bound("virt_api.subresources.commands")


def require_possible(guest: Guest, subresource: str) -> None:
    """Raises Conflict or Forbidden, as KubeVirt does, if the guest's status does not allow the command."""
    if not guest.running:
        raise guest.conflict(_VM_NOT_RUNNING if subresource in ("pause", "freeze") else NOT_RUNNING)
    paused, agent = guest.has(PAUSED), guest.has(AGENT_CONNECTED)
    if subresource == "pause":
        if guest.spec_value("livenessProbe") is not None:
            refused = guest.conflict("Pausing VMIs with LivenessProbe is currently not supported")
            raise errors.Forbidden(refused.message, refused.details)
        if paused:
            raise guest.conflict("VMI is already paused")
    if subresource == "unpause" and not paused:
        raise guest.conflict("VMI is not paused")
    if subresource == "softreboot":
        if paused:
            raise guest.conflict(IS_PAUSED)
        if not agent and guest.spec_value("domain", "features", "acpi", "enabled") is False:
            raise guest.conflict(_NO_WAY_TO_REBOOT)
    if subresource in ("freeze", "unfreeze") and not agent:
        raise guest.conflict(NO_AGENT)


class Commands:
    """Sends commands to the handler of the guest's node."""

    def __init__(self, client: KubeClient, handlers: HandlerPods) -> None:
        self._client = client
        self._handlers = handlers

    async def serve(self, request: web.Request, call: Call) -> web.Response:
        """Execute the command of `call`.

        Raises:
            ApiError: it was not executed. With ServiceUnavailable it may have been.
        """
        options = options_of(call.subresource, await request.read())
        command = command_of(call.subresource, options)
        guest = await read_guest(self._client, call)
        require_possible(guest, call.subresource)
        if not options.dry:
            async with self._handlers.peer(guest.status.node_name) as peer:
                meta = guest.metadata
                log = _log.bind(namespace=meta.namespace, name=meta.name, uid=meta.uid, node=guest.status.node_name)
                log.info(f"commanding {call.subresource}", handler=peer.name)
                stub: Any = handler_pb2_grpc.HandlerServiceStub(peer.channel)
                message = handler_pb2.CommandMachineRequest(target=guest.ref, command=command)
                try:
                    await peer.call(stub.CommandMachine, message, timeout=_DEADLINE)
                except rpc_errors.RpcError as error:
                    what = f"cannot {call.subresource} {call.name}: virt-handler {peer.name}"
                    raise from_rpc(error, what, call.details) from error
        return web.Response()
