"""virt-api's composition root. Called by __main__.

settings → kube client → {front proxy's rules, handler pods, configuration} → HTTPS server: routes.py → webhooks.py →
admission/vmi.py for kube-apiserver's reviews, eviction/webhook.py for those of evictions, and for users' calls
authentication.py → authorization.py → served.py → {streams.py, commands.py, details.py} → handler_pods.py →
virt-handler.

On SIGTERM the replica becomes unready at once but serves for a short time, because Services need a moment to remove it.
Then it closes every stream with a message, and then the server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from aiohttp import web
from kubevirt.info.v1 import info_pb2
from virt_core import aio, logs
from virt_core.conventions import accounts, components
from virt_core.kube.client import KubeClient
from virt_core.kube.configuration import ConfigurationCache
from virt_core.metrics.measured import Measure, Measured
from virt_core.rpc import port
from virt_core.rpc.authorize import allow
from virt_core.rpc.identity import Identity
from virt_core.rpc.server_tls import ServerTls
from virt_core.rpc.tls import Certificates

from virt_api.admission.created import CreatedMachines
from virt_api.admission.webhooks import webhooks
from virt_api.aggregation.authentication import FrontProxyWatch
from virt_api.aggregation.health import Health
from virt_api.eviction.webhook import Evictions
from virt_api.routes import make_application
from virt_api.settings import Settings
from virt_api.subresources.handler_pods import HandlerPods
from virt_api.subresources.served import Served
from virt_api.subresources.splice import CLOSING
from virt_api.subresources.streams import Streams

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

_log = logs.bound("virt_api.app")
_KEEPALIVE = 75.0  # seconds that an idle connection stays open


async def run(settings: Settings, stopping: asyncio.Event) -> None:
    """Serve until `stopping`, then drain."""
    async with KubeClient.connect(components.API) as client:
        certificates = Certificates(settings.certificates)
        front_proxy = FrontProxyWatch(client)
        handlers = HandlerPods(client, settings, certificates)
        configuration = ConfigurationCache(client, settings.namespace)
        configuration.log_as_configured(lambda verbosity: verbosity.virt_api)
        identity = Identity.for_process(info_pb2.COMPONENT_API, ("kubevirt.info.v1",))
        drained = asyncio.Event()
        serving = _serve(
            settings=settings,
            client=client,
            certificates=certificates,
            front_proxy=front_proxy,
            handlers=handlers,
            configuration=configuration,
            stopping=stopping,
            drained=drained,
        )
        await aio.until(
            drained,
            ("front proxy's rules", front_proxy.run()),
            ("handler pods", handlers.run()),
            ("configuration", configuration.run()),
            ("rpc server", port.serve(settings.rpc_port, identity, certificates, peers=allow(components.OPERATOR))),
            ("server", serving),
        )


async def _serve(
    *,
    settings: Settings,
    client: KubeClient,
    certificates: Certificates,
    front_proxy: FrontProxyWatch,
    handlers: HandlerPods,
    configuration: ConfigurationCache,
    stopping: asyncio.Event,
    drained: asyncio.Event,
) -> None:
    streams, created = Streams(client, handlers), CreatedMachines()
    watches = (front_proxy, handlers, configuration)

    def is_ready() -> bool:
        return all(watch.synced.is_set() for watch in watches) and not stopping.is_set()

    application = make_application(
        release=settings.release,
        client=client,
        front_proxy=front_proxy,
        served=Served(client, handlers, streams, configuration),
        health=Health(client, lambda: configuration.resource_version),
        measured=Measured(_measuring(client, certificates, streams, created, is_ready)),
        webhooks={
            **webhooks(client, configuration, accounts.machine_writers(settings.namespace), created.count),
            **Evictions(client).webhooks,
        },
        ready=is_ready,
    )
    tls = ServerTls(certificates, lambda: front_proxy.rules.authorities)
    runner = web.AppRunner(application, access_log=None, keepalive_timeout=_KEEPALIVE, shutdown_timeout=CLOSING + 1)
    await runner.setup()
    try:
        await web.TCPSite(runner, port=settings.https_port, ssl_context=tls.context).start()
        _log.info("serving", port=runner.addresses[0][1], release=settings.release)
        await stopping.wait()
        _log.info("draining", seconds=settings.drain)
        await asyncio.sleep(settings.drain)
        streams.stop()
    finally:
        await runner.cleanup()
    drained.set()


def _measuring(
    client: KubeClient,
    certificates: Certificates,
    streams: Streams,
    created: CreatedMachines,
    is_ready: Callable[[], bool],
) -> Measure:
    async def measure() -> list[Metric]:
        from virt_core.metrics.component import component  # with its library, when somebody asks
        from virt_core.metrics.plumbing import plumbing

        from virt_api import metrics

        return [
            *component(components.API, ready=is_ready()),
            *plumbing(certificates, client.requests),
            *metrics.families(streams.connections.open, streams.connections.last, created.by_namespace),
        ]

    return measure
