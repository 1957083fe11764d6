"""Connects caches, plan and executor for VirtualMachineInstanceMigrations. Created and run by app.py.

In addition to the caches it reads from the API server only what a target pod depends on: claims before it is created,
labels of the namespace if a MigrationPolicy selects by them, the namespace's rules when the pod is refused. A new
leader reads all migrations once, before it begins one, and any leader again when the answer to such a write was lost.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import msgspec
from virt_core.kube.client import KubeClient, Object
from virt_core.kube.errors import Conflict, KubeError
from virt_core.kube.events import EventRecorder
from virt_core.kube.reflector import Key
from virt_core.kube.resource import NAMESPACES, VIRTUAL_MACHINE_INSTANCE_MIGRATIONS
from virt_core.migration.migration import MigrationPhase, VirtualMachineInstanceMigration
from virt_core.migration.policy import MigrationPolicy, policy_for
from virt_core.objects.meta import PartialObject
from virt_core.vmi.accepted import AcceptedSpecs
from virt_core.vmi.instance import VirtualMachineInstance

from virt_controller.caches import Caches
from virt_controller.claims import read_claims
from virt_controller.controller import Controller, Refusals
from virt_controller.execution import Refused
from virt_controller.failure import Failure
from virt_controller.launcher_default import launcher_default
from virt_controller.migration.copies import Copies, Copy
from virt_controller.migration.execute import Executor
from virt_controller.migration.observe import Observed, other_pods
from virt_controller.migration.plan import Planner
from virt_controller.migration.queue import Queue
from virt_controller.pod.observed import LauncherPod
from virt_controller.transitions import MIGRATION_BOUNDS, Transitions
from virt_controller.vmi.namespaces import Namespaces
from virt_controller.vmi.observe import current_pod

_WORKERS = 5  # migrations that are reconciled in parallel
_MANY = 100_000  # more migrations than a cluster keeps; a list with a limit is read from etcd


class MigrationReconciler:
    """Reconciles the VirtualMachineInstanceMigrations of the cluster."""

    def __init__(
        self,
        client: KubeClient,
        caches: Caches,
        planner: Planner,
        events: EventRecorder,
        copies: Copies | None = None,
    ) -> None:
        self._client = client
        self._caches = caches
        self._planner = planner
        self._controller = Controller("migration", caches, workers=_WORKERS)
        self._executor = Executor(client, events, self._wrote, caches.vmis.wrote, caches.pods.wrote)
        self._answered = ""  # the version of a migration with which the API server has answered last
        self._clock = asyncio.get_running_loop().time
        self._queue = Queue(caches, self._clock)
        self._copies = copies if copies is not None else Copies(self._clock)
        self._namespaces = Namespaces(client, self._clock)
        self._specs = AcceptedSpecs()
        self._refusals: Refusals[Failure] = Refusals()
        # Who takes a place counts the others, and writes before the next one counts.
        self._places = asyncio.Lock()
        self._counted = False
        self.transitions = Transitions(MIGRATION_BOUNDS, datetime.now(UTC))
        caches.migrations_of_vmis.subscribe(self._enqueue_of)
        caches.migrations.subscribe(self._changed)
        caches.vmis.subscribe(self._enqueue_of)
        caches.pods.subscribe(self._enqueue_of)
        caches.configuration.subscribe(self._enqueue_waiting)

    async def work(self) -> None:
        """Reconcile until cancelled, starting when every cache is complete."""
        self.transitions = Transitions(MIGRATION_BOUNDS, datetime.now(UTC))
        await self._controller.work(self.reconcile, lambda: [job.key for job in self._caches.migrations])

    async def reconcile(self, key: Key) -> float | None:
        """A pass: observe, plan, execute. Returns the seconds after which to reconcile again, or None."""
        job = self._caches.migrations.get(key)
        if job is None:
            self._refusals.forget(key)
            self._copies.forget(key)
            self.transitions.forget(key)
            return None
        self.transitions.see(job.metadata, job.status.phases_entered)
        if not self._counts_others(job):
            return await self._pass(job)
        async with self._places:
            await self._count_what_was_not_seen()
            job = self._caches.migrations.get(key)
            try:
                again = await self._pass(job) if job is not None else None
            except Conflict:
                raise
            except KubeError:
                self._counted = False  # the place may have been taken
                raise
        begun = self._caches.migrations.get(key)
        if begun is None or begun.status.phase.waiting or begun.metadata.resource_version != self._answered:
            return again
        return await self._pass(begun, just_written=True)

    def _wrote(self, answer: Object) -> None:
        self._answered = answer["metadata"]["resourceVersion"]
        self._caches.migrations.wrote(answer)

    def _counts_others(self, job: VirtualMachineInstanceMigration) -> bool:
        """Whether it may begin, or arrive at its target's node, only if few enough others do."""
        vmi = self._caches.vmis.get(job.vmi_key)
        if job.status.phase is not MigrationPhase.SCHEDULING or vmi is None:
            return job.status.phase.waiting
        pod = self._queue.target_of(job, vmi)
        return pod is not None and bool(pod.spec.node_name)

    async def _count_what_was_not_seen(self) -> None:
        """Read the migrations from etcd, once, and after a write whose answer was lost: the watch may not have brought
        the last ones that began, by a leader before this one or by this one."""
        if not self._counted:
            for found in await self._client.list(VIRTUAL_MACHINE_INSTANCE_MIGRATIONS, limit=_MANY):
                self._caches.migrations.wrote(found)
            self._counted = True

    async def _pass(self, job: VirtualMachineInstanceMigration, *, just_written: bool = False) -> float | None:
        """Observe, plan, execute. `just_written`: the API server has the migration as it is here."""
        key = job.key
        observed = await self._observe(job, datetime.now(UTC))
        try:
            return await self._carry_out(observed, just_written=just_written)
        except Refused as error:
            failure = Failure("FailedCreate", str(error), datetime.now(UTC))
            self._refusals.remember(key, job.metadata.uid, failure)
            reported = replace(observed, refusal=failure, now=failure.at)
            return await self._executor.execute(job, observed.vmi, self._planner.plan(reported))

    async def _carry_out(self, observed: Observed, *, just_written: bool) -> float | None:
        """Execute the plan; if unknown rules of the namespace refuse the target pod, one that obeys them."""
        plan, began = self._planner.plan(observed), self._clock()
        try:
            return await self._executor.execute(observed.job, observed.vmi, plan, just_written=just_written)
        except Refused as error:
            if observed.rules is not None:
                raise
            rules = await self._namespaces.rules_of_refusal(error, observed.job.metadata.namespace, began)
            obeying = self._planner.plan(replace(observed, rules=rules))
            if obeying == plan:
                raise
            return await self._executor.execute(observed.job, observed.vmi, obeying)

    async def _observe(self, job: VirtualMachineInstanceMigration, now: datetime) -> Observed:
        caches = self._caches
        vmi = caches.vmis.get(job.vmi_key)
        if vmi is None or job.status.phase.final:
            self._specs.forget(job.vmi_key)
        others = self._queue.others(job)
        observed = Observed(job, vmi, now, others=others)
        if vmi is None:
            return observed
        target = self._queue.target_of(job, vmi)
        pods = self._caches.pods.concerning(vmi)
        source = current_pod(vmi, pods)
        further = other_pods(vmi, pods, source, target)
        observed = replace(observed, source=source, target=target, other_pods=further, copy=self._copy(observed))
        phase, configuration = job.status.phase, caches.configuration.current
        if phase is MigrationPhase.RUNNING and observed.state is not None and configuration is not None:
            return replace(observed, spec=self._specs.of(vmi, configuration))
        if phase.final or observed.state is not None or job.metadata.deletion_timestamp is not None:
            return observed
        if configuration is None:
            return observed
        policy = await self._policy(vmi)
        settings = configuration.migrations.resolved()
        if policy is not None:
            settings = policy.spec.configuration.over(configuration.migrations).resolved()
        observed = replace(
            observed,
            settings=settings,
            policy=policy.metadata.name if policy is not None else "",
            candidates=self._queue.candidates(now),
            configuration=configuration,
        )
        if target is not None or phase is not MigrationPhase.SCHEDULING:
            return observed
        spec = self._specs.of(vmi, configuration)
        claims = await read_claims(self._client, job.metadata.namespace, spec)
        namespace = job.metadata.namespace
        default = await launcher_default(self._client, caches.namespaces, namespace)
        observed = replace(observed, spec=spec, claims=claims, launcher_default=default)
        rules = self._namespaces.known(namespace)
        observed = replace(observed, rules=rules, only_node=self._only_node(source))
        return replace(observed, refusal=self._waiting_refusal(job, now))

    def _copy(self, observed: Observed) -> Copy:
        """What was seen of a copy that goes on."""
        state, job, vmi = observed.state, observed.job, observed.vmi
        if state is None or vmi is None or state.completed or not state.start_timestamp:
            self._copies.forget(job.key)
            return Copy()
        return self._copies.look(job.key, job.metadata.uid, vmi.raw_status["migrationState"].get("progress"))

    def _only_node(self, source: LauncherPod | None) -> bool:
        """Whether the guest's node is the only one that has had a handler, ready or not."""
        return source is not None and self._caches.handled_nodes.sole("") == ("", source.spec.node_name)

    async def _policy(self, vmi: VirtualMachineInstance) -> MigrationPolicy | None:
        policies = tuple(self._caches.policies)
        if not policies:
            return None
        by_namespace: dict[str, str] = {}
        if any(policy.spec.selectors.namespace_selector for policy in policies):
            found = await self._client.get(NAMESPACES, None, vmi.metadata.namespace)
            by_namespace = msgspec.convert(found, PartialObject).metadata.labels
        return policy_for(policies, by_namespace, vmi.metadata.labels)

    def _waiting_refusal(self, job: VirtualMachineInstanceMigration, now: datetime) -> Failure | None:
        """The last refusal, until the next attempt is due."""
        failure = self._refusals.get(job.key, job.metadata.uid)
        if failure is None or failure.seconds_to_retry(None, now) > 0:
            return failure
        self._refusals.forget(job.key)
        return None

    def _changed(self, key: Key) -> None:
        """A migration that ends, stalls or is gone makes room for those that wait."""
        job = self._caches.migrations.get(key)
        self._controller.enqueue(key)
        if job is None or not (job.status.takes_place or job.status.phase.waiting):
            self._enqueue_waiting()

    def _enqueue_of(self, vmi: Key) -> None:
        for job in self._caches.migrations_of_vmis.of(vmi):
            self._controller.enqueue(job.key)

    def _enqueue_waiting(self) -> None:
        for job in self._caches.unfinished_migrations:
            if job.status.phase.waiting or job.status.phase is MigrationPhase.SCHEDULING:
                self._controller.enqueue(job.key)
