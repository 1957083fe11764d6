"""virt-handler's composition root: creates and connects the parts, starts every task by name. Called by start.py."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from kubevirt.info.v1 import info_pb2
from virt_core import aio
from virt_core.conventions import components
from virt_core.conventions.handler_probe import MACHINE_PROBE
from virt_core.kube.client import KubeClient
from virt_core.kube.configuration import ConfigurationCache
from virt_core.kube.events import EventRecorder
from virt_core.kube.queue import WorkQueue
from virt_core.kube.reflector import Key
from virt_core.metrics import server as metrics_server
from virt_core.rpc import port
from virt_core.rpc.authorize import allow
from virt_core.rpc.identity import Identity
from virt_core.rpc.tls import Certificates

from virt_handler.certificates.renewal import NodeCertificate
from virt_handler.deviceplugin import registration
from virt_handler.deviceplugin.plugin import KVM, TUN
from virt_handler.launchers.folder_events import FolderEvents
from virt_handler.launchers.pod_folders import PodFolders
from virt_handler.machines.execute import Executor
from virt_handler.machines.pod import launchers_of
from virt_handler.migration.execute import MigrationExecutor
from virt_handler.network import netlink
from virt_handler.node import heartbeat, kvm
from virt_handler.own_vmis import OwnVmis
from virt_handler.reconcile import Machines
from virt_handler.service.commands import Commands
from virt_handler.service.consoles import Consoles
from virt_handler.service.probes import ProbeService
from virt_handler.service.probes import contract as probe_contract
from virt_handler.service.servicer import HandlerService, contract
from virt_handler.settings import Settings
from virt_handler.start import Started

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric


async def run(settings: Settings, stopping: asyncio.Event, started: Started) -> None:
    """Run as the handler of `settings.node` until `stopping` is set. Neither start nor stop affects a guest."""
    async with AsyncExitStack() as stack:
        folder_events = FolderEvents()
        stack.callback(folder_events.close)
        folders = PodFolders(settings.kubelet_pods, folder_events)
        stack.callback(folders.close)
        client = await stack.enter_async_context(KubeClient.connect(components.HANDLER))

        queue = WorkQueue[Key]("machines")
        vmis = OwnVmis(client, settings.node, queue.add)

        def configured() -> None:
            for vmi in vmis:
                queue.add(vmi.key)

        configuration = ConfigurationCache(client, settings.namespace)
        configuration.subscribe(configured)
        configuration.log_as_configured(lambda verbosity: verbosity.of_handler(settings.node))
        events = EventRecorder(client, components.HANDLER, settings.pod_name)
        executor = Executor(client, events, vmis.rewrote)
        machines = Machines(
            settings.node,
            queue=queue,
            vmis=vmis,
            configuration=configuration,
            connect=launchers_of(folders),
            executor=executor,
            migrations=MigrationExecutor(client, vmis.rewrote),
        )
        contracts = ("kubevirt.info.v1", "kubevirt.handler.v1")
        identity = Identity.for_process(info_pb2.COMPONENT_HANDLER, contracts, frozenset({MACHINE_PROBE}))
        serving, tun_offered = asyncio.Event(), asyncio.Event()
        own = NodeCertificate(
            client,
            node=settings.node,
            namespace=settings.namespace,
            instance=settings.pod_name,
            folder=settings.certificates,
            trust=settings.trust,
        )

        certificates = Certificates(settings.certificates, settings.trust)
        service = HandlerService(settings.node, vmis, Consoles(folders), Commands(machines.link_of))
        probe_service = ProbeService(settings.node, vmis, machines.link_in)

        async def rpc() -> None:
            await own.ready.wait()
            await port.serve(
                settings.rpc_port,
                identity,
                certificates,
                contract(service),
                probe_contract(probe_service),
                peers=allow(components.OPERATOR, components.API),
                serving=serving,
            )

        async def measure() -> list[Metric]:
            from virt_core.metrics.component import component  # with its library, when somebody asks
            from virt_core.metrics.plumbing import plumbing

            return [
                *component(components.HANDLER, ready=started.ready.is_set()),
                *plumbing(certificates, client.requests),
                *await machines.metrics(),
            ]

        async def metrics() -> None:
            await own.ready.wait()
            await metrics_server.serve(settings.metrics_port, certificates, measure)

        async def offer_kvm() -> None:
            if await kvm.runs_guests():
                await registration.serve(settings.device_plugins, folder_events, KVM, asyncio.Event())
            await stopping.wait()  # a node without KVM offers no device as long as this handler runs

        async def certify() -> None:
            await asyncio.wait([started.request])  # a second program would create a second key
            await own.run()

        async def report_readiness() -> None:
            for needed in (vmis.synced, configuration.synced, serving):
                await needed.wait()
            started.ready.set()
            await asyncio.to_thread(netlink.load)  # its import takes 60 ms, which the first machine does not wait for
            await stopping.wait()

        async def probes() -> None:
            await started.probes

        await aio.until(
            stopping,
            ("vmis", vmis.run()),
            ("configuration", configuration.run()),
            ("machines", machines.run()),
            ("certificate", certify()),
            ("rpc server", rpc()),
            ("metrics", metrics()),
            ("device plugin for tun", registration.serve(settings.device_plugins, folder_events, TUN, tun_offered)),
            ("device plugin for kvm", offer_kvm()),
            ("heartbeat", heartbeat.run(client, settings.node, started.ready, tun_offered)),
            ("readiness", report_readiness()),
            ("http", probes()),
        )
