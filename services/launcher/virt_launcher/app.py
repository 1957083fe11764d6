"""virt-launcher's composition root: starts every task of the process by name. Called by __main__."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from kubevirt.info.v1 import info_pb2
from kubevirt.launcher.v1 import launcher_pb2_grpc
from virt_core import logs
from virt_core.conventions.launcher_features import ACCESS_CREDENTIALS, MIGRATION, STATISTICS
from virt_core.rpc.identity import Identity
from virt_core.rpc.server import create_server

from virt_launcher.agent.keeper import AgentKeeper
from virt_launcher.agent.secret_watch import watch_secrets
from virt_launcher.dhcp.responder import serve_leases
from virt_launcher.domain.host import Host
from virt_launcher.machine.keeper import Keeper
from virt_launcher.machine.record import RecordFolder
from virt_launcher.migration.on_demand import MigrationOnDemand
from virt_launcher.screenshot import Screenshots
from virt_launcher.servicer import LauncherServicer
from virt_launcher.settings import Settings
from virt_launcher.shutdown import catch_signals, stop_guest
from virt_launcher.statistics import Statistics

if TYPE_CHECKING:  # loaded when there is a migration only
    from virt_launcher.migration.engine import Engine

_log = logs.bound("virt_launcher.app")

CONTRACTS = ("kubevirt.info.v1", "kubevirt.launcher.v1")
FEATURES = frozenset({ACCESS_CREDENTIALS, MIGRATION, STATISTICS})
"""Of the contract's fields and services that came after its first release."""

# Grace period in seconds for calls in flight: watches send the last state to the handler.
_LAST_WORDS = 1.0


async def run(settings: Settings, host: Host) -> None:
    """Serve until the machine has ended and its end is acknowledged, or until SIGTERM has ended it."""
    stopping = catch_signals()
    finished = asyncio.Event()
    keeper = Keeper(settings, RecordFolder(settings.state_folder), host)
    identity = Identity.for_process(info_pb2.COMPONENT_LAUNCHER, CONTRACTS, FEATURES)
    server = create_server(identity)
    agent = AgentKeeper(settings, keeper, host)
    screenshots = Screenshots(settings, host)
    servicer = LauncherServicer(
        settings,
        identity.instance_id,
        keeper,
        agent=agent,
        screenshots=screenshots,
        statistics=Statistics(host),
        finished=finished,
    )
    launcher_pb2_grpc.add_LauncherServiceServicer_to_server(servicer, server)
    migration = MigrationOnDemand(partial(_engine, settings, identity.instance_id, keeper, host, finished))
    server.add_generic_rpc_handlers((migration,))
    # The socket gets its name when it is ready, and replaces a dead predecessor's atomically.
    unready = settings.socket.with_suffix(".part")
    unready.unlink(missing_ok=True)
    server.add_insecure_port(f"unix:{unready}")
    await server.start()
    unready.rename(settings.socket)
    _log.info("serving", instance_id=identity.instance_id, socket=str(settings.socket))
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(keeper.run(), name="machine"),
            group.create_task(keeper.watch_files(), name="files of other containers"),
            group.create_task(agent.run(), name="guest agent"),
            group.create_task(migration.run(keeper.record), name="migration"),
            group.create_task(watch_secrets(keeper, agent.secret_changed), name="access credentials"),
            group.create_task(serve_leases(keeper, settings), name="dhcp"),
            group.create_task(stop_guest(stopping, keeper, finished, settings.termination_message), name="signals"),
        ]
        await finished.wait()
        await keeper.published.close()
        await server.stop(_LAST_WORDS)
        for task in tasks:
            task.cancel()


def _engine(settings: Settings, instance_id: str, keeper: Keeper, host: Host, finished: asyncio.Event) -> Engine:
    from virt_launcher.migration.engine import Engine

    return Engine(settings, instance_id, keeper, host, finished)
