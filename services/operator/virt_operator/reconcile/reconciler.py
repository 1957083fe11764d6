"""The reconcile loop: any change triggers a pass over the whole suite. Called by app.py while this replica leads.

There is a single key, the suite, so passes never overlap. Nothing is written while the suite is idle.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from virt_core import logs
from virt_core.conventions import apiserver_authentication as authentication
from virt_core.conventions import components
from virt_core.kube.client import KubeClient
from virt_core.kube.errors import KubeError, NotFound
from virt_core.kube.events import EventRecorder
from virt_core.kube.queue import WorkQueue
from virt_core.kube.resource import KUBEVIRTS
from virt_core.objects.kubevirt import KubeVirtStatus
from virt_core.objects.upgrade_status import Upgrade
from virt_core.rpc.tls import Certificates

from virt_operator.certificates.authority import AuthorityWatch
from virt_operator.change.permission_review import review_permissions
from virt_operator.change.plan import plan
from virt_operator.change.restored import restored
from virt_operator.proof.guest import delete_left
from virt_operator.proof.prove import PodProber
from virt_operator.reconcile.availability import inherited, next_outage, outages, since
from virt_operator.reconcile.events import events_of
from virt_operator.reconcile.execute import Executor
from virt_operator.reconcile.failure import Failure, blocked_by, is_reported
from virt_operator.reconcile.inventory import Inventory
from virt_operator.reconcile.learn import Learner
from virt_operator.reconcile.refused_pods import AGAIN, RefusedPods
from virt_operator.reconcile.status import patch_of, second_object_status, status_of
from virt_operator.removal.plan import asks_for_nodes, asks_for_workloads
from virt_operator.removal.workloads import any_workload, marked_nodes
from virt_operator.settings import Settings
from virt_operator.suite.observed import Observed, SuiteObject
from virt_operator.suite.plan import Plan
from virt_operator.suite.refused_pods import short_of_pods
from virt_operator.suite.spec import operator_verbosity
from virt_operator.webhook.reachability import WebhookReachability

_SUITE = "suite"
_RECHECK = 5.0  # seconds after a pass with actions, because writes without effect cause no watch event


class Reconciler:
    """Connects queue, watches and executor."""

    def __init__(self, client: KubeClient, authority: AuthorityWatch, settings: Settings) -> None:
        self._client = client
        self._settings = settings
        self._queue: WorkQueue[str] = WorkQueue("suite")
        certificates = Certificates(settings.certificates)
        self._inventory = Inventory(
            client, authority, certificates, settings.namespace, lambda: self._queue.add(_SUITE)
        )
        prober = PodProber(client, certificates, settings.namespace)
        learner = Learner(client, self._inventory, prober, settings.namespace)
        self._executor = Executor(client, self._inventory, authority, learner, settings.namespace)
        self._refused_pods = RefusedPods(client)
        self._webhook = WebhookReachability.of_operator(client, self._inventory.active_suite)
        self._admission = WebhookReachability.of_virt_api(client, self._inventory.admits_in)
        self._outages_since: Mapping[str, datetime] | None = None  # until the first pass
        self._events = EventRecorder(client, components.OPERATOR, settings.pod_name)
        # The last written status by UID: a pass that does not see it yet must not repeat its event.
        self._written: dict[str, KubeVirtStatus] = {}
        self._failing_since: float | None = None  # the loop's time
        # Since when each pass could write the status; None: the last one could not.
        self._able_since: datetime | None = None
        self._changing = False  # whether the last pass was part of a change
        self._requested: object = None  # which version of which KubeVirt object the last pass was about
        self._log = logs.bound("virt_operator.reconciler")

    @property
    def upgrade(self) -> Upgrade | None:
        """status.upgrade of the KubeVirt object, as far as this replica has seen it."""
        return self._inventory.upgrade()

    async def run(self) -> None:
        """Reconcile until cancelled."""
        reviews = review_permissions(
            self._client, (self._settings.namespace, authentication.NAMESPACE), self._inventory.holds
        )
        async with asyncio.TaskGroup() as group:
            for name, coroutine in (*self._inventory.watches(), ("first lists", self._inventory.synced())):
                group.create_task(coroutine, name=name)
            group.create_task(reviews, name="permissions")
            for name, reachability in (("the webhook", self._webhook), ("virt-api's webhooks", self._admission)):
                group.create_task(reachability.run(lambda: self._queue.add(_SUITE)), name=f"reachability of {name}")
            group.create_task(self._passes(), name="passes")

    async def _passes(self) -> None:
        """Guests that a leader before has left go first: later ones may be in use by a probe."""
        await delete_left(self._client, self._settings.namespace)
        await self._queue.run(self._reconcile, workers=1, first=[_SUITE])

    async def _reconcile(self, _: str) -> float | None:
        """A pass. A failure is reported on the KubeVirt object before the error is raised to the queue."""
        began = asyncio.get_running_loop().time()
        observed = self._observe()
        self._forgive_failures_of_another_request(observed.suite)
        if observed.suite is not None:
            logs.set_verbosity(operator_verbosity(observed.suite.spec))
        decided, failure = Plan(), None
        try:
            observed = await self._with_unwatched(observed)
            decided = plan(observed, self._settings)
            failure = await self._executor.run(decided.actions)
        except Exception as error:
            failure = Failure("", error)
        reported = self._reported(failure, began)
        if failure is not None and reported is not None:
            decided = blocked_by(decided, failure)
        try:
            await self._report(observed, decided, reported)
        except KubeError as error:
            self._able_since = None
            if failure is None:
                raise
            self._log.warning("not reporting a failure", failure=str(failure), reason=str(error))
        if failure is not None:
            raise failure.error
        if self._changing and not decided.operation:
            await delete_left(self._client, self._settings.namespace)  # what a pass of it could not delete
        self._changing = bool(decided.operation)
        return _delay(decided, observed)

    def _forgive_failures_of_another_request(self, suite: SuiteObject | None) -> None:
        """Whoever changes the spec, to mend what fails for example, does not wait because of what failed before."""
        meta = suite.metadata if suite is not None else None
        requested = (meta.uid, meta.generation, meta.deletion_timestamp) if meta is not None else None
        if requested != self._requested:
            self._requested = requested
            self._queue.forgive(_SUITE)

    def _observe(self) -> Observed:
        observed = self._inventory.observe()
        suite = observed.suite
        observed = replace(
            observed,
            suite=restored(suite, observed.owned) if suite is not None else None,
            able_since=self._able_since or observed.now,
            webhook_trouble=self._webhook.trouble,
            admission_trouble=self._admission.trouble,
        )
        self._able_since = observed.able_since
        before = self._outages_since if self._outages_since is not None else inherited(observed)
        self._outages_since = since(before, outages(observed), observed.now)
        return replace(observed, outages_since=self._outages_since)

    async def _with_unwatched(self, observed: Observed) -> Observed:
        """Adds objects that are not watched, because they matter only before and at the end of a removal, or while pods
        are missing."""
        suite = observed.suite
        if suite is not None and not observed.unknown:
            observed = await self._refused_pods.added_to(observed)
        if suite is not None and asks_for_workloads(observed, suite):
            return replace(observed, workload=await any_workload(self._client, self._settings.namespace))
        if suite is not None and asks_for_nodes(observed, suite):
            return replace(observed, marked_nodes=await marked_nodes(self._client))
        return observed

    def _reported(self, failure: Failure | None, began: float) -> str | None:
        """The failure as a message; None while it may be transient."""
        if failure is None:
            self._failing_since = None
            return None
        if self._failing_since is None:
            self._failing_since = began
        lasted = asyncio.get_running_loop().time() - self._failing_since
        return str(failure) if is_reported(failure, lasted) else None

    async def _report(self, observed: Observed, decided: Plan, failure: str | None) -> None:
        there = {suite.metadata.uid for suite in (observed.suite, *observed.others) if suite is not None}
        self._written = {uid: status for uid, status in self._written.items() if uid in there}
        if observed.suite is not None:
            status = status_of(observed.suite, observed, decided, self._settings, failure)
            await self._write_status(observed.suite, status)
        for other in observed.others:
            await self._write_status(other, second_object_status(other, observed, self._settings))

    async def _write_status(self, suite: SuiteObject, status: KubeVirtStatus) -> None:
        if status == suite.status:
            return
        meta = suite.metadata
        self._log.info(
            "writing status",
            kubevirt=f"{meta.namespace}/{meta.name}",
            phase=status.phase,
            conditions={
                condition.type: f"{condition.status} {condition.reason}: {condition.message}"
                for condition in status.conditions
            },
        )
        body = {"metadata": {"uid": meta.uid}, "status": patch_of(suite.status, status)}
        try:
            answer = await self._client.merge_patch(KUBEVIRTS, meta.namespace, meta.name, body, "status")
        except NotFound:
            return  # deleted; the watch reports it
        self._inventory.wrote_suite(answer)
        events = events_of(self._written.get(meta.uid, suite.status), status)
        self._written[meta.uid] = status
        for event in events:
            await self._events.record(
                suite.reference, event.reason, event.message, action="Reconcile", warning=event.warning
            )


def _delay(decided: Plan, observed: Observed) -> float | None:
    if decided.actions:
        return _RECHECK
    moments = [moment for moment in (decided.next_deadline, next_outage(observed)) if moment is not None]
    if observed.suite is not None and short_of_pods(observed):
        moments.append(observed.now + timedelta(seconds=AGAIN))
    if not moments:
        return None
    return max((min(moments) - datetime.now(UTC)).total_seconds(), 1.0)
