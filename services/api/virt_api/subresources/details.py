"""The subresources that query a running guest: guestosinfo, userlist, filesystemlist and vnc/screenshot. Called by
served.py."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from aiohttp import web
from kubevirt.handler.v1 import handler_pb2, handler_pb2_grpc
from virt_core.conventions.screenshot import LARGEST_PICTURE
from virt_core.conventions.subresources import SCREENSHOT
from virt_core.kube.client import KubeClient
from virt_core.rpc import errors as rpc_errors
from virt_core.rpc.peer import Peer

from virt_api import errors
from virt_api.subresources.call import Call
from virt_api.subresources.guest import Guest, read_guest
from virt_api.subresources.guest_documents import document_of
from virt_api.subresources.handler_errors import from_rpc
from virt_api.subresources.handler_pods import HandlerPods

_DEADLINE = 20.0  # seconds; a guest agent may be slow
_PNG = b"\x89PNG\r\n\x1a\n"


class Details:
    """Queries the handler of the guest's node."""

    def __init__(self, client: KubeClient, handlers: HandlerPods) -> None:
        self._client = client
        self._handlers = handlers

    async def serve(self, request: web.Request, call: Call) -> web.Response:
        """The response: JSON, or a picture.

        Raises:
            ApiError: the query failed.
        """
        guest = await read_guest(self._client, call)
        if call.subresource == SCREENSHOT:
            return await self._screenshot(request, call, guest)
        guest.require_agent()
        async with self._asking(call, guest) as peer:
            stub: Any = handler_pb2_grpc.HandlerServiceStub(peer.channel)
            question = handler_pb2.GetGuestDetailsRequest(target=guest.ref)
            answer = await peer.call(stub.GetGuestDetails, question, timeout=_DEADLINE)
        body = msgspec.json.encode(document_of(call.subresource, answer.details))
        return web.Response(body=body, content_type="application/json")

    async def _screenshot(self, request: web.Request, call: Call, guest: Guest) -> web.Response:
        moved = request.query.get("moveCursor", "false")
        if moved not in ("", "false"):
            message = f"moveCursor: {moved[:80]!r} is not supported by this release, use false"
            raise errors.BadRequest(message, call.details)
        guest.require_stream("display", "autoattachGraphicsDevice", call.details)
        async with self._asking(call, guest) as peer:
            stub: Any = handler_pb2_grpc.HandlerServiceStub(peer.channel)
            question = handler_pb2.TakeScreenshotRequest(target=guest.ref)
            answer = await peer.call(stub.TakeScreenshot, question, timeout=_DEADLINE)
        if not answer.png.startswith(_PNG) or len(answer.png) > LARGEST_PICTURE:
            raise errors.ApiError(f"what virt-handler sent of {call.name} is no picture", call.details)
        return web.Response(body=answer.png, content_type="image/png")

    @asynccontextmanager
    async def _asking(self, call: Call, guest: Guest) -> AsyncIterator[Peer]:
        async with self._handlers.peer(guest.status.node_name) as peer:
            try:
                yield peer
            except rpc_errors.RpcError as error:
                what = f"cannot read {call.subresource} of {call.name}: virt-handler {peer.name}"
                raise from_rpc(error, what, call.details) from error
