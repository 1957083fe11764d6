"""Marks the Node once a minute with a heartbeat and whether it is schedulable for VMs. Run by app.py.

The first heartbeat is written as soon as the handler is ready. The marks stay when the handler stops: an update of the
handler does not affect scheduling, because guests continue without it and its successor serves new pods. If no
successor comes, the age of the heartbeat shows it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

from virt_core import logs
from virt_core.kube.client import KubeClient
from virt_core.kube.errors import KubeError
from virt_core.kube.resource import NODES

from virt_handler.node.plan import marks

_INTERVAL = 60.0
_AGAIN = 5.0  # seconds after a failure
_log = logs.bound("virt_handler.node")


async def run(client: KubeClient, node: str, *needed: asyncio.Event) -> None:
    """Write heartbeats until cancelled. The node is schedulable while all of `needed` are set."""
    written = False
    while True:
        if written:
            await asyncio.sleep(_INTERVAL)
        else:
            await _all_set(needed, _INTERVAL)
        schedulable = all(event.is_set() for event in needed)
        if schedulable != written:
            _log.info("marking the node", node=node, schedulable=schedulable)
        try:
            await client.merge_patch(NODES, None, node, marks(schedulable=schedulable, now=datetime.now(UTC)))
            written = schedulable
        except KubeError as error:
            _log.warning("losing a heartbeat", reason=str(error), delay=_AGAIN)
            await asyncio.sleep(_AGAIN)


async def _all_set(events: Sequence[asyncio.Event], seconds: float) -> None:
    """Return when each of `events` has been set, at the latest after `seconds`."""
    try:
        async with asyncio.timeout(seconds):
            for event in events:
                await event.wait()
    except TimeoutError:
        return
