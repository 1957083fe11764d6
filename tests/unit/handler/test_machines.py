"""VirtualMachineInstances of a node, from the API server to their launchers and back."""

from __future__ import annotations

import asyncio
from pathlib import Path

from kubevirt.launcher.v1 import state_pb2
from virt_core.kube.client import KubeClient
from virt_core.kube.resource import EVENTS
from virt_core.kube.resource import VIRTUAL_MACHINE_INSTANCES as VMI
from virt_core.rpc.errors import Refused, Unavailable
from virt_core.testing.api_server import FakeApiServer

from tests.unit.handler.demo import NODE, POD_UID

from .fake_launcher import DirectConnections, FakeLauncher, connected, listening
from .node import DEMO, VMIS, condition, handler, put_vmi, until, write_status

SECOND_UID = "1c9d4e21-2222-4f0a-9d43-7a1f5f2f9c00"


async def test_a_vmi_is_started_and_its_end_is_recorded_before_the_launcher_is_released(
    server: FakeApiServer, client: KubeClient, tmp_path: Path
) -> None:
    launcher, socket = FakeLauncher(), tmp_path / "sock"
    put_vmi(server)
    async with listening(launcher, socket), handler(client, lambda _, name: connected(launcher, socket, name)):
        await until(server, lambda status: status["phase"] == "Running")
        assert launcher.pod.prepared
        launcher.become(state_pb2.MACHINE_PHASE_ENDED, end=state_pb2.MACHINE_END_SHUTDOWN)
        await until(server, lambda status: status["phase"] == "Succeeded")
        while not launcher.acknowledged:  # noqa: ASYNC110 - it is called by the other side
            await asyncio.sleep(0.01)


async def test_each_pass_over_a_guest_is_counted_until_it_is_gone(server: FakeApiServer, client: KubeClient) -> None:
    launcher, connections = FakeLauncher(), DirectConnections()
    connections.add(POD_UID, launcher)
    put_vmi(server)
    async with handler(client, connections.connect) as machines:

        async def synced() -> dict[str, float]:
            family = (await machines.metrics())[-1]
            assert (family.name, family.type) == ("kubevirt_vmi_sync", "counter")
            assert all(sample.labels["namespace"] == "default" for sample in family.samples)
            return {sample.labels["name"]: sample.value for sample in family.samples}

        await until(server, lambda status: status["phase"] == "Running")
        before = (await synced())["demo"]
        write_status(server, conditions=[{"type": "PodScheduled", "status": "True"}])
        while (await synced())["demo"] <= before:  # noqa: ASYNC110 - the watch is the other side
            await asyncio.sleep(0.01)
        server.remove(DEMO)
        while await synced():  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.01)


async def test_a_refusal_that_meets_another_writer_reaches_the_user(server: FakeApiServer, client: KubeClient) -> None:
    launcher, connections = FakeLauncher(), DirectConnections()
    launcher.error = Refused("Machine.tpm is not known", reason="UNSUPPORTED_BY_PEER")
    scheduled = {"type": "PodScheduled", "status": "True"}
    launcher.before_answer = lambda: write_status(server, conditions=[scheduled])
    connections.add(POD_UID, launcher)
    put_vmi(server, conditions=[{"type": "PodScheduled", "status": "False"}])
    async with handler(client, connections.connect):
        status = await until(server, lambda status: bool(condition(status, "Synchronized")))
        assert condition(status, "Synchronized")["message"] == "Machine.tpm is not known"
        assert condition(status, "PodScheduled")["status"] == "True"
        await server.received("POST", 1)
        (event,) = await client.list(EVENTS, "default")
        assert (event["reason"], event["note"]) == ("UnsupportedByPeer", "Machine.tpm is not known")
    assert launcher.calls == ["StartMachine"]


async def test_a_guest_whose_volume_cannot_be_used_is_not_ended_but_started_once_it_can(
    server: FakeApiServer, client: KubeClient
) -> None:
    launcher, connections = FakeLauncher(), DirectConnections()
    launcher.pod.unusable = "has a disk.img that belongs to user 4242"
    connections.add(POD_UID, launcher)
    claim = {"name": "data", "persistentVolumeClaimInfo": {"volumeMode": "Filesystem"}}
    volume = {"name": "data", "persistentVolumeClaim": {"claimName": "shop"}}
    put_vmi(server, volumes=[volume], volumeStatus=[claim])
    async with handler(client, connections.connect):
        status = await until(server, lambda status: bool(condition(status, "Synchronized")))
        message = "disk data (PersistentVolumeClaim shop) has a disk.img that belongs to user 4242"
        reported = condition(status, "Synchronized")
        assert (reported["reason"], reported["message"]) == ("VolumeNotUsable", message)
        assert status["phase"] == "Scheduling" and launcher.calls == []
        while len(launcher.pod.disks) < 3:  # noqa: ASYNC110 - it is called by the other side
            await asyncio.sleep(0.01)
        launcher.pod.unusable = None
        status = await until(server, lambda status: status["phase"] == "Running")
        assert condition(status, "Synchronized")["status"] == "True"
        events = [event for event in await client.list(EVENTS, "default") if event["type"] == "Warning"]
    assert [(event["reason"], event["note"]) for event in events] == [("VolumeNotUsable", message)]


