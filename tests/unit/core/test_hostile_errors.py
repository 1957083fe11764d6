"""A peer controls its answers and the details of its errors: whatever they hold, it is an error of the contract."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import any_pb2
from google.rpc import status_pb2
from kubevirt.launcher.v1 import launcher_pb2, launcher_pb2_grpc
from virt_core.rpc.error_status import from_rpc_error
from virt_core.rpc.errors import Refused, RpcError
from virt_core.rpc.peer import Peer

from tests.support.rpc_servers import serving_on

TYPE = "type.googleapis.com/google.rpc.ErrorInfo"


@pytest.mark.parametrize(
    "details",
    [
        b"\xff\xff not a status",
        status_pb2.Status(details=[any_pb2.Any(type_url=TYPE, value=b"\x0a\xff")]).SerializeToString(),
        status_pb2.Status(details=[any_pb2.Any(type_url=TYPE, value=b"\x0a\x01\xff")]).SerializeToString(),
        status_pb2.Status(details=[any_pb2.Any(type_url="no/type")]).SerializeToString(),
    ],
    ids=["no status", "cut short", "no UTF-8", "another type"],
)
def test_an_error_with_broken_details_keeps_its_code_and_message(details: bytes) -> None:
    metadata = grpc.aio.Metadata(("grpc-status-details-bin", details))
    error = from_rpc_error(
        grpc.aio.AioRpcError(grpc.StatusCode.FAILED_PRECONDITION, grpc.aio.Metadata(), metadata, details="not now")
    )
    assert type(error) is Refused
    assert error.message == "not now"


class Garbage(grpc.GenericRpcHandler):
    """Answers every call with bytes that are no message."""

    def service(self, handler_call_details: Any) -> Any:
        """The handler of a method."""

        async def once(_request: bytes, _context: Any) -> bytes:
            return b"\xff\xff\xff"

        async def stream(_request: bytes, _context: Any) -> AsyncIterator[bytes]:
            yield b"\xff\xff\xff"

        if handler_call_details.method.rpartition("/")[2].startswith("Watch"):
            return grpc.unary_stream_rpc_method_handler(stream)
        return grpc.unary_unary_rpc_method_handler(once)


async def test_an_answer_that_does_not_decode_is_an_error_of_the_contract(tmp_path: Path) -> None:
    server, target = grpc.aio.server(), f"unix:{tmp_path / 'socket'}"
    server.add_generic_rpc_handlers((Garbage(),))
    peer = Peer(target, name="launcher of ns/guest")
    stub: Any = launcher_pb2_grpc.LauncherServiceStub(peer.channel)
    async with serving_on(server, target):
        with pytest.raises(RpcError, match="launcher of ns/guest sent a message that does not decode"):
            await peer.negotiate()
        with pytest.raises(RpcError, match="does not decode"):
            await peer.call(stub.AcknowledgeEnd, launcher_pb2.AcknowledgeEndRequest(), timeout=5)
        with pytest.raises(RpcError, match="does not decode"):
            watch = launcher_pb2.WatchMachineRequest()
            async with aclosing(peer.stream(stub.WatchMachine, watch, idle=5, lifetime=5)) as answers:
                await anext(answers)
        await peer.close()
