"""gRPC servers of the suite in this process, without certificates."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc


@asynccontextmanager
async def serving_on(server: grpc.aio.Server, target: str) -> AsyncIterator[None]:
    """A server with its servicers answers on `target`, for example "unix:/folder/socket"."""
    server.add_insecure_port(target)
    await server.start()
    try:
        yield
    finally:
        await server.stop(None)
