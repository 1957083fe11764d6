"""Connects caches, plan and executor for VirtualMachineInstances. Created and run by app.py.

In addition to the caches it reads from the API server only when necessary: claims before a pod is created, and the
namespace if it is too new for its cache; a pod's events when it does not start, a namespace's rules when a pod is
refused.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import msgspec
from virt_core.kube.client import KubeClient
from virt_core.kube.events import EventRecorder
from virt_core.kube.reflector import Key
from virt_core.kube.resource import EVENTS
from virt_core.objects.event import Event
from virt_core.vmi.accepted import AcceptedSpec, AcceptedSpecs, RefusedSpec
from virt_core.vmi.instance import VirtualMachineInstance, VmiPhase

from virt_controller.caches import Caches
from virt_controller.claims import read_claims
from virt_controller.controller import Controller, Refusals
from virt_controller.execution import Refused
from virt_controller.launcher_default import launcher_default
from virt_controller.node.reconcile import Nodes
from virt_controller.pod.observed import Claim, LauncherPod
from virt_controller.sightings import Sightings
from virt_controller.transitions import BOUNDS, Transitions
from virt_controller.vmi.execute import Executor
from virt_controller.vmi.namespaces import Namespaces
from virt_controller.vmi.observe import Observed, PodRefusal, current_pod
from virt_controller.vmi.plan import Planner, needs_events

_EVENTS = 50  # warnings of a pod that are read; the kubelet counts repetitions in a single event
_WORKERS = 20  # VMIs that are reconciled in parallel; a VMI has one worker at a time


class VmiReconciler:
    """Reconciles the VirtualMachineInstances of the cluster."""

    def __init__(
        self,
        client: KubeClient,
        caches: Caches,
        nodes: Nodes,
        planner: Planner,
        events: EventRecorder,
        *,
        migrations_over: Sightings[Key] | None = None,
    ) -> None:
        self._client = client
        self._caches = caches
        self._nodes = nodes
        self._planner = planner
        self._specs = AcceptedSpecs()
        self._controller = Controller("vmi", caches, workers=_WORKERS, urgent=self._has_begun)
        self._executor = Executor(client, events, caches.vmis.wrote, caches.pods.rewrote)
        self._clock = asyncio.get_running_loop().time
        self._migrations_over = migrations_over if migrations_over is not None else Sightings(self._clock)
        self._ready: Sightings[Key] = Sightings(self._clock)  # of pods whose guests do not run yet
        self._namespaces = Namespaces(client, self._clock)
        self._refusals: Refusals[PodRefusal] = Refusals()  # of VMIs without a pod; by UID, as the spec cannot change
        self.transitions = Transitions(BOUNDS, datetime.now(UTC))
        caches.vmis.subscribe(self._controller.enqueue)
        caches.pods.subscribe(self._controller.enqueue)
        caches.configuration.subscribe(self._configuration_changed)
        caches.namespaces.subscribe(self._namespace_changed)
        nodes.listen(self._node_changed)

    async def work(self) -> None:
        """Reconcile until cancelled, starting when every cache is complete."""
        self.transitions = Transitions(BOUNDS, datetime.now(UTC))
        await self._controller.work(self.reconcile, lambda: [vmi.key for vmi in self._caches.vmis])

    async def reconcile(self, key: Key) -> float | None:
        """A pass: observe, plan, execute. Returns the seconds after which to reconcile again, or None."""
        vmi = self._caches.vmis.get(key)
        if vmi is None:
            self._specs.forget(key)
            self._refusals.forget(key)
            self._migrations_over.look(key, None)
            self._ready.look(key, None)
            self.transitions.forget(key)
            return None
        self.transitions.see(vmi.metadata, vmi.status.entered)
        observed = await self._observe(vmi, datetime.now(UTC))
        try:
            return await self._carry_out(observed)
        except Refused as error:
            refusal = PodRefusal(str(error), datetime.now(UTC))
            self._refusals.remember(key, vmi.metadata.uid, refusal)
            return await self._executor.execute(
                vmi, self._planner.plan(replace(observed, refusal=refusal, now=refusal.at))
            )

    async def _carry_out(self, observed: Observed) -> float | None:
        """Execute the plan. If unknown rules of the namespace refuse the pod, read them and execute a new plan, so that
        nobody hears of the first attempt.

        Cached rules are read again only at the first refusal of a VirtualMachineInstance: one that waits for room in a
        quota would cause requests at each attempt.
        """
        plan, began = self._planner.plan(observed), self._clock()
        try:
            return await self._executor.execute(observed.vmi, plan)
        except Refused as error:
            if observed.rules is not None and observed.refusal is not None:
                raise
            rules = await self._namespaces.rules_of_refusal(error, observed.vmi.metadata.namespace, began)
            obeying = self._planner.plan(replace(observed, rules=rules))
            if obeying == plan:
                raise
            return await self._executor.execute(observed.vmi, obeying)

    async def _observe(self, vmi: VirtualMachineInstance, now: datetime) -> Observed:
        caches, active, state = self._caches, vmi.status.active_pods, vmi.status.migration_state
        over = state is not None and not state.active
        self._migrations_over.look(vmi.key, (vmi.metadata.uid, state.migration_uid) if state and over else None)
        pods = caches.pods.concerning(vmi)
        observed = Observed(
            vmi,
            pods,
            caches.configuration.current,
            now,
            removed=caches.pods.removed(vmi),
            migration_over=self._migrations_over.seconds(vmi.key),
            unconfigured=caches.configuration.unknown,
            vm_goes=self._vm_goes(vmi),
        )
        pod = current_pod(vmi, pods)
        waits = pod is not None and pod.ready and vmi.status.phase == VmiPhase.SCHEDULING
        self._ready.look(vmi.key, pod.metadata.uid if pod is not None and waits else None)
        if pod is None:
            if active:
                return observed
            namespace = vmi.metadata.namespace
            rules = self._namespaces.known(namespace)
            default = await launcher_default(self._client, caches.namespaces, namespace)
            spec = self._specs.of(vmi, observed.configuration) if observed.configuration is not None else None
            claims = await self._claims(vmi, spec)
            refusal = self._refusals.get(vmi.key, vmi.metadata.uid)
            created = replace(observed, spec=spec, claims=claims, refusal=refusal, rules=rules)
            return replace(created, launcher_default=default)
        self._refusals.forget(vmi.key)
        self._specs.forget(vmi.key)  # of no use any more once there is a pod
        events = await self._pod_events(pod) if needs_events(vmi, pod, now) else ()
        found = {node: self._nodes.trouble(node) for node in {pod.spec.node_name, *active.values()} if node}
        troubles = {node: trouble for node, trouble in found.items() if trouble is not None}
        ready_for = self._ready.seconds(vmi.key)
        return replace(observed, troubles=troubles, pod_events=events, ready_for=ready_for)

    def _vm_goes(self, vmi: VirtualMachineInstance) -> bool:
        vm = self._caches.vms.get(vmi.key)
        is_its_own = vm is not None and vm.metadata.uid == vmi.metadata.controller_uid
        return vm is not None and is_its_own and vm.metadata.deletion_timestamp is not None

    async def _pod_events(self, pod: LauncherPod) -> tuple[Event, ...]:
        """Warnings about a pod. Read on demand, because watching all events of a cluster is expensive."""
        fields = f"regarding.uid={pod.metadata.uid},type=Warning"
        found = await self._client.list(EVENTS, pod.metadata.namespace, fields=fields, limit=_EVENTS)
        return tuple(msgspec.convert(event, Event) for event in found)

    async def _claims(
        self, vmi: VirtualMachineInstance, spec: AcceptedSpec | RefusedSpec | None
    ) -> dict[str, Claim | None]:
        if vmi.metadata.deletion_timestamp is not None or vmi.status.phase.final:
            return {}
        return await read_claims(self._client, vmi.metadata.namespace, spec)

    def _has_begun(self, key: Key) -> bool:
        """Whether it has a pod or is to go, so that it takes few requests until a user has what was requested. In a
        burst of creations, guests whose pods are ready do not wait until all others have a pod, too."""
        vmi = self._caches.vmis.get(key)
        if vmi is None or vmi.metadata.deletion_timestamp is not None or self._caches.pods.of(vmi):
            return True
        return bool(vmi.status.active_pods)

    def _node_changed(self, name: str) -> None:
        for vmi in self._caches.vmis_on_nodes.of(name):
            if name in vmi.status.active_pods.values():
                self._controller.enqueue(vmi.key)

    def _namespace_changed(self, key: Key) -> None:
        """Reconcile its VMIs without a pod, whose launcher it may name."""
        for vmi in self._caches.waiting_vmis.of(key[1]):
            self._controller.enqueue(vmi.key)

    def _configuration_changed(self) -> None:
        """Reconcile VMIs without a pod, which may get one now. Running VMIs keep their configuration."""
        for vmi in self._caches.waiting_vmis:
            self._controller.enqueue(vmi.key)
