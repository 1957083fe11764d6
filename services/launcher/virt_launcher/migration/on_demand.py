"""Serves MigrationService without its modules, which are loaded by the first call. Started by app.py.

A guest that never migrates pays nothing for this package.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import grpc

from virt_launcher.machine.record import Record

if TYPE_CHECKING:
    from virt_launcher.migration.engine import Engine

_PREFIX = "/kubevirt.launcher.v1.MigrationService/"


class MigrationOnDemand(grpc.GenericRpcHandler):
    """The service. `make` composes the engine."""

    def __init__(self, make: Callable[[], Engine]) -> None:
        self._make = make
        self._engine: Engine | None = None
        self._needed = asyncio.Event()
        self._handlers: list[Any] = []

    def service(self, handler_call_details: Any) -> Any:
        """gRPC's question for the handler of a method."""
        if not handler_call_details.method.startswith(_PREFIX):
            return None
        self.load()
        return self._handlers[0].service(handler_call_details)

    def load(self) -> None:
        """Compose the engine, once."""
        if self._engine is not None:
            return
        from kubevirt.launcher.v1 import migration_pb2_grpc

        self._engine = self._make()
        registry: Any = _Registry(self._handlers)
        migration_pb2_grpc.add_MigrationServiceServicer_to_server(self._engine.servicer, registry)
        self._needed.set()

    async def run(self, record: Record) -> None:
        """Run the engine when it is needed, at once if the record has a migration; until cancelled."""
        if record.incoming is not None or record.migration is not None:
            self.load()
        await self._needed.wait()
        assert self._engine is not None
        await self._engine.run()


class _Registry:
    """What the generated code needs of a server."""

    def __init__(self, handlers: list[Any]) -> None:
        self._handlers = handlers

    def add_generic_rpc_handlers(self, handlers: Any) -> None:
        self._handlers.extend(handlers)

    def add_registered_method_handlers(self, service: str, handlers: Any) -> None:
        """An optimization of gRPC's synchronous server."""
