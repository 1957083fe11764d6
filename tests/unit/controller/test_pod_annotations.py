"""What the descheduler reads on a launcher pod follows its VirtualMachineInstance while the guest runs."""

from __future__ import annotations

from typing import Any

import pytest
from virt_controller.vmi.actions import PatchPod
from virt_core.kube.client import KubeClient
from virt_core.kube.resource import KUBEVIRTS, PODS, VIRTUAL_MACHINE_INSTANCES
from virt_core.testing.api_server import FakeApiServer
from virt_core.testing.place import Place

from tests.unit.controller.planning import changes, pod, scheduled, vmi
from tests.unit.controller.world import World

EVICT, PREFER = "descheduler.alpha.kubernetes.io/evict", "descheduler.alpha.kubernetes.io/prefer-no-eviction"
DOMAIN = {"kubevirt.io/domain": "guest"}


@pytest.mark.parametrize(
    ("on_vmi", "on_pod", "operation"),
    [
        ({EVICT: "true"}, {}, {"op": "add", "value": "true"}),
        ({EVICT: "true"}, {EVICT: "false"}, {"op": "replace", "value": "true"}),
        ({}, {EVICT: "true"}, {"op": "remove"}),
    ],
)
def test_a_difference_is_patched(on_vmi: dict[str, str], on_pod: dict[str, str], operation: dict[str, Any]) -> None:
    subject = vmi(scheduled("Running"), annotations=on_vmi, labels={"kubevirt.io/nodeName": "node1"})
    (action,) = changes(subject, pod("node1", annotations={**DOMAIN, **on_pod}))
    assert isinstance(action, PatchPod)
    assert action.operations[-1] == {**operation, "path": f"/metadata/annotations/{EVICT.replace('/', '~1')}"}
    assert action.operations[0] == {"op": "test", "path": "/metadata/uid", "value": "pod-uid"}


@pytest.mark.parametrize(
    ("on_vmi", "on_pod"),
    [({PREFER: "true", "other": "later"}, {PREFER: "true"}), ({}, {"sidecar.istio.io/status": "injected"})],
)
def test_nothing_else_is_patched(on_vmi: dict[str, str], on_pod: dict[str, str]) -> None:
    subject = vmi(scheduled("Running"), annotations=on_vmi, labels={"kubevirt.io/nodeName": "node1"})
    assert changes(subject, pod("node1", annotations={**DOMAIN, **on_pod})) == ()


async def test_an_annotation_reaches_the_pod_of_a_running_guest_and_goes_again(
    server: FakeApiServer, client: KubeClient
) -> None:
    server.store.remove(Place.parse(KUBEVIRTS.path("kubevirt", "kubevirt")))
    world = World(server)  # which has one of its own
    await world.settle(client)
    world.bind(world.pods[0], "node1")
    world.run(world.pods[0], ready=True)
    await world.settle(client)
    world.report("Running")
    await world.settle(client)
    assert EVICT not in world.pods[0]["metadata"]["annotations"]
    path = VIRTUAL_MACHINE_INSTANCES.path("ns", "guest")
    for value in ("true", None):
        server.patch(path, {"metadata": {"annotations": {EVICT: value}}})
        await world.settle(client)
        assert world.pods[0]["metadata"]["annotations"].get(EVICT) == value
    patched = [path for method, path in server.requests if method == "PATCH" and path.startswith(PODS.path("ns"))]
    assert len(patched) == 2
