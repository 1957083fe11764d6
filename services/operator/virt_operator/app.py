"""virt-operator's composition root: starts every task of the process by name. Called by __main__.

Every replica serves the webhook and the admin API with its own certificate; the holder of the Lease also reconciles. On
SIGTERM the Lease is released at once, but the webhook serves for a short time (webhook/server.py).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from virt_core import aio, http
from virt_core.conventions import components
from virt_core.kube.client import KubeClient
from virt_core.kube.lease import Lease
from virt_core.metrics import server as metrics_server
from virt_core.rpc.tls import Certificates

from virt_operator.admin import server as admin
from virt_operator.certificates.authority import AuthorityWatch
from virt_operator.certificates.own import OwnCertificate
from virt_operator.reconcile.reconciler import Reconciler
from virt_operator.settings import Settings
from virt_operator.strategy.operator_rbac import LEASE
from virt_operator.webhook.registration import WebhookRegistration
from virt_operator.webhook.server import WebhookServer

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric


async def run(settings: Settings, stopping: asyncio.Event) -> None:
    """Run until `stopping` is set and the webhook is drained. A standby is ready as well, because it serves the
    webhook."""
    async with KubeClient.connect(components.OPERATOR) as client:
        lease = Lease(client, settings.namespace, LEASE, settings.pod_name)
        authority = AuthorityWatch(client, settings.namespace)
        own = OwnCertificate(authority, settings.namespace, settings.certificates)
        reconciler = Reconciler(client, authority, settings)
        webhook = WebhookServer(client, settings)
        registration = WebhookRegistration(client, settings, lambda: lease.leading)
        drained = asyncio.Event()
        certificates = Certificates(settings.certificates)

        async def serve() -> None:
            await webhook.run(own.ready, stopping)
            drained.set()

        async def lead() -> None:
            await aio.until(
                stopping,
                ("webhook registration", registration.run(webhook.serving)),
                ("reconciler", lease.lead(reconciler.run)),
            )
            await drained.wait()

        async def measure() -> list[Metric]:
            from virt_core.metrics.component import component  # with its library, when somebody asks
            from virt_core.metrics.plumbing import plumbing

            from virt_operator import metrics

            shown = component(components.OPERATOR, ready=webhook.serving.is_set(), leading=lease.leading)
            shown += plumbing(certificates, client.requests)
            return shown + (metrics.families(reconciler.upgrade) if lease.leading else [])

        async def serve_metrics() -> None:
            await own.ready.wait()
            await metrics_server.serve(settings.metrics_port, certificates, measure)

        await aio.until(
            drained,
            ("http", http.serve(settings.health_port, webhook.serving.wait)),
            ("certificate authority", authority.run()),
            ("own certificate", own.run()),
            ("webhook", serve()),
            ("metrics", serve_metrics()),
            ("leader", lead()),
            ("rpc server", admin.serve(client, settings, own.ready)),
        )
