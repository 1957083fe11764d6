"""Subresources of a VirtualMachine that write it: start, stop, restart. Called by served.py.

A start or stop in the usual case is a single patch, whose tests say that it is the usual case. Otherwise
lifecycle_requests.py decides from what is stored; a write that meets another, or whose object is gone, is decided
again, a few times.
"""

from __future__ import annotations

from aiohttp import web
from virt_core import logs
from virt_core.kube.client import KubeClient
from virt_core.kube.errors import Conflict, KubeError, NotFound
from virt_core.kube.resource import VIRTUAL_MACHINE_INSTANCES, VIRTUAL_MACHINES
from virt_core.objects.patch import Operation
from virt_core.vm.virtual_machine import VirtualMachine

from virt_api.subresources.call import Call
from virt_api.subresources.guest import Guest
from virt_api.subresources.lifecycle_requests import VERBS, Instance, Writes, conflict, options_of, unread
from virt_api.subresources.virtual_machine import failed, read_own_guest, read_vm

_ATTEMPTS = 5  # the controller writes the status of a VirtualMachine that changes, so a request may lose once or twice
_GRACE = "/spec/terminationGracePeriodSeconds"
_log = logs.bound("virt_api.subresources.lifecycle")


class Lifecycle:
    """Writes what users request of VirtualMachines."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client

    async def serve(self, request: web.Request, call: Call) -> web.Response:
        """Record the request: 202 without a body, as KubeVirt's.

        Raises:
            ApiError: nothing was written; after ServiceUnavailable that is unknown.
        """
        options = options_of(call.subresource, await request.read())
        operations = unread(call.subresource, options)
        if operations and await self._applies(operations, call, dry_run=bool(options.dry_run)):
            return web.Response(status=202)
        vm = await read_vm(self._client, call)
        for _ in range(_ATTEMPTS):
            guest = await read_own_guest(self._client, vm, call)
            writes = VERBS[call.subresource](vm, instance_of(guest), options)
            try:
                await self._write(vm, guest, writes, call, dry_run=bool(options.dry_run))
                return web.Response(status=202)
            except (Conflict, NotFound) as error:
                _log.info("deciding again after a change", vm=vm.metadata.name, reason=error.message)
            except KubeError as error:
                raise failed(call, error) from error
            vm = await read_vm(self._client, call)
        raise conflict(vm, "others write it at the same time, try again")

    async def _applies(self, operations: tuple[Operation, ...], call: Call, *, dry_run: bool) -> bool:
        """Apply a patch whose tests may fail; whether they held."""
        _log.info(f"requesting {call.subresource}", namespace=call.namespace, vm=call.name, dry_run=dry_run)
        try:
            await self._client.json_patch(VIRTUAL_MACHINES, call.namespace, call.name, operations, dry_run=dry_run)
        except (Conflict, NotFound):
            return False
        except KubeError as error:
            raise failed(call, error) from error
        return True

    async def _write(
        self, vm: VirtualMachine, guest: Guest | None, writes: Writes, call: Call, *, dry_run: bool
    ) -> None:
        namespace, name = vm.metadata.namespace, vm.metadata.name
        _log.info(f"requesting {call.subresource}", namespace=namespace, vm=name, dry_run=dry_run)
        if writes.grace_period is not None and guest is not None:
            operations: list[Operation] = [
                {"op": "test", "path": "/metadata/uid", "value": guest.metadata.uid},
                {"op": "add", "path": _GRACE, "value": writes.grace_period},
            ]
            await self._client.json_patch(VIRTUAL_MACHINE_INSTANCES, namespace, name, operations, dry_run=dry_run)
        if writes.status:
            await self._client.json_patch(VIRTUAL_MACHINES, namespace, name, writes.status, "status", dry_run=dry_run)
        if writes.spec:
            await self._client.json_patch(VIRTUAL_MACHINES, namespace, name, writes.spec, dry_run=dry_run)


def instance_of(guest: Guest | None) -> Instance | None:
    """What a decision needs of it."""
    if guest is None:
        return None
    seconds = guest.spec_value("terminationGracePeriodSeconds")
    return Instance(guest.metadata.uid, guest.status.phase, seconds if isinstance(seconds, int) else None)
