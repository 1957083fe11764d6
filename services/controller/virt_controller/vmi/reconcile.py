"""Brings reflectors, plan and executor together for VirtualMachineInstances. Called by app.py."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import msgspec
from virt_core.conventions import labels
from virt_core.kube.client import KubeClient
from virt_core.kube.errors import NotFound
from virt_core.kube.events import EventRecorder
from virt_core.kube.queue import WorkQueue
from virt_core.kube.reflector import Key, Reflector
from virt_core.kube.resource import EVENTS, KUBEVIRTS, PERSISTENT_VOLUME_CLAIMS, PODS, VIRTUAL_MACHINE_INSTANCES
from virt_core.objects.kubevirt import Configuration, KubeVirt
from virt_core.vmi.instance import VirtualMachineInstance

from virt_controller.node.reconcile import Nodes
from virt_controller.pod.observed import Claim, LauncherPod, PodEvent
from virt_controller.pod.template import pod_name
from virt_controller.pod.volumes import claim_names
from virt_controller.vmi.execute import Executor, PodRefused
from virt_controller.vmi.observe import Observed, PodRefusal
from virt_controller.vmi.plan import Planner, needs_events

_EVENTS = 50  # warnings of one pod that are looked at; the kubelet counts repetitions in one
_WORKERS = 10  # requests in flight; one VMI is never worked on twice at a time


class VmiReconciler:
    """Every VirtualMachineInstance of the cluster."""

    def __init__(
        self, client: KubeClient, namespace: str, planner: Planner, events: EventRecorder, nodes: Nodes
    ) -> None:
        self._client = client
        self._nodes = nodes
        nodes.listen(self._node_changed)
        self._planner = planner
        self._queue: WorkQueue[Key] = WorkQueue("vmi")
        self._vmis = Reflector(client, VIRTUAL_MACHINE_INSTANCES, VirtualMachineInstance, self._queue.add)
        self._executor = Executor(client, events, self._vmis.wrote)
        self._pods = Reflector(client, PODS, LauncherPod, self._pod_changed, labels=f"{labels.APP}=virt-launcher")
        self._kubevirts = Reflector(client, KUBEVIRTS, KubeVirt, self._configuration_changed, namespace=namespace)
        self._owners: dict[Key, Key] = {}
        self._refusals: dict[Key, tuple[str, PodRefusal]] = {}  # of VMIs without a pod, with their UID

    @property
    def synced(self) -> bool:
        """Whether the caches hold the whole cluster."""
        return all(synced.is_set() for synced in self._synced)

    @property
    def _synced(self) -> tuple[asyncio.Event, ...]:
        return (self._vmis.synced, self._pods.synced, self._kubevirts.synced, self._nodes.synced)

    async def watch(self) -> None:
        """Keep the caches until cancelled; a standby does too, so that it can take over at once."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._vmis.run(), name="reflector of vmis")
            group.create_task(self._pods.run(), name="reflector of launcher pods")
            group.create_task(self._kubevirts.run(), name="reflector of kubevirts")

    async def work(self) -> None:
        """Reconcile until cancelled. Nothing is concluded before every cache was filled once."""
        for synced in self._synced:
            await synced.wait()
        await self._queue.run(self._reconcile, _WORKERS, first=[vmi.key for vmi in self._vmis])

    async def _reconcile(self, key: Key) -> float | None:
        vmi = self._vmis.get(key)
        if vmi is None:
            self._refusals.pop(key, None)
            return None
        pod = self._pods.get((vmi.metadata.namespace, pod_name(vmi)))
        if pod is not None and pod.metadata.labels.get(labels.CREATED_BY) != vmi.metadata.uid:
            pod = None
        observed = await self._observe(vmi, pod, datetime.now(UTC))
        try:
            return await self._executor.execute(vmi, self._planner.plan(observed))
        except PodRefused as error:
            refusal = PodRefusal(str(error), datetime.now(UTC))
            self._refusals[key] = vmi.metadata.uid, refusal
            observed = replace(observed, refusal=refusal, now=refusal.at)
            return await self._executor.execute(vmi, self._planner.plan(observed))

    async def _observe(self, vmi: VirtualMachineInstance, pod: LauncherPod | None, now: datetime) -> Observed:
        if pod is None:
            claims = {} if vmi.status.active_pods else await self._claims(vmi)
            return Observed(vmi, None, self._configuration(), now, claims, refusal=self._refusal(vmi))
        self._refusals.pop(vmi.key, None)
        node = pod.spec.node_name
        trouble = self._nodes.trouble(node, now) if node else None
        told = await self._pod_events(pod) if needs_events(vmi, pod, now) else ()
        return Observed(vmi, pod, self._configuration(), now, trouble=trouble, pod_events=told)

    def _refusal(self, vmi: VirtualMachineInstance) -> PodRefusal | None:
        uid, refusal = self._refusals.get(vmi.key, ("", None))
        return refusal if uid == vmi.metadata.uid else None

    async def _pod_events(self, pod: LauncherPod) -> tuple[PodEvent, ...]:
        """Warnings about a pod, asked for: an event of a cluster's many is looked at when there is a question."""
        fields = f"regarding.uid={pod.metadata.uid},type=Warning"
        found = await self._client.list(EVENTS, pod.metadata.namespace, fields=fields, limit=_EVENTS)
        return tuple(msgspec.convert(each, PodEvent) for each in found)

    async def _claims(self, vmi: VirtualMachineInstance) -> dict[str, Claim | None]:
        """The claims that the VMI names, asked for by name."""
        if vmi.metadata.deletion_timestamp is not None or vmi.status.phase.final:
            return {}
        return {name: await self._claim(vmi.metadata.namespace, name) for name in claim_names(vmi)}

    async def _claim(self, namespace: str, name: str) -> Claim | None:
        try:
            return msgspec.convert(await self._client.get(PERSISTENT_VOLUME_CLAIMS, namespace, name), Claim)
        except NotFound:
            return None

    def _configuration(self) -> Configuration:
        return next((kubevirt.spec.configuration for kubevirt in self._kubevirts), Configuration())

    def _pod_changed(self, key: Key) -> None:
        pod = self._pods.get(key)
        if pod is not None:
            self._owners[key] = (pod.metadata.namespace, pod.metadata.annotations.get(labels.DOMAIN, ""))
            self._queue.add(self._owners[key])
        elif key in self._owners:
            self._queue.add(self._owners.pop(key))

    def _node_changed(self, name: str) -> None:
        for vmi in self._vmis:
            if name in vmi.raw_status.get("activePods", {}).values():
                self._queue.add(vmi.key)

    def _configuration_changed(self, _: Key) -> None:
        """A VMI that waits for a pod may get one now; running ones keep what they were started with."""
        for vmi in self._vmis:
            if not vmi.status.active_pods:
                self._queue.add(vmi.key)
