"""Launchers that migrate a guest that is not there, as migration.proto says. A test ends the copy."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from kubevirt.launcher.v1 import launcher_pb2, migration_pb2_grpc, state_pb2
from kubevirt.launcher.v1 import migration_pb2 as pb
from virt_core.rpc.errors import NotFound, Refused, Unavailable

from .fake_launcher import FakeLauncher

AUTHORITY = "-----BEGIN CERTIFICATE-----\nQQ==\n-----END CERTIFICATE-----\n"
GUESTS = (state_pb2.MACHINE_PHASE_RUNNING, state_pb2.MACHINE_PHASE_PAUSED)
CPUS = GUESTS[:1]


@dataclass
class Network:
    """Launchers by the address at which they listen for a migration."""

    launchers: dict[str, MigratingLauncher] = field(default_factory=dict)


class MigratingLauncher(FakeLauncher, migration_pb2_grpc.MigrationServiceServicer):
    """Either side. `copied` and `broken` end the copy at the source; a launcher that has exited answers nothing."""

    features = ("migration",)

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        self.migrations: dict[str, pb.MigrationState] = {}
        self.prepared: pb.PrepareTargetRequest | None = None
        self.target = ""
        self.exited = False
        self.refusing: Refused | None = None
        """What PrepareTarget and StartMigration answer, if anything."""

    # What happens by itself.

    def copied(self) -> None:
        """The copy is complete: the source gives the guest up, the target runs it."""
        for uid, state in self.migrations.items():
            other = self.network.launchers.get(self.target)
            if state.phase == pb.MIGRATION_PHASE_COPYING:
                if other is None or other.exited or other.prepared is None or other.prepared.migration_uid != uid:
                    self._become(uid, pb.MIGRATION_PHASE_ABORTED, reason="the target does not answer")
                    continue
                self._become(uid, pb.MIGRATION_PHASE_SWITCHED)
                self.become(state_pb2.MACHINE_PHASE_MIGRATED)
                other.arrive()
                self._become(uid, pb.MIGRATION_PHASE_COMMITTED)

    def broken(self) -> None:
        """The copy fails, the guest stays."""
        for uid, state in self.migrations.items():
            if state.phase == pb.MIGRATION_PHASE_COPYING:
                self._become(uid, pb.MIGRATION_PHASE_ABORTED, reason="migration job: unexpectedly failed")

    def arrive(self) -> None:
        """The guest runs here from now on."""
        assert self.prepared is not None
        phase = (
            state_pb2.MACHINE_PHASE_PAUSED if self.prepared.machine.start_paused else state_pb2.MACHINE_PHASE_RUNNING
        )
        self.become(phase, machine_uid=self.prepared.machine.uid)

    def end(self) -> None:
        """The pod ends, with whatever runs in it."""
        self.exited = True
        self.restart()

    def runs(self) -> bool:
        """Whether the guest's CPUs may run here."""
        return not self.exited and self.state.phase in CPUS

    # The contract.

    def _listens(self, call: str) -> None:
        self.calls.append(call)
        if self.exited:
            raise Unavailable("the launcher has exited")
        if self.error is not None:
            raise self.error

    async def AcknowledgeEnd(self, request: Any, context: Any) -> Any:  # noqa: N802
        if request.end != state_pb2.MACHINE_END_MIGRATED:
            return await super().AcknowledgeEnd(request, context)
        self._listens("AcknowledgeEnd")
        if self.state.phase != state_pb2.MACHINE_PHASE_MIGRATED:
            raise Refused("the guest has not migrated", reason="NOT_ENDED")
        self.acknowledged = True
        self.end()
        return launcher_pb2.AcknowledgeEndResponse()

    async def WatchMachine(self, request: Any, context: Any) -> AsyncIterator[Any]:  # type: ignore[override, misc, unused-ignore]  # noqa: N802
        if self.exited:
            raise Unavailable("the launcher has exited")
        async for response in super().WatchMachine(request, context):
            yield response

    async def GetMigrationIdentity(self, request: Any, context: Any) -> pb.GetMigrationIdentityResponse:  # noqa: N802
        self._listens("GetMigrationIdentity")
        if request.migration_uid not in self.migrations:
            self._become(request.migration_uid, pb.MIGRATION_PHASE_PREPARED, reason="waits for its target")
        disks = [pb.CopiedDisk(name="root", bytes=1 << 20)]
        return pb.GetMigrationIdentityResponse(certificate_authority=AUTHORITY, copied_disks=disks)

    async def PrepareTarget(self, request: Any, context: Any) -> pb.PrepareTargetResponse:  # noqa: N802
        self._listens("PrepareTarget")
        if self.refusing is not None:
            raise self.refusing
        if self.state.phase == state_pb2.MACHINE_PHASE_ABSENT:
            self.prepared = request
            self.network.launchers[request.address] = self
            self.become(state_pb2.MACHINE_PHASE_INCOMING, machine_uid=request.machine.uid)
        return pb.PrepareTargetResponse(
            certificate_authority=AUTHORITY, address=request.address, ports=[16514, 49152, 49153]
        )

    async def StartMigration(self, request: Any, context: Any) -> pb.StartMigrationResponse:  # noqa: N802
        self._listens("StartMigration")
        if self.refusing is not None:
            raise self.refusing
        uid = request.migration_uid
        known = self.migrations.get(uid)
        if known is None or known.phase == pb.MIGRATION_PHASE_PREPARED:
            self.target = request.target.address
            self._become(uid, pb.MIGRATION_PHASE_COPYING, mode=pb.MIGRATION_MODE_PRE_COPY, total_bytes=1 << 20)
        return pb.StartMigrationResponse(state=self.migrations[uid])

    async def CancelMigration(self, request: Any, context: Any) -> pb.CancelMigrationResponse:  # noqa: N802
        self._listens("CancelMigration")
        uid = request.migration_uid
        known = self.migrations.get(uid)
        if known is None or known.phase in (pb.MIGRATION_PHASE_PREPARED, pb.MIGRATION_PHASE_COPYING):
            self._become(uid, pb.MIGRATION_PHASE_ABORTED, reason="canceled", canceled=True)
        return pb.CancelMigrationResponse(state=self.migrations[uid])

    async def CommitTarget(self, request: Any, context: Any) -> pb.CommitTargetResponse:  # noqa: N802
        self._listens("CommitTarget")
        if self.state.phase in GUESTS:
            return pb.CommitTargetResponse()
        raise Refused("the guest has not arrived completely", reason="NOT_ARRIVED")

    async def AbortTarget(self, request: Any, context: Any) -> pb.AbortTargetResponse:  # noqa: N802
        self._listens("AbortTarget")
        if self.state.phase in GUESTS:
            raise Refused("the guest runs", reason="ARRIVED")
        self.end()
        return pb.AbortTargetResponse()

    async def WatchMigration(self, request: Any, context: Any) -> AsyncIterator[pb.WatchMigrationResponse]:  # type: ignore[override, misc, unused-ignore]  # noqa: N802
        if self.exited:
            raise Unavailable("the launcher has exited")
        if request.migration_uid not in self.migrations:
            raise NotFound("no such migration")
        process, revision = self._process, 0
        while process == self._process:
            changed, revision = self._changed, revision + 1
            state = self.migrations[request.migration_uid]
            yield pb.WatchMigrationResponse(instance_id=f"fake-{process}", revision=revision, state=state)
            await changed.wait()
        raise Unavailable("the launcher ended")

    def _become(self, uid: str, phase: pb.MigrationPhase.ValueType, **fields: Any) -> None:
        self.migrations[uid] = pb.MigrationState(migration_uid=uid, phase=phase, **fields)
        self._stir()
