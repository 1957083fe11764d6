"""The guest's side controls a launcher: its texts are bounded and sanitized."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest
from kubevirt.launcher.v1 import launcher_pb2, migration_pb2, state_pb2
from virt_core.kube.client import KubeClient
from virt_core.kube.resource import EVENTS, VIRTUAL_MACHINE_INSTANCES
from virt_core.rpc.errors import InvalidField, Refused, RpcError
from virt_core.rpc.peer import Peer
from virt_core.testing.api_server import FakeApiServer
from virt_core.vmi.instance import VirtualMachineInstance
from virt_handler.machines.guest_state import GuestState
from virt_handler.machines.hostile_text import condition_reason, printable
from virt_handler.machines.link import MachineLink
from virt_handler.machines.pod import ConnectedLauncher
from virt_handler.migration.actions import PrepareTarget
from virt_handler.migration.execute import MigrationExecutor
from virt_handler.migration.watch import MigrationWatch
from virt_handler.service.commands import harmless

from tests.support import virtual_time
from tests.unit.handler.demo import POD_UID, VMI_UID

from .fake_launcher import DirectConnections, FakeLauncher, FakePod
from .fake_migration import AUTHORITY
from .node import condition, handler, put_vmi, until

HOSTILE = "\x1b[2J\u202ekernel panic\n" * 9999


def test_a_hostile_launcher_cannot_exceed_the_limits_of_a_status() -> None:
    state = state_pb2.MachineState(
        machine_uid=VMI_UID, phase=state_pb2.MACHINE_PHASE_RUNNING, message="\x1b[2Jm\n\u202e" * 9999
    )
    state.machine_type = "pc\n" * 999
    state.agent.os.name = "x\x00\n" * 999
    for number in range(999):
        card = state.agent.interfaces.add(name="n" * 999, mac_address="zz")
        card.addresses.extend(["127.0.0.1", "not an address", "; rm -rf /"] * 99)
        state.disks.add(name=f"d{number}", capacity_bytes=(1 << 64) - 1)
    state.agent.interfaces[1].addresses[:] = ["FE80::1%" + "z\n" * 99999, "fe80::2%eth0", "%"]
    seen = GuestState.from_message(state)
    assert seen.agent is not None
    assert (len(seen.agent.interfaces), len(seen.disks)) == (32, 256)
    assert seen.message.isprintable() and "\n" not in seen.message and 100 < len(seen.message) <= 4096
    assert set(seen.agent.interfaces[0].addresses) == {"127.0.0.1"}
    assert dict(seen.agent.os)["name"].isprintable() and len(dict(seen.agent.os)["name"]) <= 128
    assert seen.agent.interfaces[1].addresses == ("fe80::1", "fe80::2")
    assert seen.disks[0].capacity_bytes == (1 << 63) - 1
    assert seen.machine_type.isprintable() and len(seen.machine_type) <= 128


@pytest.mark.parametrize(
    "error",
    [Refused(HOSTILE, reason="NO SUCH\n" * 999), InvalidField("field" * 999, HOSTILE, "less")],
    ids=["refused", "invalid"],
)
async def test_a_hostile_refusal_becomes_a_bounded_condition_and_event(
    server: FakeApiServer, client: KubeClient, error: RpcError
) -> None:
    launcher, connections = FakeLauncher(), DirectConnections()
    launcher.error = error
    connections.add(POD_UID, launcher)
    put_vmi(server)
    async with handler(client, connections.connect):
        seen = condition(await until(server, lambda status: bool(condition(status, "Synchronized"))), "Synchronized")
        await server.received("POST", 1)
        (event,) = await client.list(EVENTS, "default")
    for text in (seen["message"], event["note"]):
        assert text.isprintable() and 0 < len(text) <= 500
    assert seen["reason"].isalnum() and len(seen["reason"]) <= 64


@pytest.mark.parametrize(
    ("word", "reason"), [("UNSUPPORTED_BY_PEER", "UnsupportedByPeer"), ("", "Refused"), ("9;DROP", "Refused9Drop")]
)
def test_a_refusals_reason_is_a_conditions_reason(word: str, reason: str) -> None:
    assert condition_reason(word) == reason


def test_a_refusal_of_a_command_is_sanitized_for_the_caller() -> None:
    seen = harmless(Refused(HOSTILE, reason=HOSTILE, field=HOSTILE))
    assert isinstance(seen, Refused)
    assert all(text.isprintable() and len(text) <= 500 for text in (str(seen), seen.message, seen.reason, seen.field))
    assert printable("two\nlines", 99) == "two lines"


class Flood:
    """The peer of a launcher that sends the same state as fast as it is read."""

    info = SimpleNamespace(release=HOSTILE, features=[])

    def __init__(self) -> None:
        self.read = 0

    async def stream(self, method: Any, request: Any, *, idle: float, lifetime: float) -> AsyncIterator[Any]:
        state = state_pb2.MachineState(phase=state_pb2.MACHINE_PHASE_RUNNING)
        while True:
            self.read += 1
            yield launcher_pb2.WatchMachineResponse(state=state, instance_id=HOSTILE)
            await asyncio.sleep(0)


async def follow(flood: Flood, seconds: float) -> None:
    @asynccontextmanager
    async def connect(_pod_uid: str, _name: str) -> AsyncIterator[ConnectedLauncher]:
        yield ConnectedLauncher(cast(Peer, flood), SimpleNamespace(WatchMachine=None), None, FakePod())

    link = MachineLink(connect, ("default", "demo"), VMI_UID, POD_UID, lambda: None)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(seconds):
            await link.run()


def test_a_launcher_that_repeats_its_state_without_a_pause_is_read_now_and_then() -> None:
    flood = Flood()
    virtual_time.run(follow(flood, 0.5))
    assert 1 < flood.read < 30


def test_a_launchers_texts_are_bounded_in_the_handlers_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    virtual_time.run(follow(Flood(), 0.1))
    texts = [str(value) for record in caplog.records for value in getattr(record, "virt_fields", {}).values()]
    assert texts and all(len(text) <= 500 and text.isprintable() for text in texts)


class Broken:
    """The peer of a launcher whose messages cause a defect."""

    read = 0

    async def stream(self, method: Any, request: Any, *, idle: float, lifetime: float) -> AsyncIterator[Any]:
        self.read += 1
        yield None


def test_a_report_that_causes_a_defect_ends_no_other_guests_handler() -> None:
    broken = Broken()

    class Link:
        pod_uid = POD_UID

        @asynccontextmanager
        async def while_connected(self) -> AsyncIterator[ConnectedLauncher]:
            migration = SimpleNamespace(WatchMigration=None)
            yield ConnectedLauncher(cast(Peer, broken), None, migration, FakePod())

    watch = MigrationWatch(cast(MachineLink, Link()), "m1", lambda: None)

    async def check() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(70):
                await watch.run()

    virtual_time.run(check())
    assert broken.read == 3 and watch.report is None


async def test_ports_that_a_target_cannot_have_reach_no_status(server: FakeApiServer, client: KubeClient) -> None:
    answer = migration_pb2.PrepareTargetResponse(certificate_authority=AUTHORITY, ports=[16514, 0, 70_000])

    class Lying:
        async def call(self, method: Any, request: Any, *, timeout: float) -> Any:
            return answer

    class Link:
        pod_uid = POD_UID

        @asynccontextmanager
        async def launcher(self) -> AsyncIterator[ConnectedLauncher]:
            yield ConnectedLauncher(cast(Peer, Lying()), None, SimpleNamespace(PrepareTarget=None), FakePod())

    put_vmi(server, migrationState={"migrationUid": "m1"})
    vmi = VirtualMachineInstance.of(await client.get(VIRTUAL_MACHINE_INSTANCES, "default", "demo"))
    request = migration_pb2.PrepareTargetRequest(migration_uid="m1", address="10.244.2.9")
    answers: list[dict[str, Any]] = []
    await MigrationExecutor(client, answers.append).execute(PrepareTarget(request), vmi, cast(MachineLink, Link()))
    (stored,) = answers
    assert stored["status"]["migrationState"]["targetDirectMigrationNodePorts"] == {"16514": 0}
