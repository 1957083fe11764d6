"""The controllers of workloads and the kubelets of a fake cluster: they make and remove pods. Used by world.py."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from virt_core.conventions import labels
from virt_core.conventions.component_pod import TEMPLATE_HASH
from virt_core.kube.resource import PODS
from virt_core.testing.api_server import FakeApiServer
from virt_operator.strategy.ref import Body, Ref
from virt_operator.suite.observed import OwnedObject, PodObject

DAEMON_SET = Ref("DaemonSet", "kubevirt", "virt-handler")


@dataclass
class Kubelets:
    """Everybody who makes, starts and removes pods."""

    server: FakeApiServer
    pods_made: int = 0

    def daemon_set(
        self,
        live: OwnedObject | None,
        pods: Collection[PodObject],
        nodes: Collection[str],
        dead: Collection[str],
        broken: bool,
    ) -> dict[str, Any]:
        """Handlers come to rest on all nodes but the dead ones. Returns the DaemonSet's status."""
        left = [pod for pod in pods if not (live is None or pod.metadata.deletion_timestamp) or pod.node in dead]
        for pod in pods:
            if pod not in left:
                self.server.remove(PODS.path("kubevirt", pod.metadata.name))
        if live is None:
            return {}
        names = {pod.metadata.name: pod.node for pod in left}
        for node in set(nodes) - set(names.values()) - set(dead):
            names[self._make("virt-handler", live, node)] = node
        conditions = [{"type": "Ready", "status": str(not broken)}]
        for name, node in names.items():
            if node not in dead:
                self.server.patch(PODS.path("kubevirt", name), {"status": {"conditions": conditions}})
        ready = 0 if broken else sum(node not in dead for node in names.values())
        counts = {"desiredNumberScheduled": len(nodes), "numberReady": ready}
        return {"observedGeneration": live.metadata.generation, **counts}

    def _make(self, component: str, live: OwnedObject, node: str) -> str:
        """A pod of the workload's present template."""
        self.pods_made += 1
        meta = live.content()["spec"].get("template", {}).get("metadata", {})
        mark = meta.get("annotations", {}).get(TEMPLATE_HASH, "")
        name = f"{component}-{self.pods_made}"
        meta = {"name": name, "labels": {labels.APP: component}, "annotations": {TEMPLATE_HASH: mark}}
        body: Body = {"metadata": meta, "spec": {"nodeName": node}}
        self.server.put(PODS.path("kubevirt"), body)
        return name
