"""Every node of the cluster: what is wrong with it, told to whoever listens, and marked where pods are placed.

Run by app.py. Kubelets renew Leases, which nobody here reads; a Node changes every few minutes, with each heartbeat of
its handler and when it fails, so that one watch is all that this costs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

from virt_core import logs
from virt_core.conventions import labels
from virt_core.kube.client import KubeClient
from virt_core.kube.errors import NotFound
from virt_core.kube.queue import WorkQueue
from virt_core.kube.reflector import Key, Reflector
from virt_core.kube.resource import NODES
from virt_core.objects.patch import pointer

from virt_controller.node.health import HEARTBEAT_SECONDS, Trouble, silence, trouble
from virt_controller.node.observe import Node

_log = logs.bound("virt_controller.node")
_MARGIN = 1.0  # seconds after which a heartbeat that was just young enough is too old


class Nodes:
    """A cache of the nodes; `listen` before `watch`."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client
        self._queue: WorkQueue[str] = WorkQueue("node")
        self._nodes = Reflector(client, NODES, Node, self._changed)
        self._told: dict[str, str | None] = {}  # by node, the reason that listeners have been told of last
        self._listeners: list[Callable[[str], None]] = []

    @property
    def synced(self) -> asyncio.Event:
        """Set once the cache holds every node: before that a node that is missing says nothing."""
        return self._nodes.synced

    def listen(self, changed: Callable[[str], None]) -> None:
        """Have `changed(name)` called when something else than before is wrong with a node."""
        self._listeners.append(changed)

    def trouble(self, name: str, now: datetime) -> Trouble | None:
        """What is wrong with the node."""
        return trouble(name, self._nodes.get(("", name)), now)

    async def watch(self) -> None:
        """Keep the cache until cancelled, on every replica."""
        await self._nodes.run()

    async def work(self) -> None:
        """Notice handlers that fall silent, and mark their nodes, until cancelled."""
        await self.synced.wait()
        await self._queue.run(self._reconcile, workers=1, first=[node.metadata.name for node in self._nodes])

    def _changed(self, key: Key) -> None:
        self._tell(key[1])
        self._queue.add(key[1])

    def _tell(self, name: str) -> None:
        found = self.trouble(name, datetime.now(UTC))
        reason = found.reason if found is not None else None
        if self._told.get(name) == reason:
            return
        self._told[name] = reason
        if found is not None:
            _log.warning("seeing a node in trouble", node=name, reason=found.reason, told=found.message)
        else:
            _log.info("seeing a node that is well", node=name)
        for listener in self._listeners:
            listener(name)

    async def _reconcile(self, name: str) -> float | None:
        self._tell(name)  # nothing changes when a heartbeat does not come
        node = self._nodes.get(("", name))
        if node is None or labels.HEARTBEAT not in node.metadata.annotations:
            return None
        silent = silence(node, datetime.now(UTC))
        if silent <= HEARTBEAT_SECONDS:
            return HEARTBEAT_SECONDS - silent + _MARGIN
        if node.metadata.labels.get(labels.SCHEDULABLE) == "true":
            await self._mark(node)
        return None

    async def _mark(self, node: Node) -> None:
        """No launcher pods for this node, unless a heartbeat has come meanwhile; its handler takes the mark back."""
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
