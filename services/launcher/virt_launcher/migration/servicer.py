"""Implements the contract's MigrationService with both sides of a migration. Called by gRPC; knows no libvirt."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from kubevirt.launcher.v1 import migration_pb2 as pb
from kubevirt.launcher.v1 import migration_pb2_grpc
from virt_core import logs
from virt_core.rpc.errors import InvalidField, NotFound, Refused, Unavailable

from virt_launcher.contract_errors import as_contract_says
from virt_launcher.domain.disks_xml import copied_disks
from virt_launcher.machine.keeper import Keeper
from virt_launcher.machine.validation.machine import validate
from virt_launcher.migration.certificates import CertificatesFailed
from virt_launcher.migration.source import Source
from virt_launcher.migration.target import Target
from virt_launcher.settings import Settings

_log = logs.bound("virt_launcher.migration")


@contextlib.asynccontextmanager
async def _as_contract_says() -> AsyncIterator[None]:
    """Translate the errors of a call about a migration."""
    async with as_contract_says():
        try:
            yield
        except CertificatesFailed as error:
            raise Unavailable(str(error)) from error
        except ValueError as error:
            raise InvalidField("address", str(error), "an IP address") from error


class MigrationServicer(migration_pb2_grpc.MigrationServiceServicer):
    """The servicer. `finished` is set when the target is aborted."""

    def __init__(
        self,
        settings: Settings,
        instance_id: str,
        keeper: Keeper,
        *,
        source: Source,
        target: Target,
        finished: asyncio.Event,
    ) -> None:
        self._settings = settings
        self._instance_id = instance_id
        self._keeper = keeper
        self._source = source
        self._target = target
        self._finished = finished

    async def GetMigrationIdentity(  # noqa: N802 - the contract's name
        self, request: pb.GetMigrationIdentityRequest, context: Any
    ) -> pb.GetMigrationIdentityResponse:
        self._require_guest(request.migration_uid, request.machine_uid)
        async with _as_contract_says():
            await self._target.finish()
            authority = await self._source.identify(request)
        record = self._keeper.record
        assert record.machine is not None and record.running is not None
        copied = copied_disks(record.machine.disks)
        return pb.GetMigrationIdentityResponse(
            certificate_authority=authority,
            copied_disks=[
                pb.CopiedDisk(name=disk.name, bytes=disk.capacity_bytes)
                for disk in record.running.disks
                if disk.name in copied
            ],
            machine_type=record.running.machine_type,
        )

    async def PrepareTarget(  # noqa: N802 - the contract's name
        self, request: pb.PrepareTargetRequest, context: Any
    ) -> pb.PrepareTargetResponse:
        _require_uid(request.migration_uid)
        validate(request.machine)
        async with _as_contract_says():
            return await self._target.prepare(request)

    async def StartMigration(  # noqa: N802 - the contract's name
        self, request: pb.StartMigrationRequest, context: Any
    ) -> pb.StartMigrationResponse:
        self._require_guest(request.migration_uid, request.machine_uid)
        async with _as_contract_says():
            return pb.StartMigrationResponse(state=await self._source.begin(request))

    async def WatchMigration(  # noqa: N802 - the contract's name
        self, request: pb.WatchMigrationRequest, context: Any
    ) -> AsyncIterator[pb.WatchMigrationResponse]:
        published, settings = self._source.published, self._settings
        revisions = published.revisions(heartbeat=settings.heartbeat, lifetime=settings.watch_lifetime)
        if published.state.migration_uid != request.migration_uid:
            raise NotFound("this launcher is not the source of the migration")
        async with contextlib.aclosing(revisions):
            async for revision in revisions:
                if published.state.migration_uid != request.migration_uid:
                    return
                yield pb.WatchMigrationResponse(instance_id=self._instance_id, revision=revision, state=published.state)

    async def CancelMigration(  # noqa: N802 - the contract's name
        self, request: pb.CancelMigrationRequest, context: Any
    ) -> pb.CancelMigrationResponse:
        _require_uid(request.migration_uid)
        return pb.CancelMigrationResponse(state=await self._source.cancel(request))

    async def CommitTarget(  # noqa: N802 - the contract's name
        self, request: pb.CommitTargetRequest, context: Any
    ) -> pb.CommitTargetResponse:
        _require_uid(request.migration_uid)
        async with _as_contract_says():
            await self._target.commit(request.migration_uid)
        return pb.CommitTargetResponse()

    async def AbortTarget(  # noqa: N802 - the contract's name
        self, request: pb.AbortTargetRequest, context: Any
    ) -> pb.AbortTargetResponse:
        incoming = self._keeper.record.incoming
        if incoming is not None and incoming.migration_uid != request.migration_uid:
            raise Refused(f"this launcher awaits migration {incoming.migration_uid}", reason="ANOTHER_MIGRATION")
        if incoming is None and self._keeper.record.machine is not None:
            raise Refused("the machine was started here", reason="ARRIVED")
        async with _as_contract_says():
            await self._target.abort()
        _log.info("exiting, the migration is aborted", migration=request.migration_uid)
        self._finished.set()
        return pb.AbortTargetResponse()

    def _require_guest(self, migration_uid: str, machine_uid: str) -> None:
        _require_uid(migration_uid)
        record = self._keeper.record
        if record.machine is None or record.machine.uid != machine_uid:
            raise Refused("this launcher does not run the machine", reason="ANOTHER_MACHINE", field="machine_uid")
        if record.running is None:
            raise Refused("the machine does not run", reason="NOT_RUNNING")


def _require_uid(uid: str) -> None:
    if not uid:
        raise InvalidField("migration_uid", uid, "the UID of a migration")