async def test_a_locked_disk_is_reported_with_its_claim_and_the_vmi_that_uses_it(
    server: FakeApiServer, client: KubeClient
) -> None:
    launcher, connections = FakeLauncher(), DirectConnections()
    connections.add(POD_UID, launcher)
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": "shop-db"}}]
    spec = {"domain": {"devices": {}, "memory": {"guest": "128Mi"}}, "volumes": volumes}
    for name, phase in (("other", "Running"), ("gone", "Failed")):
        server.put(VMIS, {"metadata": {"name": name}, "spec": spec, "status": {"phase": phase}})
    put_vmi(
        server,
        volumes=volumes,
        volumeStatus=[{"name": "data", "persistentVolumeClaimInfo": {"volumeMode": "Filesystem"}}],
    )
    async with handler(client, connections.connect):
        await until(server, lambda status: status["phase"] == "Running")
        launcher.become(
            state_pb2.MACHINE_PHASE_ENDED,
            end=state_pb2.MACHINE_END_START_FAILED,
            failed_disk="data",
            message='disk data: another virtual machine or process uses its image (QEMU\'s "write" lock)',
        )
        status = await until(server, lambda status: status["phase"] == "Failed")
    assert condition(status, "Ready")["message"] == (
        "disk data (PersistentVolumeClaim shop-db): another virtual machine or process uses its image "
        '(QEMU\'s "write" lock); the claim is used on this node by VirtualMachineInstance other'
    )


async def test_each_change_is_written_once_while_the_watch_is_silent(server: FakeApiServer, client: KubeClient) -> None:
    launcher, connections = FakeLauncher(), DirectConnections()
    connections.add(POD_UID, launcher)
    put_vmi(server)
    async with handler(client, connections.connect):
        await until(server, lambda status: status["phase"] == "Running")
        server.hang()
        before = server.count("PATCH")
        launcher.become(state_pb2.MACHINE_PHASE_PAUSED, pause_reason=state_pb2.PAUSE_REASON_BY_USER)
        await until(server, lambda status: bool(condition(status, "Paused")))
        launcher.become(state_pb2.MACHINE_PHASE_RUNNING)
        await until(server, lambda status: not condition(status, "Paused"))
    assert server.count("PATCH") == before + 2


async def test_a_launcher_that_fails_is_asked_again(server: FakeApiServer, client: KubeClient) -> None:
    launcher, connections = FakeLauncher(), DirectConnections()
    launcher.error = Unavailable("the hypervisor does not answer")

    def recover() -> None:
        if launcher.calls.count("StartMachine") == 3:
            launcher.error = None

    launcher.before_answer = recover
    connections.add(POD_UID, launcher)
    put_vmi(server)
    async with handler(client, connections.connect):
        await until(server, lambda status: status["phase"] == "Running")
    assert launcher.calls.count("StartMachine") == 3


async def test_a_new_process_of_a_launcher_that_refused_gets_the_machine_again(
    server: FakeApiServer, client: KubeClient
) -> None:
    launcher, connections = FakeLauncher(), DirectConnections()
    launcher.error = Refused("Machine.tpm is not known", reason="UNSUPPORTED_BY_PEER")
    connections.add(POD_UID, launcher)
    put_vmi(server)
    async with handler(client, connections.connect):
        await until(server, lambda status: bool(condition(status, "Synchronized")))
        launcher.error = None
        launcher.restart()
        status = await until(server, lambda status: status["phase"] == "Running")
        assert condition(status, "Synchronized")["status"] == "True"


async def test_a_vmi_whose_pod_is_replaced_is_started_in_the_new_pod(server: FakeApiServer, client: KubeClient) -> None:
    first, second, connections = FakeLauncher(), FakeLauncher(), DirectConnections()
    connections.add(SECOND_UID, second)
    put_vmi(server)
    async with handler(client, connections.connect):
        status = {"activePods": {POD_UID: None, SECOND_UID: NODE}}
        await client.merge_patch(VMI, "default", "demo", {"status": status})
        await until(server, lambda status: status["phase"] == "Running")
        connections.add(POD_UID, first)
    assert (first.calls, second.calls) == ([], ["StartMachine"])


async def test_a_vmi_that_migrates_is_followed_in_the_pod_on_its_node(
    server: FakeApiServer, client: KubeClient
) -> None:
    source, connections = FakeLauncher(), DirectConnections()
    connections.add(POD_UID, source)
    put_vmi(server, nodeName=NODE)
    async with handler(client, connections.connect):
        await until(server, lambda status: status["phase"] == "Running")
        status = {"activePods": {POD_UID: NODE, SECOND_UID: "node2"}}
        await client.merge_patch(VMI, "default", "demo", {"status": status})
        source.become(state_pb2.MACHINE_PHASE_PAUSED, pause_reason=state_pb2.PAUSE_REASON_BY_USER)
        await until(server, lambda status: bool(condition(status, "Paused")))


async def test_the_end_of_a_vmi_that_is_being_deleted_is_on_the_object_before_it_goes(
    server: FakeApiServer, client: KubeClient
) -> None:
    launcher, connections = FakeLauncher(), DirectConnections()
    connections.add(POD_UID, launcher)
    put_vmi(server)
    async with handler(client, connections.connect):
        await until(server, lambda status: status["phase"] == "Running")
        server.patch(DEMO, {"metadata": {"finalizers": ["foregroundDeleteVirtualMachine"]}})
        await client.delete(VMI, "default", "demo")
        launcher.become(state_pb2.MACHINE_PHASE_ENDED, end=state_pb2.MACHINE_END_SHUTDOWN)
        launcher.restart()  # it exits at once
        status = await until(server, lambda status: status["phase"] == "Succeeded")
        assert status["reason"] == "GuestShutdown"
