"""Users who ask the API 20 times a second and create two guests a second, while a test does something else.

Half of what they ask is answered by virt-api itself, a quarter goes through its webhooks. The guests stay Scheduling:
no node has what they select, so that the machine is not the measure.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from localcluster.console import credentials

from tests.e2e.cluster import kubectl
from tests.e2e.guests import manifest

_ASKED, _CREATED = 1 / 20, 1 / 2  # seconds from one to the next
_LONGEST = 30.0  # seconds for one request: an API server waits that long for a webhook
_LABEL = "burden"
_GUESTS = "/apis/kubevirt.io/v1/namespaces/default/virtualmachineinstances"
_OWN = "/apis/subresources.kubevirt.io/v1"


@dataclass(slots=True)
class Burden:
    """What came of it."""

    asked: int = 0
    created: int = 0
    refused: list[str] = field(default_factory=list)
    slowest: float = 0.0
    """Seconds of the slowest request."""


@contextmanager
def burden() -> Iterator[Burden]:
    """All of it in a thread; the guests are deleted afterwards."""
    result, over = Burden(), threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(_Users(result, over).run()), name="burden")
    thread.start()
    try:
        yield result
    finally:
        over.set()
        thread.join()
        kubectl("delete", "vmi", "-l", f"{_LABEL}=yes", "--wait", "--timeout=120s", deadline=150)


class _Users:
    def __init__(self, result: Burden, over: threading.Event) -> None:
        self._result, self._over = result, over
        self._server, self._context = credentials(Path(os.environ["KUBECONFIG"]))

    async def run(self) -> None:
        connector = aiohttp.TCPConnector(ssl=self._context, limit=0)
        async with aiohttp.ClientSession(connector=connector) as self._session, asyncio.TaskGroup() as tasks:
            tasks.create_task(self._every(_ASKED, self._ask), name="asking")
            tasks.create_task(self._every(_CREATED, self._create), name="creating")

    async def _every(self, period: float, act: Any) -> None:
        async with asyncio.TaskGroup() as requests:
            for number in itertools.count():
                if self._over.is_set():
                    return
                requests.create_task(act(number))
                await asyncio.sleep(period)

    async def _ask(self, number: int) -> None:
        machine = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine", "metadata": {"name": "asked"}}
        machine["spec"] = {"running": False, "template": {"spec": manifest("asked")["spec"]}}  # type: ignore[assignment]
        match number % 4:
            case 0:
                await self._request("GET", _GUESTS)
            case 1:
                await self._request("GET", f"{_OWN}/version")
            case 2:
                await self._request("PUT", f"{_OWN}/namespaces/default/expand-vm-spec", machine)
            case _:
                machines = "/apis/kubevirt.io/v1/namespaces/default/virtualmachines"
                await self._request("POST", f"{machines}?dryRun=All", machine)
        self._result.asked += 1

    async def _create(self, number: int) -> None:
        body = manifest(f"burden-{number}")
        body["metadata"] |= {"labels": {_LABEL: "yes"}, "namespace": "default"}
        body["spec"]["nodeSelector"] = {"no-node-has": "this"}
        await self._request("POST", _GUESTS, body)
        self._result.created += 1

    async def _request(self, method: str, path: str, body: Any = None) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with (
                asyncio.timeout(_LONGEST),
                self._session.request(method, self._server + path, json=body) as answer,
            ):
                if answer.status >= 400:
                    self._result.refused.append(f"{method} {path}: {answer.status} {(await answer.text())[:300]}")
                else:
                    await answer.read()
        except (TimeoutError, aiohttp.ClientError) as error:
            self._result.refused.append(f"{method} {path}: {error!r}")
        self._result.slowest = max(self._result.slowest, loop.time() - began)
