"""What virt-controller shows Prometheus of its caches."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from virt_controller.caches import Caches
from virt_controller.metrics import measure
from virt_controller.transitions import BOUNDS, Transitions
from virt_core.kube.client import KubeClient
from virt_core.kube.resource import KUBEVIRTS, PODS, VIRTUAL_MACHINE_INSTANCES, VIRTUAL_MACHINES
from virt_core.testing.api_server import FakeApiServer

from tests.support.patience import PATIENCE


@pytest.fixture
def world(server: FakeApiServer) -> None:
    """A suite that emulates, and a guest that was started with an instance type."""
    configuration = {"developerConfiguration": {"useEmulation": True}}
    server.patch(KUBEVIRTS.path("kubevirt", "kubevirt"), {"spec": {"configuration": configuration}})
    spec = {"instancetype": {"name": "u1.small"}, "template": {"spec": {"domain": {}}}}
    server.put(VIRTUAL_MACHINES.path("ns"), {"metadata": {"name": "a"}, "spec": spec})
    status = {"phase": "Running", "nodeName": "node1", "activePods": {"uid-a": "node1"}}
    server.put(VIRTUAL_MACHINE_INSTANCES.path("ns"), {"metadata": {"name": "a", "uid": "vmi-a"}, "status": status})
    meta = {
        "name": "pod-a",
        "uid": "uid-a",
        "labels": {"kubevirt.io": "virt-launcher", "kubevirt.io/created-by": "vmi-a"},
        "annotations": {"kubevirt.io/domain": "a"},
    }
    server.put(PODS.path("ns"), {"metadata": meta, "spec": {"nodeName": "node1"}, "status": {"phase": "Running"}})


async def test_the_leader_shows_what_its_caches_hold(world: None, client: KubeClient) -> None:
    caches, seen = Caches(client, "kubevirt"), Transitions(BOUNDS, datetime.now(UTC))
    before = {family.name: family.samples[0].value for family in measure.of_process(caches, leading=False)}
    assert before["kubevirt_virt_controller_ready_status"] == before["kubevirt_virt_controller_leading_status"] == 0
    running = asyncio.create_task(caches.run(), name="caches")
    async with asyncio.timeout(PATIENCE):
        await caches.wait()
        families = [*measure.of_process(caches, leading=True), *await measure.of_cluster(caches, 7, seen, seen)]
    running.cancel()
    found = {family.name: family.samples for family in families if family.samples}
    assert found["kubevirt_virt_controller_ready_status"][0].value == 1
    assert found["kubevirt_virt_controller_leading_status"][0].value == 1
    assert found["kubevirt_vmi_number_of_outdated"][0].value == 7
    assert found["kubevirt_configuration_emulation_enabled"][0].value == 1
    (info,) = found["kubevirt_vmi_info"]
    assert (info.labels["vmi_pod"], info.labels["instance_type"]) == ("pod-a", "u1.small")
    assert found["kubevirt_vm_info"][0].labels["instance_type"] == "u1.small"
    assert found["kubevirt_vmi_migrations_in_running_phase"][0].value == 0
