"""Dispatches authorized calls of supported subresources. Called by routes.py."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web
from virt_core.conventions.subresources import (
    COMMANDS,
    EVACUATE_CANCEL,
    EXPAND,
    EXPAND_MANIFEST,
    LIFECYCLE,
    MIGRATE,
    STREAMS,
)
from virt_core.kube.client import KubeClient
from virt_core.kube.configuration import ConfigurationCache

from virt_api.subresources.call import Call
from virt_api.subresources.commands import Commands
from virt_api.subresources.details import Details
from virt_api.subresources.expansion import Expansion
from virt_api.subresources.handler_pods import HandlerPods
from virt_api.subresources.lifecycle import Lifecycle
from virt_api.subresources.migration import Migration
from virt_api.subresources.streams import Streams

_Serve = Callable[[web.Request, Call], Awaitable[web.StreamResponse]]


class Served:
    """The handlers of subresources: lifecycle, migrations, streams, commands, and queries about the guest."""

    def __init__(
        self, client: KubeClient, handlers: HandlerPods, streams: Streams, configuration: ConfigurationCache
    ) -> None:
        self._details = Details(client, handlers)
        self._expansion = Expansion(client, configuration)
        migration = Migration(client, configuration)
        self._by_subresource: Mapping[str, _Serve] = {
            **dict.fromkeys(LIFECYCLE, Lifecycle(client).serve),
            **dict.fromkeys(STREAMS, streams.serve),
            **dict.fromkeys(COMMANDS, Commands(client, handlers).serve),
            MIGRATE: migration.migrate,
            EVACUATE_CANCEL: migration.cancel_evacuation,
        }

    async def answer(self, request: web.Request, call: Call) -> web.StreamResponse:
        """The response.

        Raises:
            ApiError: before anything was sent.
        """
        if call.subresource == EXPAND:
            return await self._expansion.expand(call)
        if call.resource == EXPAND_MANIFEST:
            return await self._expansion.expand_manifest(request, call)
        return await self._by_subresource.get(call.subresource, self._details.serve)(request, call)
