"""The calls that the handlers of both nodes make for a migration. Used by test_migration_by_launchers.py."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import grpc
from kubevirt.launcher.v1 import machine_pb2, migration_pb2_grpc
from kubevirt.launcher.v1 import migration_pb2 as pb

from tests.integration.launcher.launcher_pair import Side
from tests.support.patience import PATIENCE

CALL = PATIENCE


class Handlers:
    """One migration of the guest `machine`."""

    def __init__(self, uid: str, source: Side, target: Side, machine: machine_pb2.Machine) -> None:
        self.uid, self.source, self.target, self.machine = uid, source, target, machine
        self._at_source: Any = migration_pb2_grpc.MigrationServiceStub(source.peer.channel)
        self._at_target: Any = migration_pb2_grpc.MigrationServiceStub(target.peer.channel)

    async def prepare(self) -> pb.PrepareTargetResponse:
        """Both sides know each other."""
        identify = pb.GetMigrationIdentityRequest(
            migration_uid=self.uid, machine_uid=self.machine.uid, address=self.source.address
        )
        identity = await self.source.peer.call(self._at_source.GetMigrationIdentity, identify, timeout=CALL)
        prepare = pb.PrepareTargetRequest(
            migration_uid=self.uid,
            machine=self.machine,
            certificate_authority=identity.certificate_authority,
            peer_address=self.source.address,
            address=self.target.address,
            copied_disks=identity.copied_disks,
        )
        prepare.machine.machine_type = identity.machine_type
        prepared: pb.PrepareTargetResponse = await self.target.peer.call(
            self._at_target.PrepareTarget, prepare, timeout=CALL
        )
        return prepared

    async def start(self, prepared: pb.PrepareTargetResponse, **options: Any) -> pb.MigrationState:
        """StartMigration."""
        request = pb.StartMigrationRequest(
            migration_uid=self.uid,
            machine_uid=self.machine.uid,
            target=pb.MigrationTarget(
                address=prepared.address,
                certificate_authority=prepared.certificate_authority,
                ports=prepared.ports,
            ),
            options=pb.MigrationOptions(**{"tls": True, **options}),
        )
        response = await self.source.peer.call(self._at_source.StartMigration, request, timeout=CALL)
        state: pb.MigrationState = response.state
        return state

    async def until(self, accepted: Callable[[pb.MigrationState], bool]) -> pb.MigrationState:
        """Watch until the state of the migration is accepted, again when the launcher was replaced."""
        seen: list[pb.MigrationState] = []
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    call = self._at_source.WatchMigration(
                        pb.WatchMigrationRequest(migration_uid=self.uid), wait_for_ready=True
                    )
                    with contextlib.suppress(grpc.aio.AioRpcError):
                        async for response in call:
                            seen.append(response.state)
                            if accepted(response.state):
                                call.cancel()
                                return seen[-1]
                    await asyncio.sleep(0.1)
        except TimeoutError:
            logs = "\n".join(f"--- {side.name}\n{side.log[-5000:]}" for side in (self.source, self.target))
            raise AssertionError(f"last state: {seen[-1:]}\n{logs}") from None

    async def until_phase(self, *phases: pb.MigrationPhase.ValueType) -> pb.MigrationState:
        """The same for a phase."""
        return await self.until(lambda state: state.phase in phases)

    async def cancel(self) -> None:
        """CancelMigration."""
        request = pb.CancelMigrationRequest(migration_uid=self.uid)
        await self.source.peer.call(self._at_source.CancelMigration, request, timeout=CALL)

    async def commit(self) -> None:
        """CommitTarget."""
        request = pb.CommitTargetRequest(migration_uid=self.uid)
        await self.target.peer.call(self._at_target.CommitTarget, request, timeout=CALL)

    async def abort(self) -> None:
        """AbortTarget."""
        request = pb.AbortTargetRequest(migration_uid=self.uid)
        await self.target.peer.call(self._at_target.AbortTarget, request, timeout=CALL)
