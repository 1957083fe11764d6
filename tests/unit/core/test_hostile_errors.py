"""A peer controls the details of its errors: whatever they hold, the error stays an error of the contract."""

from __future__ import annotations

import grpc
import pytest
from google.protobuf import any_pb2
from google.rpc import status_pb2
from virt_core.rpc.error_status import from_rpc_error
from virt_core.rpc.errors import Refused

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
