"""A cluster with one suite, in which everybody but virt-operator is played by a test.

Controllers, kubelets, the Job that prints a strategy, users and strangers write into the fake API server as the real
ones do. Plan, executor and status are the operator's own. What a pass observes is read from the store, so it is never
late; a write that fails or a process that dies between two actions leaves whatever it leaves.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, cast
from urllib.parse import unquote

import msgspec
from virt_core.conventions import labels
from virt_core.kube.client import KubeClient
from virt_core.kube.resource import DEPLOYMENTS, KUBEVIRTS, PODS, SECRETS
from virt_core.objects.kubevirt import KubeVirtStatus
from virt_core.objects.upgrade_status import SilentGuest
from virt_core.testing.api_server import FakeApiServer
from virt_core.testing.place import Place
from virt_core.testing.refused import Refused
from virt_operator.certificates.authority import AuthorityWatch
from virt_operator.certificates.issue import new_authority
from virt_operator.certificates.rollover import Authority, authority_data
from virt_operator.certificates.rotation import DEFAULT
from virt_operator.certificates.secret import AUTHORITY_SECRET
from virt_operator.change.plan import plan
from virt_operator.change.restored import restored
from virt_operator.reconcile.availability import outages, since
from virt_operator.reconcile.failure import blocked_by
from virt_operator.reconcile.inventory import Inventory
from virt_operator.reconcile.repaired import Repaired
from virt_operator.reconcile.status import patch_of, status_of
from virt_operator.settings import Settings
from virt_operator.strategy.hardware_job import APP as HARDWARE_APP
from virt_operator.strategy.operator_objects import operator_objects
from virt_operator.strategy.ref import KINDS, Body, Ref
from virt_operator.strategy.settings import InstallSettings
from virt_operator.suite.actions import Action
from virt_operator.suite.hypervisor import Hypervisor
from virt_operator.suite.observed import (
    Comparison,
    Fault,
    NodeObject,
    Observed,
    Outcome,
    OwnedObject,
    PodObject,
    Review,
    SuiteObject,
    Survey,
)
from virt_operator.suite.plan import Plan

from .kubelets import DAEMON_SET, Kubelets
from .kubelets import DEPLOYMENTS as DEPLOYMENT_REFS
from .launchers import Launchers, executor
from .owned_objects import OwnedObjects
from .probed_handlers import ProbedHandlers
from .prometheus import PrometheusOperator
from .releases import config_map_of, release_of
from .strangers import FOREIGN, drift
from .suites import HELD, INSTALL, OPERATOR

_T = TypeVar("_T")
NODES = ("node1", "node2")
SUITE = Place.parse(KUBEVIRTS.path("kubevirt", "kubevirt"))
SUITE_PODS = Place.parse(PODS.path("kubevirt"))
_SOON = timedelta(minutes=9)


@dataclass
class World:
    """The cluster, and the operator's memory of what it compared and repaired."""

    server: FakeApiServer
    client: KubeClient
    operator: Settings = OPERATOR
    nodes: tuple[str, ...] = NODES
    kinds: tuple[str, ...] = ()
    """The only kinds of objects of each release, for the speed of a test; () stands for all."""

    levels: Mapping[str, int] = field(default_factory=dict)
    """Feature levels of releases."""

    dead: set[str] = field(default_factory=set)
    unready: set[str] = field(default_factory=set)
    """Names of components whose pods do not become ready."""

    failing: int = 0
    """Of so many next writes of the operator the API server answers 500."""

    cordoned: set[str] = field(default_factory=set)
    offset: timedelta = timedelta(0)
    probes: ProbedHandlers = field(default_factory=ProbedHandlers)
    launchers: Launchers = field(default_factory=Launchers)
    review: Review | None = None
    comparisons: dict[Ref, Comparison] = field(default_factory=dict)
    repairs: Repaired = field(init=False)
    outages_since: dict[str, datetime] = field(default_factory=dict)
    labelled: OwnedObjects = field(init=False)

    def __post_init__(self) -> None:
        self.repairs = Repaired(lambda: self.now)
        self.labelled = OwnedObjects(self.server.store)
        self.authority = AuthorityWatch(self.client, "kubevirt")
        made = authority_data(Authority(new_authority(datetime.now(UTC), DEFAULT.authority.duration)))
        data = {key: value for key, value in made.items() if value is not None}
        body = {"metadata": {"name": AUTHORITY_SECRET, "namespace": "kubevirt"}, "data": data}
        self.authority.wrote(self.server.put(SECRETS.path("kubevirt"), body))
        self._put_operator(INSTALL)
        self.server.fault = self._fault
        self.prometheus = PrometheusOperator(self.server, lambda: self.now)
        self.kubelets = Kubelets(self.server, lambda: self.now)
        inventory = cast(Inventory, self)  # as the executor knows this one
        self.executor = executor(self.client, inventory, self.authority, self.probes, self.launchers, self.server)

    def _fault(self, method: str, place: Place) -> None:
        if method == "DELETE" and place.name == FOREIGN:
            raise Refused(403, "Forbidden", f"{place.plural} {place.name!r} is forbidden")
        self.prometheus.judge(method, place)
        if method != "GET" and self.failing:
            self.failing -= 1
            raise Refused(500, "InternalError", "etcdserver: request timed out")

    # What the executor tells the inventory.

    def wrote(self, ref: Ref, answer: Body) -> None:
        """Nothing: the store is read in each pass."""

    def compared(self, ref: Ref, comparison: Comparison) -> None:
        self.comparisons[ref] = comparison

    def probed(self, uid: str, began: datetime, fault: Fault | None) -> None:
        self.probes.probed(uid, self.now, fault)

    def worked(self, uid: str, began: datetime, outcome: Outcome) -> None:
        self.probes.remember_work(uid, self.now, outcome)

    def surveyed(self, uid: str, silent: tuple[SilentGuest, ...]) -> None:
        self.probes.surveys[uid] = Survey(self.now, silent)

    def attempted(self, ref: Ref, action: object, why: str | None) -> None:
        self.prometheus.attempted(ref, action, why)

    def printed(self, uid: str, records: Mapping[str, Hypervisor | str]) -> None:
        self.launchers.by_uid[uid] = records

    def reviewed(self, review: Review) -> None:
        self.review = replace(review, at=self.now)

    # What the operator sees.

    @property
    def now(self) -> datetime:
        return datetime.now(UTC) + self.offset

    @property
    def suite(self) -> SuiteObject | None:
        found = self._select(Place.parse(KUBEVIRTS.path("kubevirt")))
        return _decoded(found[0], SuiteObject) if found else None

    @property
    def owned(self) -> dict[Ref, OwnedObject]:
        """Everything with the suite's label."""
        return self.labelled.by_ref

    @property
    def pods(self) -> tuple[PodObject, ...]:
        return tuple(_decoded(body, PodObject) for body in self._select(SUITE_PODS))

    def pods_of(self, component: str) -> tuple[PodObject, ...]:
        return tuple(pod for pod in self.pods if pod.metadata.labels.get(labels.APP) == component)

    @property
    def handlers(self) -> tuple[PodObject, ...]:
        return self.pods_of("virt-handler")

    def observe(self) -> Observed:
        owned, pods, suite = self.owned, self.pods, self.suite
        self.comparisons = {ref: comparison for ref, comparison in self.comparisons.items() if ref in owned}
        for ref in set(self.repairs.by_ref) - owned.keys():
            self.repairs.gone(ref)
        able = self.authority.able
        observed = Observed(
            now=self.now,
            suite=restored(suite, owned) if suite is not None else None,
            owned=owned,
            pods=pods,
            nodes={name: self._node(name) for name in self.nodes},
            authority=able,
            authority_version=self.authority.version,
            authority_invalid=self.authority.invalid,
            trusting={pod.metadata.name: able.bundle_sha256 for pod in pods} if able is not None else {},
            operator=_decoded(self.server.store.get(_place(DEPLOYMENTS, "virt-operator")), OwnedObject),
            held=HELD,
            compared=self.comparisons,
            repairs=self.repairs.by_ref,
            probes=self.probes.by_uid,
            surveys=self.probes.surveys,
            works=self.probes.works,
            controller_leader=self.kubelets.leader,
            controller_leads_since=self.kubelets.leads_since,
            controller_vacancy=self.kubelets.vacancy,
            records=self.launchers.by_uid,
            review=self.review,
            prometheus=self.prometheus.observed(suite),
        )
        self.outages_since = since(self.outages_since, outages(observed), observed.now)
        return replace(observed, outages_since=self.outages_since)

    def _node(self, name: str) -> NodeObject:
        ready = {"type": "Ready", "status": "Unknown" if name in self.dead else "True"}
        spec = {"unschedulable": name in self.cordoned}
        return _decoded({"metadata": {"name": name}, "spec": spec, "status": {"conditions": [ready]}}, NodeObject)

    # What the operator does.

    async def run_pass(self, most: int | None = None) -> Plan:
        """One pass. The process dies after `most` actions, if that is a number."""
        observed = self.observe()
        decided = plan(observed, self.operator)
        failure = await self.executor.run(_first(decided.actions, most))
        if most is None and observed.suite is not None:
            reported = str(failure) if failure is not None else None
            decided = blocked_by(decided, failure) if failure is not None else decided
            status = status_of(observed.suite, observed, decided, self.operator, reported)
            self._write_status(observed.suite, status)
        self._successor()
        return decided

    def _write_status(self, seen: SuiteObject, status: KubeVirtStatus) -> None:
        if self.suite is not None and self.suite.metadata.uid == seen.metadata.uid and status != self.suite.status:
            self.server.patch(KUBEVIRTS.path("kubevirt", "kubevirt"), {"status": patch_of(seen.status, status)})

    def _successor(self) -> None:
        """Another process leads when the operator's own Deployment has another image."""
        deployment = self.server.store.get(_place(DEPLOYMENTS, "virt-operator"))
        image: str = deployment["spec"]["template"]["spec"]["containers"][0]["image"]
        registry, _, last = image.rpartition("/")
        tag = last.partition(":")[2]
        if (registry, tag) != (self.operator.registry, self.operator.tag):
            self.operator = replace(self.operator, registry=registry, tag=tag, release=release_of(tag))
            self.comparisons, self.repairs = {}, Repaired(lambda: self.now)
            self.probes.forget()
            self.launchers.by_uid, self.review = {}, None

    # Everybody else.

    def act(self) -> None:
        """Kubernetes' controllers and kubelets come to rest."""
        self._print_strategies()
        for ref in self.owned:
            if ref.kind in ("CustomResourceDefinition", "APIService"):
                kind = "Established" if ref.kind == "CustomResourceDefinition" else "Available"
                self._status(ref, {"conditions": [{"type": kind, "status": "True"}]})
        daemon_set, broken = self.owned.get(DAEMON_SET), "virt-handler" in self.unready
        status = self.kubelets.daemon_set(daemon_set, self.handlers, self.nodes, self.dead, broken)
        if daemon_set is not None:
            self._status(DAEMON_SET, status)
        for ref in DEPLOYMENT_REFS:
            live = self.owned.get(ref)
            status = self.kubelets.deployment(ref, live, self.pods_of(ref.name), ref.name in self.unready)
            if live is not None:
                self._status(ref, status)
        self.kubelets.elect(self.pods_of("virt-controller"))

    def _print_strategies(self) -> None:
        jobs = self._select(Place.parse(KINDS["Job"].path("kubevirt")))
        self.launchers.run(self.server, jobs, self._select(SUITE_PODS))
        for body in jobs:
            if body.get("status") or body["metadata"]["labels"].get(labels.APP) == HARDWARE_APP:
                continue
            made = config_map_of(body, self.kinds, self.levels, self.prometheus.unmonitored)
            self._remove_if_there(Ref("ConfigMap", "kubevirt", made["metadata"]["name"]))
            self.server.put(KINDS["ConfigMap"].path("kubevirt"), made)
            self._status(Ref("Job", "kubevirt", body["metadata"]["name"]), {"conditions": [_condition("Complete")]})

    def create(self) -> None:
        """The user makes the KubeVirt object."""
        if self.suite is None:
            self.server.put(KUBEVIRTS.path("kubevirt"), {"metadata": {"name": "kubevirt"}, "spec": {}})

    def ask(self, **fields: Any) -> None:
        """The user changes the spec; None removes a field."""
        if self.suite is not None:
            self.server.patch(KUBEVIRTS.path("kubevirt", "kubevirt"), {"spec": fields})

    def annotate(self, name: str, value: str) -> None:
        """The user sets an annotation."""
        if self.suite is not None:
            self.server.patch(KUBEVIRTS.path("kubevirt", "kubevirt"), {"metadata": {"annotations": {name: value}}})

    def delete(self) -> None:
        """The user deletes the KubeVirt object."""
        if self.suite is not None:
            self.server.store.delete(SUITE)

    def restore(self) -> None:
        """A backup brings the KubeVirt object back, without its status."""
        if self.suite is not None:
            self.server.patch(KUBEVIRTS.path("kubevirt", "kubevirt"), {"status": None})

    def apply_manifest(self, tag: str) -> None:
        """The user applies the operator's manifest of another release."""
        self._put_operator(msgspec.structs.replace(INSTALL, tag=tag))
        self._successor()

    def _put_operator(self, settings: InstallSettings) -> None:
        body = next(body for body in operator_objects(settings) if body["kind"] == "Deployment")
        place = _place(DEPLOYMENTS, "virt-operator")
        if self._select(place):
            self.server.remove(DEPLOYMENTS.path("kubevirt", "virt-operator"))
        self.server.put(DEPLOYMENTS.path("kubevirt"), body)

    def break_authority(self) -> None:
        """Somebody writes into the Secret of the authority."""
        broken = {"data": {"tls.crt": "bm90IGEgY2VydGlmaWNhdGU="}}
        self.authority.wrote(self.server.patch(SECRETS.path("kubevirt", AUTHORITY_SECRET), broken))

    def drift(self, seeds: list[int]) -> None:
        """Strangers delete objects of the suite, or change, remove or add something at any depth of them."""
        for seed in seeds:
            drift(self, random.Random(seed))

    def dies_or_returns(self, node: str) -> None:
        """A node."""
        self.dead ^= {node}

    def fails_or_recovers(self, component: str) -> None:
        """The pods of a component."""
        self.unready ^= {component}

    def fail(self, writes: int) -> None:
        """The API server is in trouble."""
        self.failing = writes

    def calm(self) -> None:
        """Nothing is wrong any more, and nobody holds anything back."""
        self.dead, self.unready, self.failing, self.probes.broken = set(), set(), 0, set()
        self.ask(upgradeStrategy=None)

    def _status(self, ref: Ref, status: Body) -> None:
        before = self.server.store.get(_of(ref)).get("status", {})
        if any(before.get(key) != value for key, value in status.items()):
            self.server.store.merge_patch(_of(ref), {"status": status})

    def _remove_if_there(self, ref: Ref) -> None:
        if self._select(_of(ref)):
            self.server.store.remove(_of(ref))

    def _select(self, place: Place) -> list[Any]:
        if not place.name:
            return self.server.store.select(place, lambda _: True)
        collection = Place(place.root, place.plural, place.namespace)
        return self.server.store.select(collection, lambda body: body["metadata"]["name"] == place.name)

    def next_moment(self, decided: Plan) -> bool:
        """Whether time has passed until something is due."""
        due = decided.next_deadline
        if due is None or due - self.now > _SOON:
            return False
        self.offset += max(due - self.now, timedelta(0)) + timedelta(seconds=1)
        return True


def _first(actions: tuple[Action, ...], most: int | None) -> tuple[Action, ...]:
    return actions if most is None else actions[:most]


def _condition(kind: str) -> Body:
    return {"type": kind, "status": "True"}


def _of(ref: Ref) -> Place:
    return Place.parse(unquote(ref.resource.path(ref.namespace or None, ref.name)))


def _place(resource: Any, name: str) -> Place:
    return Place.parse(resource.path("kubevirt", name))


def _decoded(body: Any, kind: type[_T]) -> _T:
    return msgspec.json.decode(msgspec.json.encode(body), type=kind)
