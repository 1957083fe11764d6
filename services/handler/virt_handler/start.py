"""What virt-handler begins before app.py is imported. Run by __main__.

During an update a node has no ready virt-handler until the new process is ready, and half a second of that are
imports. So the probes' port opens first, and the program that creates the node's key runs beside the imports.
"""

from __future__ import annotations

import asyncio
import importlib
from dataclasses import dataclass

from virt_core import http

from virt_handler.certificates import first_request
from virt_handler.settings import Settings

_APP = "virt_handler.app"


@dataclass(slots=True)
class Started:
    """Tasks that run already, for app.py."""

    ready: asyncio.Event
    """Set by app.py when this handler is ready; the probes' answer."""

    probes: asyncio.Task[None]
    """The probes' HTTP port."""

    request: asyncio.Task[None]
    """The first request for the node's certificate; it never fails."""


async def run(settings: Settings, stopping: asyncio.Event) -> None:
    """app.run, after its imports."""
    ready = asyncio.Event()
    started = Started(
        ready,
        asyncio.create_task(http.serve(settings.health_port, ready.wait), name="http"),
        asyncio.create_task(first_request.prepare(settings), name="first certificate request"),
    )
    app = await asyncio.to_thread(importlib.import_module, _APP)  # in a thread: the tasks above go on
    await app.run(settings, stopping, started)
