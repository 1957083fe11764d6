"""virt-controller's composition root: starts every task of the process by name. Called by __main__."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from kubevirt.info.v1 import info_pb2
from virt_core import aio, http
from virt_core.conventions import components
from virt_core.kube.client import KubeClient
from virt_core.kube.events import EventRecorder
from virt_core.kube.lease import Lease
from virt_core.metrics import server as metrics_server
from virt_core.rpc import port
from virt_core.rpc.authorize import allow
from virt_core.rpc.identity import Identity
from virt_core.rpc.tls import Certificates

from virt_controller.caches import Caches
from virt_controller.evacuation.reconcile import EvacuationReconciler
from virt_controller.migration.plan import Planner as MigrationPlanner
from virt_controller.migration.reconcile import MigrationReconciler
from virt_controller.node.reconcile import Nodes
from virt_controller.pod.containers import LauncherSettings
from virt_controller.replica_set.reconcile import ReplicaSetReconciler
from virt_controller.settings import Settings
from virt_controller.vm.reconcile import VmReconciler
from virt_controller.vmi.plan import Planner
from virt_controller.vmi.reconcile import VmiReconciler
from virt_controller.workload_update.reconcile import WorkloadUpdater

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric


class Worker(Protocol):
    """Works while this replica leads."""

    async def work(self) -> None:
        """Work until cancelled."""


async def run(settings: Settings, stopping: asyncio.Event) -> None:
    """Run until `stopping`. Every replica runs caches and readiness; the holder of the Lease also reconciles."""
    async with KubeClient.connect(components.CONTROLLER) as client:
        lease = Lease(client, settings.namespace, components.CONTROLLER, settings.pod_name)
        leaders = client.only_while(lambda: lease.certain)
        events = EventRecorder(leaders, components.CONTROLLER, settings.pod_name)
        launcher = LauncherSettings(settings.launcher_image, settings.image_pull_policy, settings.image_pull_secrets)
        planner = Planner(launcher)
        caches = Caches(client, settings.namespace)
        caches.configuration.log_as_configured(lambda verbosity: verbosity.virt_controller)
        nodes = Nodes(leaders, caches.nodes)
        vmis = VmiReconciler(leaders, caches, nodes, planner, events)
        vms = VmReconciler(leaders, caches, events)
        replica_sets = ReplicaSetReconciler(leaders, caches, events)
        migrations = MigrationReconciler(leaders, caches, MigrationPlanner(launcher), events)
        evacuations = EvacuationReconciler(leaders, caches, events)
        updater = WorkloadUpdater(leaders, caches, events, launcher)
        reconcilers: Mapping[str, Worker] = {
            "replica sets": replica_sets,
            "vms": vms,
            "vmis": vmis,
            "nodes": nodes,
            "migrations": migrations,
            "evacuations": evacuations,
            "outdated launchers": updater,
        }

        async def measure() -> list[Metric]:
            from virt_core.metrics.plumbing import plumbing

            from virt_controller.metrics import measure  # with its library, when somebody asks

            shown = measure.of_process(caches, leading=lease.leading)
            shown += plumbing(certificates, client.requests)
            if lease.leading and caches.complete:
                shown += await measure.of_cluster(caches, updater.outdated, vmis.transitions, migrations.transitions)
            return shown

        identity = Identity.for_process(info_pb2.COMPONENT_CONTROLLER, ("kubevirt.info.v1",))
        certificates = Certificates(settings.certificates)
        await aio.until(
            stopping,
            ("caches", caches.run()),
            ("leader", lease.lead(lambda: _work(reconcilers))),
            ("rpc server", port.serve(settings.rpc_port, identity, certificates, peers=allow(components.OPERATOR))),
            ("http", http.serve(settings.health_port, caches.wait)),
            ("metrics", metrics_server.serve(settings.metrics_port, certificates, measure)),
        )


async def _work(reconcilers: Mapping[str, Worker]) -> None:
    async with asyncio.TaskGroup() as group:
        for what, reconciler in reconcilers.items():
            group.create_task(reconciler.work(), name=f"work on {what}")
