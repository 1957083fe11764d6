"""Run with the packages of one release: calls every RPC of its contracts at servers of another one, by its own rules.

Reads JSON on standard input, a list: for each server the services to call, the target, and for one with TLS the folder
of the caller's certificate and the server's name. Writes JSON, a list: the outcomes of each RPC. It knows the contracts
by reflection and imports nothing that a recorded release does not have.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import kubevirt
from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from kubevirt.launcher.v1 import command_pb2, launcher_pb2, machine_pb2, state_pb2
from virt_core.rpc.error_status import from_rpc_error
from virt_core.rpc.errors import RpcError, Unavailable, UnsupportedByPeer
from virt_core.rpc.peer import Peer

from tests.support.patience import PATIENCE

UID = "5f0c1e9e-6a50-4a34-8c6b-0d6f2b1c0a11"
_PATIENCE = 180.0
_DEEPEST = 12


def services() -> Iterator[ServiceDescriptor]:
    """All services of this release's contracts. Behind them in the namespace package may be those of another tree."""
    folder = Path(kubevirt.__path__[0])
    for file in sorted(folder.rglob("*_pb2.py")):
        module = ".".join(("kubevirt", *file.relative_to(folder).with_suffix("").parts))
        yield from importlib.import_module(module).DESCRIPTOR.services_by_name.values()


def made(descriptor: Descriptor) -> Any:
    """An empty message of the type."""
    return message_factory.GetMessageClass(descriptor)()


def variants(descriptor: Descriptor, depth: int = 0) -> int:
    """How many messages have every field at least once: one sets a single field of each oneof."""
    below = [variants(field.message_type, depth + 1) for field in descriptor.fields if field.message_type is not None]
    return max([1, *(len(oneof.fields) for oneof in descriptor.oneofs), *below]) if depth < _DEEPEST else 1


def filled(descriptor: Descriptor, variant: int, depth: int = 0) -> Any:
    """A message with all fields, at any depth, and the newest value of each enum."""
    message = made(descriptor)
    for field in descriptor.fields if depth < _DEEPEST else ():
        oneof = field.containing_oneof
        if oneof is not None and oneof.fields[variant % len(oneof.fields)] is not field:
            continue
        value = filled(field.message_type, variant, depth + 1) if field.message_type is not None else _scalar(field)
        _put(message, field, value)
    return message


def _put(message: Any, field: FieldDescriptor, value: Any) -> None:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        entries, key = getattr(message, field.name), _scalar(field.message_type.fields_by_name["key"])
        if isinstance(value.value, Message):
            entries[key].CopyFrom(value.value)
        else:
            entries[key] = value.value
    elif field.is_repeated:
        getattr(message, field.name).extend([value])
    elif isinstance(value, Message):
        getattr(message, field.name).CopyFrom(value)
    else:
        setattr(message, field.name, value)


def _scalar(field: FieldDescriptor) -> Any:
    if field.enum_type is not None:
        return max(value.number for value in field.enum_type.values)
    kinds = {FieldDescriptor.CPPTYPE_STRING: b"x" if field.type == FieldDescriptor.TYPE_BYTES else "x"}
    return kinds.get(field.cpp_type, field.cpp_type == FieldDescriptor.CPPTYPE_BOOL or 1)


def valid(method: MethodDescriptor) -> Message:
    """What a client of this contract usually sends: for the life of a machine that it starts, otherwise nothing."""
    machine = machine_pb2.Machine(
        uid=UID,
        name="demo",
        namespace="default",
        bootloader=machine_pb2.BOOTLOADER_BIOS,
        accelerator=machine_pb2.ACCELERATOR_EMULATION,
        machine_type="q35",
        cpu=machine_pb2.CpuTopology(sockets=1, cores=1, threads=1),
        memory_bytes=128 << 20,
        firmware_uuid=UID,
    )
    machine.shutdown_grace_period.FromSeconds(30)
    requests: dict[str, Message] = {
        "StartMachine": launcher_pb2.StartMachineRequest(machine=machine),
        "CommandMachine": launcher_pb2.CommandMachineRequest(
            machine_uid=UID, command=command_pb2.Command(pause=command_pb2.Pause())
        ),
        "StopMachine": launcher_pb2.StopMachineRequest(machine_uid=UID),
        "AcknowledgeEnd": launcher_pb2.AcknowledgeEndRequest(machine_uid=UID, end=state_pb2.MACHINE_END_DESTROYED),
    }
    known = requests.get(method.name)
    return known if known is not None and known.DESCRIPTOR is method.input_type else made(method.input_type)


