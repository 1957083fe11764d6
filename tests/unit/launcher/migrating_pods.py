"""Two launchers on doubles of their hypervisors, between which a guest migrates. In virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

from kubevirt.launcher.v1 import migration_pb2 as pb
from kubevirt.launcher.v1 import state_pb2
from virt_core.rpc.errors import RpcError
from virt_launcher.domain.files import DomainFiles
from virt_launcher.domain.host import Host
from virt_launcher.domain.observation import DomainPhase
from virt_launcher.migration.certificates import Certificates
from virt_launcher.migration.listening import Listening, ListeningFailed
from virt_launcher.migration.servicer import MigrationServicer
from virt_launcher.migration.source import Source
from virt_launcher.migration.target import Target

from tests.support.hypervisor.fake_migration import FakeNetwork
from tests.unit.launcher.launcher_pod import UID, LauncherPod, machine

MIGRATION = "6d1c3f0a-0000-4000-8000-000000000001"
SOURCE, TARGET = "10.99.0.1", "10.99.0.2"


class _Certificates:
    """Those on one pod's disk; `owner` is their migration."""

    def __init__(self) -> None:
        self.owner = ""

    async def identity(self, migration_uid: str, address: str) -> str:
        self.owner = migration_uid
        return f"authority of {address}"

    def trust(self, authority: str) -> None:
        self.owner = self.owner or "somebody"

    def forget(self) -> None:
        self.owner = ""


class _Listening:
    """What libvirtd reads when it starts; `failures` is how many of its next starts take too long."""

    def __init__(self) -> None:
        self.address: str | None = None
        self.connected = False
        self.failures = 0

    async def open(self, address: str) -> None:
        if self.failures:
            self.failures -= 1
            self.address = None
            raise ListeningFailed("libvirtd did not restart within 10 s")
        self.address = address

    async def close(self) -> None:
        self.address = None


async def _reachable(address: str, ports: Iterable[int]) -> str:
    return ""


class MigratingPod(LauncherPod):
    """A launcher pod with both sides of a migration."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.network: FakeNetwork | None = None
        self.qemu = "10.0.2"
        self.certificates, self.listening = _Certificates(), _Listening()
        super().__init__(folder)

    def start(self) -> None:
        super().start()
        if self.network is None:
            return
        certificates, host = cast(Certificates, self.certificates), cast(Host, self.host)
        connect: Any = self.network.connections(self.hypervisor)
        self.source = Source(self.keeper, host, certificates, connect, _reachable, qemu=self.qemu)
        files = DomainFiles.below(self.settings.state_folder)
        self.target = Target(files, self.keeper, host, certificates, cast(Listening, self.listening))
        self.migration = MigrationServicer(
            self.settings, "instance", self.keeper, source=self.source, target=self.target, finished=self.finished
        )
        self._tasks += [
            asyncio.create_task(self.source.run(), name="migration source"),
            asyncio.create_task(self.target.run(), name="migration target"),
        ]


class Pair:
    """Source and target. `violations` are moments at which the guest ran where it must not."""

    def __init__(self, folder: Path) -> None:
        self.source, self.target = MigratingPod(folder / "source"), MigratingPod(folder / "target")
        self.network = FakeNetwork({SOURCE: self.source.hypervisor, TARGET: self.target.hypervisor})
        self.violations: list[str] = []
        self.source_is_dead = self.source_switched = False
        self.outdated = False
        """Whether the guest ran at the source after it had arrived completely at the target."""
        for pod in (self.source, self.target):
            pod.hypervisor.changed = self._judge

    async def begin(self) -> None:
        """The launchers' first processes."""
        for pod in (self.source, self.target):
            await pod.kill()
            pod.network = self.network
            pod.start()

    def _judge(self) -> None:
        source, target = self.source.hypervisor, self.target.hypervisor
        self.outdated |= source.phase is DomainPhase.RUNNING and target.phase is DomainPhase.STANDING
        if self.outdated and target.phase is DomainPhase.RUNNING:
            self.violations.append("the target starts a guest that has run on at the source")
        if source.phase is DomainPhase.RUNNING and target.phase is DomainPhase.RUNNING:
            self.violations.append("the guest runs on both sides")
        if source.phase is DomainPhase.RUNNING and target.lives:
            self.violations.append("the guest runs at the source after the target has started it")

    async def prepare(self) -> None:
        """What the handlers do before the copy."""
        identify = pb.GetMigrationIdentityRequest(migration_uid=MIGRATION, machine_uid=UID, address=SOURCE)
        identity = await self.source.migration.GetMigrationIdentity(identify, None)
        request = pb.PrepareTargetRequest(
            migration_uid=MIGRATION,
            machine=machine(start_paused=self.source.record.pause_wanted),
            certificate_authority=identity.certificate_authority,
            address=TARGET,
            peer_address=SOURCE,
        )
        await self.target.migration.PrepareTarget(request, None)

    async def copy(self, **options: Any) -> pb.MigrationState:
        """StartMigration."""
        request = pb.StartMigrationRequest(migration_uid=MIGRATION, machine_uid=UID)
        request.target.address = TARGET
        request.options.MergeFrom(pb.MigrationOptions(**options))
        return (await self.source.migration.StartMigration(request, None)).state

    async def cancel(self, *, target_ended: bool = False) -> pb.MigrationState:
        """CancelMigration."""
        request = pb.CancelMigrationRequest(migration_uid=MIGRATION, target_ended=target_ended)
        return (await self.source.migration.CancelMigration(request, None)).state

    async def settle(self) -> None:
        """What the handlers and the controller do after the copy, as long as there is something to do."""
        commit = pb.CommitTargetRequest(migration_uid=MIGRATION)
        abort = pb.AbortTargetRequest(migration_uid=MIGRATION)
        state = self.source.record.migration
        aborted = state is None or state.phase == pb.MIGRATION_PHASE_ABORTED
        try:
            if self.source_is_dead and self.target.record.awaited and self.source_switched:
                await self.target.migration.CommitTarget(commit, None)
            elif (aborted or self.source_is_dead) and not self.target.finished.is_set():
                await self.target.migration.AbortTarget(abort, None)
        except RpcError as error:
            if self.source_is_dead and error.reason == "NOT_ARRIVED":
                await self.target.migration.AbortTarget(abort, None)

    async def kill_source(self) -> None:
        """The source's pod is gone for good."""
        self.source_is_dead, self.source_switched = True, self.source.record.switched
        await self.source.kill()
        self.source.hypervisor.answers = False
        self.source.hypervisor.kill_qemu()

    async def migrated(self) -> None:
        """Wait until the source's launcher says that the guest has gone."""
        state = await self.source.phase(state_pb2.MACHINE_PHASE_ENDED)
        assert state.end == state_pb2.MACHINE_END_MIGRATED

    async def end(self) -> None:
        """Leave no task."""
        await self.network.end()
        for pod in (self.source, self.target):
            await pod.end()
