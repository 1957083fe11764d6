"""Watches all objects that the operator installs, and those that show their state; builds `Observed` from them.

Called by the reconciler. There is a watch per kind, selected by our label. Responses to our own writes are stored at
once, before the watch reports them, so that an installation takes few passes without repeated requests.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from virt_core.conventions import components, labels
from virt_core.kube.client import KubeClient
from virt_core.kube.reflector import Key, Reflector
from virt_core.kube.resource import DEPLOYMENTS, KUBEVIRTS, NODES, PODS
from virt_core.objects.kubevirt import by_precedence
from virt_core.objects.upgrade_status import SilentGuest, Upgrade
from virt_core.rpc.tls import Certificates

from virt_operator.certificates.authority import AuthorityWatch
from virt_operator.certificates.node_signing import NodeSigning
from virt_operator.certificates.secret import AUTHORITY_SECRET
from virt_operator.certificates.trust import TrustReports
from virt_operator.reconcile.leader import ControllerLeader
from virt_operator.reconcile.prometheus import PrometheusWatch
from virt_operator.reconcile.repaired import Repaired
from virt_operator.strategy.hardware_job import APP as HARDWARE_APP
from virt_operator.strategy.job import APP as STRATEGY_APP
from virt_operator.strategy.monitoring import MONITOR, NAME
from virt_operator.strategy.ref import DEFINED, FOREIGN, KINDS, MANAGED_BY_OPERATOR, Body, Ref
from virt_operator.suite.hypervisor import Hypervisor
from virt_operator.suite.observed import (
    Comparison,
    Fault,
    NodeObject,
    Observed,
    Outcome,
    OwnedObject,
    PodObject,
    Probed,
    Review,
    SuiteObject,
    Survey,
)
from virt_operator.suite.permissions import Held
from virt_operator.suite.prometheus import wanted

_OPERATOR = components.OPERATOR
_JOBS = (STRATEGY_APP, HARDWARE_APP)
V = TypeVar("V")


class Inventory:
    """Local copies of the cluster's objects; `changed()` is called whenever one of them does."""

    def __init__(
        self,
        client: KubeClient,
        authority: AuthorityWatch,
        certificates: Certificates,
        namespace: str,
        changed: Callable[[], None],
    ) -> None:
        self._namespace = namespace
        self._authority = authority
        authority.subscribe(changed)
        self._changed = changed
        self._compared: dict[Ref, Comparison] = {}
        self._probed: dict[str, Probed] = {}
        self._worked: dict[str, Probed] = {}
        self._surveys: dict[str, Survey] = {}
        self._review: Review | None = None
        self._records: dict[str, Mapping[str, Hypervisor | str]] = {}
        self.repairs = Repaired(lambda: datetime.now(UTC))
        self._suites = Reflector(client, KUBEVIRTS, SuiteObject, self._suite_changed)
        self._seen: dict[Key, object] = {}
        parts = f"{labels.APP} in ({','.join((*components.INSTALLED, *_JOBS, _OPERATOR))})"
        self._pods = Reflector(client, PODS, PodObject, self._pod_changed, namespace=namespace, labels=parts)
        self._trust = TrustReports(
            authority, certificates, namespace, lambda: self._pods_of(*components.INSTALLED), changed
        )
        self._signing = NodeSigning(client, authority, namespace, lambda: self._pods)
        self._nodes = Reflector(client, NODES, NodeObject, self._node_changed)
        self._node_states: dict[str, object] = {}
        self._operators = Reflector(
            client,
            DEPLOYMENTS,
            OwnedObject,
            lambda _: changed(),
            namespace=namespace,
            fields=f"metadata.name={_OPERATOR}",
        )
        self._leader = ControllerLeader(client, namespace, changed)
        self._held: Held | None = None
        self._prometheus = PrometheusWatch(client, changed)
        self._defined = {**{kind: asyncio.Event() for kind in DEFINED}, **self._prometheus.defined}
        self._owned = {kind: self._reflector(client, kind) for kind in KINDS}

    def watches(self) -> list[tuple[str, Coroutine[Any, Any, None]]]:
        """Each watch with a name for its task."""
        named = [("KubeVirt", self._suites.run()), ("Pod", self._pods.run()), ("operator", self._operators.run())]
        named += [("Node", self._nodes.run()), ("virt-controller's Lease", self._leader.run())]
        named += [(kind, reflector.run()) for kind, reflector in self._owned.items()]
        named += self._prometheus.watches(self._owned)
        beside = [("trust reports", self._trust.run()), ("certificates of nodes", self._signing.run())]
        return [*beside, *((f"watch of {name}", run) for name, run in named)]

    async def synced(self) -> None:
        """Return when every watch of a kind that is served has its first list, having called `changed()`."""
        for synced in self._first_lists().values():
            await synced.wait()
        self._changed()

    def _first_lists(self) -> dict[str, asyncio.Event]:
        """The event that is set after the first list, by resource."""
        own = self._owned.keys() - FOREIGN.keys()
        served = {kind for kind in own if kind not in self._defined or self._defined[kind].is_set()}
        watches = {KINDS[kind].plural: self._owned[kind].synced for kind in self._owned if kind in served}
        return {
            "kubevirts": self._suites.synced,
            "pods": self._pods.synced,
            "nodes": self._nodes.synced,
            "operator": self._operators.synced,
            **self._prometheus.synced,
            **watches,
        }

    def holds(self, held: Held) -> None:
        """Store the operator's permissions as reported by the API server."""
        if held != self._held:
            self._held = held
            self._changed()

    def observe(self) -> Observed:
        """The current observation."""
        owned = {
            Ref(kind, *key): live
            for kind, reflector in self._owned.items()
            for live in reflector
            if (key := (live.metadata.namespace, live.metadata.name))
        }
        suite, others = by_precedence(self._suites, self._namespace)
        owned.pop(Ref("Secret", self._namespace, AUTHORITY_SECRET), None)  # an early release labelled it as the suite's
        return Observed(
            now=datetime.now(UTC),
            suite=suite,
            others=others,
            owned=owned,
            pods=self._pods_of(*components.INSTALLED, *_JOBS),
            nodes={node.metadata.name: node for node in self._nodes},
            authority=self._authority.able,
            authority_version=self._authority.version,
            authority_invalid=self._authority.invalid,
            trusting=self._trust.by_pod,
            operator=next(iter(self._operators), None),
            operator_pods=self._pods_of(_OPERATOR),
            held=self._held or {},
            unknown=self._unknown(),
            compared=self._compared,
            repairs=self.repairs.by_ref,
            probes=self._probed,
            works=self._worked,
            controller_leader=self._leader.name,
            controller_leads_since=self._leader.since,
            controller_vacancy=self._leader.vacancy,
            surveys=self._surveys,
            records=self._records,
            review=self._review,
            prometheus=self._prometheus.known(self._owned),
        )

    def _pods_of(self, *parts: str) -> tuple[PodObject, ...]:
        return tuple(pod for pod in self._pods if pod.metadata.labels.get(labels.APP) in parts)

    def _unknown(self) -> tuple[str, ...]:
        waiting = tuple(name for name, synced in self._first_lists().items() if not synced.is_set())
        return waiting if self._held is not None else (*waiting, "permissions")

    def active_suite(self) -> tuple[str, str] | None:
        """Namespace and name of the active KubeVirt object; None if there is none, or it is being deleted."""
        suite, _ = by_precedence(self._suites, self._namespace)
        if suite is None or suite.metadata.deletion_timestamp is not None:
            return None
        return suite.metadata.namespace, suite.metadata.name

    def upgrade(self) -> Upgrade | None:
        """status.upgrade of the active KubeVirt object."""
        suite, _ = by_precedence(self._suites, self._namespace)
        return suite.status.upgrade if suite is not None else None

    def admits_in(self) -> str | None:
        """The suite's namespace if virt-api's webhooks are registered and the CRD exists; otherwise None."""
        active = self.active_suite()
        kinds = ("CustomResourceDefinition", "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")
        return active[0] if active is not None and all(any(self._owned[kind]) for kind in kinds) else None

    def wrote(self, ref: Ref, answer: Body) -> None:
        """Store the API server's response to our own write."""
        self._owned[ref.kind].wrote(answer)

    def compared(self, ref: Ref, comparison: Comparison) -> None:
        """Store the result of a dry run until the live or the desired object changes."""
        self._compared[ref] = comparison
        if comparison.difference is not None:
            self._changed()

    def probed(self, uid: str, began: datetime, fault: Fault | None) -> None:
        """Store the result of an attempt to prove a pod, for the pods that are there."""
        self._probed = self._with(self._probed, uid, began, Outcome(fault))
        self._changed()

    def worked(self, uid: str, began: datetime, outcome: Outcome) -> None:
        """Store the result of an attempt to prove the work of a pod, for the pods that are there."""
        self._worked = self._with(self._worked, uid, began, outcome)
        self._changed()

    def _with(self, known: Mapping[str, Probed], uid: str, began: datetime, outcome: Outcome) -> dict[str, Probed]:
        first = known[uid].first if uid in known else began
        return {**self._of_present_pods(known), uid: Probed(first, datetime.now(UTC), outcome.fault, outcome.skipped)}

    def surveyed(self, uid: str, silent: tuple[SilentGuest, ...]) -> None:
        """Store what an old handler has answered before it is replaced."""
        self._surveys = {**self._of_present_pods(self._surveys), uid: Survey(datetime.now(UTC), silent)}
        self._changed()

    def _of_present_pods(self, known: Mapping[str, V]) -> dict[str, V]:
        there = {pod.metadata.uid for pod in self._pods}
        return {uid: value for uid, value in known.items() if uid in there}

    def printed(self, uid: str, records: Mapping[str, Hypervisor | str]) -> None:
        """Store what a pod has printed of launchers, for the pods that are there."""
        self._records = {**self._of_present_pods(self._records), uid: records}
        self._changed()

    def reviewed(self, review: Review) -> None:
        """Store what a roll back would not bring back."""
        self._review = review
        self._changed()

    def attempted(self, ref: Ref, action: object, why: str | None) -> None:
        """Store that an action of which nothing depends has been tried, and why it was refused, if it was."""
        self._prometheus.attempted(ref, action, why)

    def wrote_suite(self, answer: Body) -> None:
        """Store the API server's response to a write of a KubeVirt object's status."""
        self._suites.rewrote(answer)

    def _pod_changed(self, key: Key) -> None:
        self._signing.pods_changed()
        self._changed()

    def _suite_changed(self, key: Key) -> None:
        """Ignore our own status writes: reconciling after them would defeat the back-off after a failure. But a plan
        depends on the wave that has begun, on the change that has stopped and on the way back."""
        self._prometheus.follow(self._prometheus_account())
        suite = self._suites.get(key)
        if suite is None:
            self._seen.pop(key, None)
            self._changed()
            return
        meta, upgrade = suite.metadata, suite.status.upgrade
        kept = (upgrade.wave, upgrade.stopped, upgrade.way_back) if upgrade is not None else (None, None, None)
        wishes = [meta.annotations.get(name) for name in (labels.RETRY_UPGRADE, labels.FINALIZE_UPGRADE)]
        requested = (meta.generation, wishes, meta.deletion_timestamp, meta.finalizers)
        seen = (meta.uid, *requested, suite.status.phase, kept)
        if seen != self._seen.get(key):
            self._seen[key] = seen
            self._changed()

    def _prometheus_account(self) -> str | None:
        """The service account's name; None if there is no KubeVirt object, or it is refused."""
        suite, _ = by_precedence(self._suites, self._namespace)
        wishes = wanted(suite.spec) if suite is not None else None
        return wishes.account if wishes is not None else None

    def _node_changed(self, key: Key) -> None:
        """Ignore heartbeats, which handlers write to each node every minute."""
        node = self._nodes.get(key)
        if node is None:
            self._node_states.pop(key[1], None)
            self._changed()
        elif self._node_states.get(key[1]) != (state := (node.trouble, node.spec.unschedulable)):
            self._node_states[key[1]] = state
            self._changed()

    def _reflector(self, client: KubeClient, kind: str) -> Reflector[OwnedObject]:
        resource = KINDS[kind]
        # Bindings are in two namespaces: ours, and kube-system, where virt-api reads the front proxy's CA. A
        # ServiceMonitor is where Prometheus looks for it.
        everywhere = not resource.namespaced or kind in ("RoleBinding", MONITOR)
        namespace = self._namespace if not everywhere else None

        def changed(key: Key) -> None:
            if self._owned[kind].get(key) is None:
                self._compared.pop(Ref(kind, *key), None)
                self.repairs.gone(Ref(kind, *key))
            if kind == "CustomResourceDefinition":
                self._define()
            self._changed()

        return Reflector(
            client,
            resource,
            OwnedObject,
            changed,
            namespace=namespace,
            labels=f"{labels.MANAGED_BY}={MANAGED_BY_OPERATOR}",
            # In all namespaces anybody may write our label, so what cannot be the suite's is not read.
            fields=f"metadata.name={NAME}" if kind == MONITOR else "",
            defined=self._defined.get(kind),
        )

    def _define(self) -> None:
        """Let the watches of the suite's own kinds begin and end with their definitions."""
        for kind, name in DEFINED.items():
            definition, defined = self._owned["CustomResourceDefinition"].get(("", name)), self._defined[kind]
            if definition is not None and definition.condition("Established").get("status") == "True":
                defined.set()
            else:
                defined.clear()
