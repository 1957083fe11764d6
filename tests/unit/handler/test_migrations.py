"""A migration between two pods of one node, over gRPC: one handler is both sides."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from kubevirt.launcher.v1 import state_pb2
from virt_core.kube.client import KubeClient
from virt_core.kube.resource import EVENTS
from virt_core.kube.resource import VIRTUAL_MACHINE_INSTANCES as VMI
from virt_core.rpc.errors import InvalidField, Refused, Unavailable
from virt_core.testing.api_server import FakeApiServer
from virt_handler.machines.pod import ConnectedLauncher
from virt_handler.network.plan import PodNetwork
from virt_handler.reconcile import Machines

from tests.unit.handler.demo import NODE, POD_UID

from .fake_launcher import connected, listening
from .fake_migration import MigratingLauncher, Network
from .node import condition, handler, put_vmi, until

TARGET_UID = "1c9d4e21-2222-4f0a-9d43-7a1f5f2f9c00"
STATE = {
    "migrationUid": "m1",
    "sourceNode": NODE,
    "sourcePodUID": POD_UID,
    "targetNode": NODE,
    "targetPodUID": TARGET_UID,
}


class Pair:
    """Two launchers on sockets."""

    def __init__(self, folder: Path) -> None:
        network = Network()
        self.source, self.target = MigratingLauncher(network), MigratingLauncher(network)
        self.target.pod.network = PodNetwork(1500, ("10.244.1.8",))
        self._sockets = {POD_UID: (self.source, folder / "a"), TARGET_UID: (self.target, folder / "b")}

    async def listen(self, stack: AsyncExitStack) -> None:
        for launcher, socket in self._sockets.values():
            await stack.enter_async_context(listening(launcher, socket))

    def connect(self, pod_uid: str, name: str) -> AbstractAsyncContextManager[ConnectedLauncher]:
        return connected(*self._sockets[pod_uid], name)


@asynccontextmanager
async def moving(server: FakeApiServer, client: KubeClient, pair: Pair) -> AsyncIterator[Machines]:
    """The handler of a guest that runs and has just been handed off."""
    async with AsyncExitStack() as stack:
        await pair.listen(stack)
        machines = await stack.enter_async_context(handler(client, pair.connect))
        await until(server, lambda status: status["phase"] == "Running")
        pods = {POD_UID: NODE, TARGET_UID: NODE}
        await client.merge_patch(VMI, "default", "demo", {"status": {"activePods": pods, "migrationState": STATE}})
        yield machines


async def test_a_guest_moves_to_another_pod_of_its_node(
    server: FakeApiServer, client: KubeClient, tmp_path: Path
) -> None:
    pair = Pair(tmp_path)
    put_vmi(server, nodeName=NODE)
    async with moving(server, client, pair) as machines:
        while not (await machines.metrics())[0].samples:  # noqa: ASYNC110 - they come from the other side
            await asyncio.sleep(0.01)
        assert "StartMigration" in pair.source.calls
        pair.source.copied()
        status = await until(server, lambda status: bool(status["migrationState"].get("completed")))
        while not pair.source.acknowledged:  # noqa: ASYNC110 - it is called by the other side
            await asyncio.sleep(0.01)
    (sample,) = (await machines.metrics())[0].samples
    assert sample.name == "kubevirt_vmi_migration_data_bytes_total" and sample.value == 1 << 20
    assert sample.labels == {"namespace": "default", "name": "demo", "node": NODE}
    assert status["interfaces"][0]["ipAddress"] == "10.244.1.8"
    assert status["migrationState"]["targetDirectMigrationNodePorts"] == {"16514": 0, "49152": 0, "49153": 0}
    assert status["migrationState"]["sourceDisks"] == {"root": 1 << 20}
    assert not status["migrationState"].get("failed")


@pytest.mark.parametrize(
    "error",
    [
        Refused("Machine.tpm is not known", reason="UNSUPPORTED_BY_PEER"),
        InvalidField("PrepareTargetRequest.machine.machine_type", "pc-q35-10.0", "pc-q35-7.2"),
    ],
)
async def test_what_the_target_refuses_is_the_failure_of_the_migration(
    server: FakeApiServer, client: KubeClient, tmp_path: Path, error: Refused
) -> None:
    pair = Pair(tmp_path)
    pair.target.refusing = error
    put_vmi(server, nodeName=NODE)
    async with moving(server, client, pair):
        status = await until(server, lambda status: bool(status["migrationState"].get("completed")))
        while not pair.target.exited:  # noqa: ASYNC110 - it is called by the other side
            await asyncio.sleep(0.01)
        reasons = [event["reason"] for event in await client.list(EVENTS, "default") if event["type"] == "Warning"]
    state = status["migrationState"]
    assert (state["failed"], state["failureReason"]) == (True, f"the target refuses: {error.message}")
    assert status["nodeName"] == NODE and status["phase"] == "Running" and pair.source.runs()
    assert reasons == ["Migrated"]


async def test_a_volume_that_the_target_cannot_use_ends_the_migration_not_the_guest(
    server: FakeApiServer, client: KubeClient, tmp_path: Path
) -> None:
    pair = Pair(tmp_path)
    pair.target.pod.unusable = "has a disk.img that belongs to user 4242"
    claim = {"name": "data", "persistentVolumeClaimInfo": {"volumeMode": "Filesystem"}}
    volume = {"name": "data", "persistentVolumeClaim": {"claimName": "shop"}}
    put_vmi(server, volumes=[volume], volumeStatus=[claim], nodeName=NODE)
    async with moving(server, client, pair):
        status = await until(server, lambda status: bool(status["migrationState"].get("completed")))
    reason = "disk data has a disk.img that belongs to user 4242 on the target's node"
    assert status["migrationState"]["failureReason"] == reason
    assert pair.source.runs()


async def test_a_pod_of_the_node_that_does_not_answer_delays_no_report_about_the_other(
    server: FakeApiServer, client: KubeClient, tmp_path: Path
) -> None:
    pair = Pair(tmp_path)
    put_vmi(server, nodeName=NODE)
    async with moving(server, client, pair):
        while "StartMigration" not in pair.source.calls:  # noqa: ASYNC110 - it is called by the other side
            await asyncio.sleep(0.01)
        pair.source.error = Unavailable("the launcher does not answer")
        pair.source.copied()
        await until(server, lambda status: bool(status["migrationState"].get("completed")))
        pair.target.become(state_pb2.MACHINE_PHASE_PAUSED)
        await until(server, lambda status: bool(condition(status, "Paused")))
        while "AcknowledgeEnd" not in pair.source.calls:  # noqa: ASYNC110 - it is called by the other side
            await asyncio.sleep(0.01)
    assert not pair.source.acknowledged
