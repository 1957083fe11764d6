"""Subresources that are about migrations: migrate of a VirtualMachine, evacuate/cancel of both. Called by served.py.

migrate only creates a VirtualMachineInstanceMigration, which virt-api's own webhook reviews like any other;
evacuate/cancel removes the mark that an eviction left, so that no further migration is created.
"""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web
from virt_core import logs
from virt_core.kube.client import KubeClient
from virt_core.kube.configuration import ConfigurationCache
from virt_core.kube.errors import Conflict, Invalid, KubeError, NotFound
from virt_core.kube.resource import NODES, VIRTUAL_MACHINE_INSTANCE_MIGRATIONS, VIRTUAL_MACHINE_INSTANCES

from virt_api import errors
from virt_api.subresources.call import Call
from virt_api.subresources.guest import Guest, read_guest
from virt_api.subresources.migration_options import (
    EvacuatedNode,
    MigrateOptions,
    cancel_options,
    migrate_options,
    require_not_drained,
    unmark,
)
from virt_api.subresources.virtual_machine import failed, read_own_guest, read_started_guest, read_vm

_PREFIX = "kubevirt-migrate-vm-"
_VM_NOT_RUNNING = "VM is not running"
_ATTEMPTS = 3  # controller and handler write the VirtualMachineInstance at the same time
_log = logs.bound("virt_api.subresources.migration")


class Migration:
    """Migrations that users request, and evacuations that they cancel."""

    def __init__(self, client: KubeClient, configuration: ConfigurationCache) -> None:
        self._client = client
        self._configuration = configuration

    async def migrate(self, request: web.Request, call: Call) -> web.Response:
        """Request a migration: 202 without a body.

        Raises:
            ApiError: none was requested; after ServiceUnavailable that is unknown.
        """
        options = migrate_options(await request.read())
        vm = await read_vm(self._client, call)
        guest = await read_own_guest(self._client, vm, call)
        if guest is None:
            raise errors.NotFound(f'virtualmachineinstances.kubevirt.io "{call.name}" not found', call.details)
        if not guest.running:
            message = f'Operation cannot be fulfilled on virtualmachine.kubevirt.io "{call.name}": {_VM_NOT_RUNNING}'
            raise errors.Conflict(message, call.details)
        _log.info("requesting a migration", namespace=call.namespace, vm=call.name, dry_run=bool(options.dry_run))
        try:
            await self._client.create(
                VIRTUAL_MACHINE_INSTANCE_MIGRATIONS,
                call.namespace,
                _manifest(call.name, options),
                dry_run=bool(options.dry_run),
            )
        except (Conflict, Invalid) as error:
            raise errors.Conflict(error.message, call.details) from error
        except KubeError as error:
            raise failed(call, error) from error
        return web.Response(status=202)

    async def cancel_evacuation(self, request: web.Request, call: Call) -> web.Response:
        """Remove the mark of an evacuation: 200 without a body, also if there is none.

        Raises:
            ApiError: it was not removed.
        """
        options = cancel_options(await request.read())
        for _ in range(_ATTEMPTS):
            guest = await self._guest(call)
            await self._require_not_drained(call, guest.status.evacuation_node_name or guest.status.node_name)
            meta = guest.metadata
            operations = unmark(meta, guest.status.evacuation_node_name, options)
            if not operations:
                return web.Response()
            _log.info("cancelling an evacuation", namespace=meta.namespace, vmi=meta.name)
            try:
                await self._client.json_patch(
                    VIRTUAL_MACHINE_INSTANCES, meta.namespace, meta.name, operations, dry_run=bool(options.dry_run)
                )
                return web.Response()
            except (Conflict, NotFound) as error:
                _log.info("deciding again after a change", vmi=meta.name, reason=error.message)
            except KubeError as error:
                raise failed(call, error) from error
        raise errors.Conflict("others write it at the same time, try again", call.details)

    async def _guest(self, call: Call) -> Guest:
        if call.resource == VIRTUAL_MACHINE_INSTANCES.plural:
            return await read_guest(self._client, call)
        return await read_started_guest(self._client, call)

    async def _require_not_drained(self, call: Call, name: str) -> None:
        """A node that does not exist is not drained."""
        if not name:
            return
        try:
            node = msgspec.convert(await self._client.get(NODES, None, name), EvacuatedNode)
        except NotFound:
            return
        except KubeError as error:
            raise failed(call, error) from error
        current = self._configuration.current
        if current is None:
            raise errors.ServiceUnavailable(f"the suite's configuration is not known: {self._configuration.unknown}")
        require_not_drained(name, node, current.migrations.node_drain_taint_key)


def _manifest(name: str, options: MigrateOptions) -> dict[str, Any]:
    resource = VIRTUAL_MACHINE_INSTANCE_MIGRATIONS
    added = {"addedNodeSelector": options.added_node_selector} if options.added_node_selector else {}
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {"generateName": _PREFIX},
        "spec": {"vmiName": name, **added},
    }