class Caller:
    """One peer, and the RPCs that it may have."""

    def __init__(self, server: dict[str, Any]) -> None:
        options = (("grpc.ssl_target_name_override", server["name"]),) if server.get("name") else ()
        folder = Path(server["certificates"]) if server.get("certificates") else None
        credentials = None
        if folder is not None:
            parts = ((folder / name).read_bytes() for name in ("ca.crt", "tls.key", "tls.crt"))
            credentials = grpc.ssl_channel_credentials(*parts)
        self._target = server["target"]
        self._peer = Peer(self._target, name="server", credentials=credentials, options=options)

    async def wait(self) -> None:
        """Until the server answers."""
        try:
            await self._peer.negotiate(_PATIENCE)
        except RpcError as error:
            raise RpcError(f"{self._target}: {error}") from error

    async def close(self) -> None:
        """Close the connection."""
        await self._peer.close()

    async def outcome(self, method: MethodDescriptor, request: Any) -> str:
        """What comes of it, by this release's rules: its sender refuses what the peer does not know."""
        try:
            await self._peer._check(request)
        except UnsupportedByPeer as refusal:
            return f"refused {refusal.field}"
        return await self.answer(method, request)

    async def answer(self, method: MethodDescriptor, request: Any) -> str:
        """What the peer answers if it is sent whatever its features are."""
        try:
            await self._call(method, request)
        except grpc.aio.AioRpcError as failure:
            error = from_rpc_error(failure)
            if failure.code() is grpc.StatusCode.UNIMPLEMENTED:
                return "lacks"
            if isinstance(error, UnsupportedByPeer):
                return f"refused {error.field}"
            if isinstance(error, Unavailable) or type(error) is RpcError:
                return f"broken {failure.code().name} {failure.details()}"
            return f"answers {failure.code().name}"
        except TimeoutError:
            return "broken: no answer"
        return "works"

    async def _call(self, method: MethodDescriptor, request: Any) -> None:
        path = f"/{method.containing_service.full_name}/{method.name}"
        response_type = message_factory.GetMessageClass(method.output_type)
        kind = ("stream" if method.client_streaming else "unary", "stream" if method.server_streaming else "unary")
        made_call = getattr(self._peer.channel, "_".join(kind))(
            path,
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=response_type.FromString,
        )
        call = made_call(_once(request) if method.client_streaming else request, timeout=PATIENCE)
        if not method.server_streaming:
            await call
            return
        try:
            async with asyncio.timeout(PATIENCE):
                await call.read()
        finally:
            call.cancel()


async def _once(request: Any) -> AsyncIterator[Any]:
    yield request
    await asyncio.Event().wait()


async def outcomes(server: dict[str, Any]) -> dict[str, dict[str, list[str]]]:
    """By RPC: the outcomes of messages with every field, what the peer answers to those that the sender refuses, and
    the outcome of the usual message, in the order of a machine's life."""
    caller, found = Caller(server), dict[str, dict[str, list[str]]]()
    await caller.wait()
    methods = [
        method for service in services() if service.full_name in server["services"] for method in service.methods
    ]
    first = [method for method in methods if method.name not in ENDING]
    last = sorted(
        (found for found in methods if found.name in ENDING), key=lambda method: list(ENDING).index(method.name)
    )
    steps = [(method, step) for step in (_full, _usual) for method in first]
    steps += [(method, step) for method in last for step in ENDING[method.name]]
    for method, step in steps:
        rpc = f"{method.containing_service.full_name}/{method.name}"
        found[rpc] = found.get(rpc, {}) | await step(caller, method)
    await caller.close()
    return found


async def _full(caller: Caller, method: MethodDescriptor) -> dict[str, list[str]]:
    requests = [filled(method.input_type, variant) for variant in range(variants(method.input_type))]
    full = [await caller.outcome(method, request) for request in requests]
    refused = [request for request, outcome in zip(requests, full, strict=True) if outcome.startswith("refused")]
    return {"full": full, "forced": [await caller.answer(method, request) for request in refused]}


async def _usual(caller: Caller, method: MethodDescriptor) -> dict[str, list[str]]:
    return {"usual": [await caller.outcome(method, valid(method))]}


ENDING = {
    "StopMachine": (_full, _usual),
    "AcknowledgeEnd": (_full, _usual),
    "CommitTarget": (_full, _usual),
    "AbortTarget": (_full,),
}
"""RPCs that come last, in this order, and their messages: after the last one of a service its launcher ends."""


async def main() -> None:
    """All servers, one after the other."""
    json.dump([await outcomes(server) for server in json.load(sys.stdin)], sys.stdout)


if __name__ == "__main__":
    asyncio.run(main())
