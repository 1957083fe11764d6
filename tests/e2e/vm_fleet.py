"""Many guestless VirtualMachines in a namespace of their own: created, started, stopped and watched by one client. For
tests and `make bench`.

kubectl needs 0.1 s of a processor for each request, which would be most of what is measured.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from localcluster.console import credentials
from virt_core.kube.client import KubeClient
from virt_core.kube.errors import AlreadyExists, NotFound
from virt_core.kube.resource import (
    NAMESPACES,
    SERVICE_ACCOUNTS,
    VIRTUAL_MACHINE_INSTANCES,
    VIRTUAL_MACHINES,
    Resource,
)

from tests.support.patience import PATIENCE

Body = dict[str, Any]
FINAL = ("Succeeded", "Failed")
_VERBS = "/apis/subresources.kubevirt.io/v1/namespaces/{namespace}/virtualmachines/{name}/{verb}"
_WATCH_SECONDS = 3000.0
_CREATING = 16  # requests at once


class Refused(Exception):
    """The API refused a subresource's request."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code


def guestless_vm(name: str, strategy: str = "Halted") -> Body:
    """A VirtualMachine without disk or kernel, 64 Mi."""
    spec = {"terminationGracePeriodSeconds": 0, "domain": {"devices": {}, "memory": {"guest": "64Mi"}}}
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachine",
        "metadata": {"name": name},
        "spec": {"runStrategy": strategy, "template": {"metadata": {"labels": {"vm": name}}, "spec": spec}},
    }


class Fleet:
    """The VirtualMachines and VirtualMachineInstances of a namespace as a watch reports them."""

    def __init__(self, client: KubeClient, session: aiohttp.ClientSession, server: str, namespace: str) -> None:
        self._client, self._session, self._server = client, session, server
        self._changed = asyncio.Condition()
        self.namespace = namespace
        self.vms: dict[str, Body] = {}
        self.vmis: dict[str, Body] = {}
        self.uids: dict[str, list[str]] = {}
        """Every VirtualMachineInstance that was ever there, by name in the order of appearance."""

        self.ran: dict[str, float] = {}
        """When a VirtualMachineInstance was first seen Running, by UID; time.monotonic()."""

    @property
    def client(self) -> KubeClient:
        """For other requests."""
        return self._client

    @classmethod
    @asynccontextmanager
    async def in_namespace(cls, namespace: str) -> AsyncIterator[Fleet]:
        """A fleet without members in a new namespace; everything is deleted at the end."""
        server, context = credentials(Path(os.environ["KUBECONFIG"]))
        connector = aiohttp.TCPConnector(ssl=context or True)
        async with KubeClient.connect("fleet") as client, aiohttp.ClientSession(connector=connector) as session:
            fleet = cls(client, session, server, namespace)
            await fleet._make_namespace()
            watches = [
                asyncio.create_task(fleet._follow(resource), name=f"watch of {resource.plural}")
                for resource in (VIRTUAL_MACHINES, VIRTUAL_MACHINE_INSTANCES)
            ]
            try:
                yield fleet
            finally:
                try:
                    await fleet.delete()
                    await client.delete(NAMESPACES, None, namespace)
                finally:
                    for watch in watches:
                        watch.cancel()
                    await asyncio.wait(watches)

    async def create(self, *bodies: Body) -> None:
        """Create VirtualMachines, a few at once; returns when the API server has stored all."""
        gate = asyncio.Semaphore(_CREATING)

        async def create(body: Body) -> None:
            async with gate:
                await self._client.create(VIRTUAL_MACHINES, self.namespace, body)

        async with asyncio.TaskGroup() as group:
            for body in bodies:
                group.create_task(create(body), name=f"creation of {body['metadata']['name']}")

    async def request(self, name: str, verb: str, **options: Any) -> None:
        """PUT a subresource. Raises Refused."""
        url = self._server + _VERBS.format(namespace=self.namespace, name=name, verb=verb)
        body = json.dumps(options) if options else None
        async with self._session.put(url, data=body) as response:
            text = await response.text()
        if response.status >= 300:
            raise Refused(response.status, text)

    async def until(self, holds: Callable[[], bool], what: str, seconds: float = PATIENCE) -> None:
        """Return as soon as `holds`."""
        try:
            async with asyncio.timeout(seconds), self._changed:
                await self._changed.wait_for(holds)
        except TimeoutError:
            raise AssertionError(f"after {seconds:.0f} s still waiting for {what}") from None

    async def until_reported(self, names: list[str], word: str, seconds: float = PATIENCE) -> None:
        """Return when all have that printableStatus."""
        await self.until(lambda: all(self.printable(name) == word for name in names), f"{word} of {names[:5]}", seconds)

    def printable(self, name: str) -> str:
        """status.printableStatus; "" before there is one."""
        return str(self.vms.get(name, {}).get("status", {}).get("printableStatus", ""))

    def phase(self, name: str) -> str:
        """Of its VirtualMachineInstance; "" if there is none."""
        return str(self.vmis.get(name, {}).get("status", {}).get("phase", ""))

    async def delete(self, *names: str) -> None:
        """Delete VirtualMachines, all if none is named; returns when nothing is left of them."""
        gate = asyncio.Semaphore(_CREATING)

        leaving = names or tuple(self.vms)

        async def delete(name: str) -> None:
            async with gate:
                try:
                    await self._client.delete(VIRTUAL_MACHINES, self.namespace, name)
                except NotFound:
                    pass

        async with asyncio.TaskGroup() as group:
            for name in leaving:
                group.create_task(delete(name), name=f"deletion of {name}")
        await self.until(lambda: not any(name in self.vms or name in self.vmis for name in leaving), "them to go", 300)

    async def _make_namespace(self) -> None:
        async with asyncio.timeout(90):
            while True:  # an earlier one of the name may not have gone yet
                try:
                    await self._client.create(NAMESPACES, None, {"metadata": {"name": self.namespace}})
                    break
                except AlreadyExists:
                    await asyncio.sleep(0.5)
            while True:
                try:
                    await self._client.get(SERVICE_ACCOUNTS, self.namespace, "default")
                    return
                except NotFound:
                    await asyncio.sleep(0.1)

    async def _follow(self, resource: Resource) -> None:
        path, buffer = resource.path(self.namespace), bytearray()
        async with self._client.stream(path, {"watch": "1"}, deadline=_WATCH_SECONDS) as body:
            while chunk := await body.readany():
                buffer += chunk
                *lines, rest = buffer.split(b"\n")
                buffer = bytearray(rest)
                for line in filter(None, lines):
                    self._see(resource, json.loads(line))
                async with self._changed:
                    self._changed.notify_all()

    def _see(self, resource: Resource, event: Body) -> None:
        body = event["object"]
        known, name = self.vms if resource is VIRTUAL_MACHINES else self.vmis, body["metadata"]["name"]
        if event["type"] == "DELETED":
            known.pop(name, None)
            return
        known[name] = body
        if resource is VIRTUAL_MACHINE_INSTANCES:
            uid, seen = body["metadata"]["uid"], self.uids.setdefault(name, [])
            if uid not in seen:
                seen.append(uid)
            if body.get("status", {}).get("phase") == "Running":
                self.ran.setdefault(uid, time.monotonic())
