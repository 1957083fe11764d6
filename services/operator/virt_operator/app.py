"""virt-operator's tasks: its own certificate, the webhook and the admin port on each replica, and reconciling while
this one leads. Called by __main__.py.

SIGTERM: the lease is released at once; the webhook is not ready at once, but serves a little longer (server.py).
"""

from __future__ import annotations

import asyncio

from virt_core import aio, http
from virt_core.conventions import components
from virt_core.kube.client import KubeClient
from virt_core.kube.lease import Lease

from virt_operator.admin import server as admin
from virt_operator.certificates.authority import AuthorityWatch
from virt_operator.certificates.own import OwnCertificate
from virt_operator.reconcile.reconciler import Reconciler
from virt_operator.settings import Settings
from virt_operator.strategy.operator_rbac import LEASE
from virt_operator.webhook.registration import WebhookRegistration
from virt_operator.webhook.server import WebhookServer


async def run(settings: Settings, stopping: asyncio.Event) -> None:
    """Run until `stopping` is set and the webhook is drained. A standby is ready too: it serves the webhook."""
    async with KubeClient.connect(components.OPERATOR) as client:
        lease = Lease(client, settings.namespace, LEASE, settings.pod_name)
        authority = AuthorityWatch(client, settings.namespace)
        own = OwnCertificate(authority, settings.namespace, settings.certificates)
        reconciler = Reconciler(client, authority, settings)
        webhook = WebhookServer(client, settings)
        registration = WebhookRegistration(client, settings, lambda: lease.leading)
        drained = asyncio.Event()

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

        await aio.until(
            drained,
            ("http", http.serve(settings.health_port, webhook.serving.is_set)),
            ("certificate authority", authority.run()),
            ("own certificate", own.run()),
            ("webhook", serve()),
            ("what ends at once", lead()),
            ("admin", admin.serve(client, settings, own.ready)),
        )
