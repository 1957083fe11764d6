"""virt-operator's tasks: readiness for the kubelet, and reconciling while this replica leads. Called by __main__.py."""

from __future__ import annotations

import asyncio

from virt_core import aio, health
from virt_core.kube.client import KubeClient
from virt_core.kube.lease import Lease

from virt_operator.install.reconciler import Reconciler
from virt_operator.settings import Settings
from virt_operator.strategy.operator_rbac import LEASE


async def main(settings: Settings, stopping: asyncio.Event) -> None:
    """Run until `stopping` is set. A standby is ready too: it watches the lease and nothing else."""
    async with KubeClient.connect("virt-operator") as client:
        lease = Lease(client, settings.namespace, LEASE, settings.pod_name)
        reconciler = Reconciler(client, settings)
        await aio.until(
            stopping,
            ("health", health.serve(settings.health_port, lambda: True)),
            ("reconciler", lease.lead(reconciler.run)),
        )
