"""A separate process, like a service: a client on uvloop, one of whose connections loses its descriptor.

Run by test_client_on_uvloop.py: ``python closed_descriptor.py PORT SECONDS``, with KUBECONFIG for a server at that port
and how long to wait.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from pathlib import Path

import aiohttp
import uvloop
from virt_core.kube.client import KubeClient
from virt_core.kube.errors import Unavailable
from virt_core.kube.resource import CONFIG_MAPS

_BACKOFF = 0.05  # of a queue: nobody repeats a request earlier, and uvloop closes the descriptor in its next turns


def connection_to(port: int) -> int:
    """The descriptor of this process's only connection to that port."""
    found = []
    for entry in list(Path("/proc/self/fd").iterdir()):
        number = int(entry.name)
        try:
            with socket.socket(fileno=os.dup(number)) as copy:
                if copy.family == socket.AF_INET and copy.getpeername()[1] == port:
                    found.append(number)
        except OSError:  # no socket, or one that is not connected
            continue
    (only,) = found
    return only


async def failure_of(client: KubeClient) -> str:
    """What a request fails with; empty if it does not."""
    try:
        await client.get(CONFIG_MAPS, "ns", "a")
    except Unavailable as error:
        return error.message
    return ""


async def ended(body: aiohttp.StreamReader, patience: float) -> bool:
    """Whether reading ends within so many seconds, in whatever way."""
    try:
        async with asyncio.timeout(patience):
            return not await body.readany()
    except TimeoutError:
        return False


async def main(port: int, patience: float) -> None:
    """Raises AssertionError."""
    async with KubeClient.connect("test") as client:
        try:
            async with client.stream(CONFIG_MAPS.path("ns"), {"watch": "1", "resourceVersion": "0"}, 30) as body:
                assert b"ADDED" in await body.readany()
                os.close(connection_to(port))
                assert "is used by transport" in await failure_of(client)
                assert await ended(body, patience), "the watch hangs"
        except Unavailable as error:
            print(f"the watch ended: {error}")
        else:
            raise AssertionError("the watch goes on")
        await asyncio.sleep(_BACKOFF)
        failure = await failure_of(client)
        assert failure == "", failure


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), float(sys.argv[2])))
