"""Follows a migration as its source's launcher reports it. A task per migration, started and cancelled by reconcile.py.

Like machines/link.py it only observes. While the launcher does not answer, the report is unknown; that the migration
was aborted stays known, because it is final.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing

from kubevirt.launcher.v1 import migration_pb2 as pb
from virt_core import logs
from virt_core.rpc.errors import NotFound, Refused, RpcError

from virt_handler.machines.allowance import Allowance
from virt_handler.machines.hostile_text import MESSAGE_LENGTH, printable
from virt_handler.machines.link import Disconnected, MachineLink
from virt_handler.machines.pod import ConnectedLauncher
from virt_handler.migration.report import NEVER_HEARD, MigrationReport, Progress

_IDLE = 25.0  # seconds; launchers send a heartbeat every 10
_LIFETIME = 31 * 60.0  # the launcher ends the stream after 30 minutes
_BACKOFF_FIRST, _BACKOFF_LAST = 0.05, 1.0
_HOSTILE_DELAY = 30.0
_CHANGES_AT_ONCE, _SECONDS_PER_CHANGE = 10, 1.0  # of a stream's messages; progress comes once a second


class MigrationWatch:
    """The last report on one migration."""

    def __init__(self, link: MachineLink, migration_uid: str, on_change: Callable[[], None]) -> None:
        self.report: MigrationReport | None = None
        """None while unknown."""
        self._link = link
        self._uid = migration_uid
        self._on_change = on_change
        self._again = asyncio.Event()
        self._allowance = Allowance(_CHANGES_AT_ONCE, _SECONDS_PER_CHANGE)
        self._log = logs.bound("virt_handler.migration.watch", migration=migration_uid, pod_uid=link.pod_uid)

    def again(self) -> None:
        """The launcher has been called: it knows the migration now."""
        self._again.set()

    async def run(self) -> None:
        """Follow until the migration is aborted, or until cancelled."""
        backoff = _BACKOFF_FIRST
        while self.report is None or self.report.progress is not Progress.ABORTED:
            self._again.clear()
            try:
                async with self._link.while_connected() as launcher:
                    await self._follow(launcher)
                backoff = _BACKOFF_FIRST
            except (NotFound, Refused):
                self._see(NEVER_HEARD)
                await self._again.wait()
                continue
            except Disconnected:
                self._forget()
            except RpcError as error:
                self._forget()
                self._log.info("following again", reason=printable(str(error), MESSAGE_LENGTH), delay=backoff)
            except Exception:  # it would end the handler, with all guests' links
                self._forget()
                self._log.error("following again after a defect", delay=_HOSTILE_DELAY, exc_info=True)
                await self._wait(_HOSTILE_DELAY)
                continue
            await self._wait(backoff)
            backoff = min(backoff * 2, _BACKOFF_LAST)

    async def _follow(self, launcher: ConnectedLauncher) -> None:
        request = pb.WatchMigrationRequest(migration_uid=self._uid)
        stream = launcher.peer.stream(launcher.migration.WatchMigration, request, idle=_IDLE, lifetime=_LIFETIME)
        async with aclosing(stream):
            async for response in stream:
                self._see(MigrationReport.from_message(response.state))
                if self.report is not None and self.report.progress is Progress.ABORTED:
                    return
                await asyncio.sleep(self._allowance.take(asyncio.get_running_loop().time()))

    def _see(self, report: MigrationReport) -> None:
        before = self.report
        if report != before:
            if before is None or (report.progress, report.reason) != (before.progress, before.reason):
                self._log.info("seeing the migration", progress=report.progress.name, reason=report.reason)
            self.report = report
            self._on_change()

    def _forget(self) -> None:
        if self.report is not None and self.report.progress is not Progress.ABORTED:
            self.report = None

    async def _wait(self, delay: float) -> None:
        try:
            async with asyncio.timeout(delay):
                await self._again.wait()
        except TimeoutError:
            pass
