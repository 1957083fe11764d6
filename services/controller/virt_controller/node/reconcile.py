"""Reports trouble with nodes to listeners, and marks such nodes unschedulable for launcher pods.

Created and run by app.py; reads the cache of nodes. It does not read the kubelets' Leases. A Node object changes every
few minutes, with each heartbeat of its handler and when the node fails, so a single watch is sufficient.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from virt_core import logs
from virt_core.conventions import labels
from virt_core.kube.client import KubeClient
from virt_core.kube.errors import NotFound
from virt_core.kube.queue import WorkQueue
from virt_core.kube.reflector import Key, Reflector
from virt_core.kube.resource import NODES
from virt_core.objects.patch import pointer

from virt_controller.node.health import Trouble, trouble
from virt_controller.node.observe import Node
from virt_controller.sightings import Sightings

_log = logs.bound("virt_controller.node")
_MARGIN = 1.0  # seconds after the limit, so that the heartbeat is surely too old when it is checked


class Nodes:
    """Trouble with the nodes in the cache. Call `listen` before the cache runs. `clock` is in seconds, the loop's."""

    def __init__(self, client: KubeClient, nodes: Reflector[Node], *, clock: Callable[[], float] | None = None) -> None:
        self._client = client
        self._queue: WorkQueue[str] = WorkQueue("node")
        self._nodes = nodes
        self._heartbeats: Sightings[str] = Sightings(clock if clock is not None else asyncio.get_running_loop().time)
        nodes.subscribe(self._changed)
        self._reported: dict[str, str] = {}  # by existing node in trouble, the last reason that listeners know
        self._listeners: list[Callable[[str], None]] = []

    def listen(self, changed: Callable[[str], None]) -> None:
        """Call `changed(name)` when a node's trouble begins, changes or ends."""
        self._listeners.append(changed)

    def trouble(self, name: str) -> Trouble | None:
        """What is wrong with the node; None if it is healthy."""
        return trouble(name, self._nodes.get(("", name)), self._heartbeats.seconds(name))

    async def work(self) -> None:
        """Detect silent handlers and mark their nodes, until cancelled."""
        await self._nodes.synced.wait()
        await self._queue.run(self._reconcile, workers=1, first=[node.metadata.name for node in self._nodes])

    def _changed(self, key: Key) -> None:
        node = self._nodes.get(key)
        heartbeat = node.metadata.annotations.get(labels.HEARTBEAT) if node is not None else None
        self._heartbeats.look(key[1], (node.metadata.uid, heartbeat) if node is not None and heartbeat else None)
        self._report(key[1])
        self._queue.add(key[1])

    def _report(self, name: str) -> None:
        found = self.trouble(name)
        if self._reported.get(name) == (found.reason if found is not None else None):
            return
        if found is None or self._nodes.get(("", name)) is None:
            self._reported.pop(name, None)
        else:
            self._reported[name] = found.reason
        if found is not None:
            _log.warning("seeing a node in trouble", node=name, reason=found.reason, message=found.message)
        else:
            _log.info("seeing a healthy node", node=name)
        for listener in self._listeners:
            listener(name)

    async def _reconcile(self, name: str) -> float | None:
        node = self._nodes.get(("", name))
        if node is None:
            return None
        self._report(name)  # a missing heartbeat causes no watch event
        if labels.HEARTBEAT not in node.metadata.annotations:
            return None
        silent = self._heartbeats.seconds(name)
        if silent <= labels.HEARTBEAT_SECONDS:
            return labels.HEARTBEAT_SECONDS - silent + _MARGIN
        if node.metadata.labels.get(labels.SCHEDULABLE) == "true":
            await self._mark(node)
        return None

    async def _mark(self, node: Node) -> None:
        """Keep launcher pods off this node, unless a new heartbeat has arrived. Its handler reverts the mark."""
        name, annotations = node.metadata.name, node.metadata.annotations
        heartbeat = pointer("metadata", "annotations", labels.HEARTBEAT)
        operations = (
            {"op": "test", "path": "/metadata/uid", "value": node.metadata.uid},
            {"op": "test", "path": heartbeat, "value": annotations[labels.HEARTBEAT]},
            {"op": "replace", "path": pointer("metadata", "labels", labels.SCHEDULABLE), "value": "false"},
        )
        _log.warning("marking a node unschedulable", node=name, heartbeat=annotations[labels.HEARTBEAT])
        try:
            await self._client.json_patch(NODES, None, name, operations)
        except NotFound:
            pass  # deleted meanwhile
