"""virt-operator's tasks: readiness for the kubelet and its own certificate on each replica, and reconciling while this
one leads. Called by __main__.py."""

from __future__ import annotations

import asyncio

from virt_core import aio, health
from virt_core.kube.client import KubeClient
from virt_core.kube.lease import Lease

from virt_operator.certificates.authority import AuthorityWatch
from virt_operator.certificates.own import OwnCertificate
from virt_operator.install.reconciler import Reconciler
from virt_operator.settings import Settings
from virt_operator.strategy.operator_rbac import LEASE


async def main(settings: Settings, stopping: asyncio.Event) -> None:
    """Run until `stopping` is set. A standby is ready too: it watches the lease and the certificate authority."""
    async with KubeClient.connect("virt-operator") as client:
        lease = Lease(client, settings.namespace, LEASE, settings.pod_name)
        authority = AuthorityWatch(client, settings.namespace)
        own = OwnCertificate(authority, settings.namespace, settings.certificates)
        reconciler = Reconciler(client, authority, settings)
        await aio.until(
            stopping,
            ("health", health.serve(settings.health_port, own.ready.is_set)),
            ("certificate authority", authority.run()),
            ("own certificate", own.run()),
            ("reconciler", lease.lead(reconciler.run)),
        )
