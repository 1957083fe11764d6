"""Dispatches authorized calls of supported subresources. Called by routes.py."""

from __future__ import annotations

from aiohttp import web
from virt_core.conventions.subresources import COMMANDS, EXPAND, EXPAND_MANIFEST, LIFECYCLE, STREAMS
from virt_core.kube.client import KubeClient
from virt_core.kube.configuration import ConfigurationCache

from virt_api.subresources.call import Call
from virt_api.subresources.commands import Commands
from virt_api.subresources.details import Details
from virt_api.subresources.expansion import Expansion
from virt_api.subresources.handler_pods import HandlerPods
from virt_api.subresources.lifecycle import Lifecycle
from virt_api.subresources.streams import Streams


class Served:
    """The handlers of subresources: streams, commands, and queries about the guest."""

    def __init__(
        self, client: KubeClient, handlers: HandlerPods, streams: Streams, configuration: ConfigurationCache
    ) -> None:
        self._streams = streams
        self._commands = Commands(client, handlers)
        self._details = Details(client, handlers)
        self._lifecycle = Lifecycle(client)
        self._expansion = Expansion(client, configuration)

    async def answer(self, request: web.Request, call: Call) -> web.StreamResponse:
        """The response.

        Raises:
            ApiError: before anything was sent.
        """
        if call.subresource in LIFECYCLE:
            return await self._lifecycle.serve(request, call)
        if call.subresource == EXPAND:
            return await self._expansion.expand(call)
        if call.resource == EXPAND_MANIFEST:
            return await self._expansion.expand_manifest(request, call)
        if call.subresource in STREAMS:
            return await self._streams.serve(request, call)
        if call.subresource in COMMANDS:
            return await self._commands.serve(request, call)
        return await self._details.serve(request, call)
