"""The real virt-controller passes the probe with which virt-operator proves it, on a fake API server."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from virt_controller.caches import Caches
from virt_controller.node.reconcile import Nodes
from virt_controller.pod.containers import LauncherSettings
from virt_controller.vmi.plan import Planner
from virt_controller.vmi.reconcile import VmiReconciler
from virt_core.kube.client import KubeClient
from virt_core.kube.events import EventRecorder
from virt_core.kube.resource import KUBEVIRTS, PODS
from virt_core.objects.kubevirt import Configuration
from virt_core.objects.meta import ObjectReference
from virt_core.testing.api_server import FakeApiServer
from virt_core.testing.place import Place
from virt_core.vmi.defaults import defaults_patch
from virt_operator.proof.work import controller_outcome
from virt_operator.suite.observed import Outcome

from tests.support.patience import PATIENCE

OWNER = ObjectReference("kubevirt.io/v1", "KubeVirt", "kubevirt", "kubevirt", "uid-1")
LAUNCHER = LauncherSettings("registry.example/virt-launcher:1", "IfNotPresent")


def admit(place: Place, body: Any) -> None:
    """As virt-api does."""
    if place.plural == "virtualmachineinstances":
        for operation in defaults_patch(body, Configuration()):
            *parents, last = operation["path"].strip("/").split("/")
            target = body
            for part in parents:
                target = target[part]
            target[last] = operation["value"]
        body["status"] = {"phase": "Pending", "conditions": [{"type": "Ready", "status": "False"}]}


@pytest.mark.parametrize("works", [True, False])
async def test_it_passes_while_it_works_only(works: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with FakeApiServer.running() as server:
        monkeypatch.setenv("KUBECONFIG", str(server.write_kubeconfig(tmp_path / "kubeconfig")))
        server.put(KUBEVIRTS.path("kubevirt"), {"metadata": {"name": "kubevirt"}})
        server.admit = admit
        async with KubeClient.connect("test") as client:
            caches = Caches(client, "kubevirt")
            nodes = Nodes(client, caches.nodes)
            events = EventRecorder(client, "virt-controller", "virt-controller-0")
            reconciler = VmiReconciler(client, caches, nodes, Planner(LAUNCHER), events)
            work = (caches.run(), nodes.work(), *([reconciler.work()] if works else []))
            tasks = [asyncio.create_task(task) for task in work]
            try:
                await caches.wait()
                outcome = await controller_outcome(client, OWNER, PATIENCE if works else 0.5)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        assert (outcome == Outcome()) == works, outcome
        pods = server.store.select(Place.parse(PODS.path("kubevirt")), lambda _: True)
        assert [pod["spec"]["schedulerName"] for pod in pods] == (["kubevirt-upgrade-probe"] if works else [])
