"""The controllers of workloads and the kubelets of a fake cluster: they make and remove pods. Used by world.py.

A Deployment has one pod more while it is replaced, as the suite's own have; a new pod does not count for its first
minReadySeconds, which do not pass here. A pod of virt-controller takes the Lease when nobody holds it: the oldest
that was there when it was released, otherwise the oldest that has started since, a few seconds later.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from virt_core.conventions import components, labels
from virt_core.conventions.component_pod import TEMPLATE_HASH
from virt_core.kube.resource import PODS
from virt_core.objects.meta import rfc3339
from virt_core.testing.api_server import FakeApiServer
from virt_core.testing.place import Place
from virt_operator.strategy.ref import Body, Ref
from virt_operator.suite.observed import OwnedObject, PodObject

DAEMON_SET = Ref("DaemonSet", "kubevirt", components.HANDLER)
DEPLOYMENTS = tuple(Ref("Deployment", "kubevirt", name) for name in (components.API, components.CONTROLLER))
_BEGAN = datetime(2026, 1, 31, 9, tzinfo=UTC)
_MOST = 20
_START = timedelta(seconds=3)  # of a container


@dataclass
class Kubelets:
    """Everybody who makes, starts and removes pods."""

    server: FakeApiServer
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    pods_made: int = 0
    began: datetime = _BEGAN
    """Before the first pod was made: each pod is a second younger than the one before."""

    leader: str = ""
    """The pod that holds virt-controller's Lease."""

    leads_since: datetime | None = None
    vacancy: timedelta = timedelta(0)
    """How long nobody held it before."""

    standbys: set[str] = field(default_factory=set)
    """The candidates when it was last looked who leads."""

    swift: bool = False
    """Whether a new pod starts before an old one has released the Lease, and pods of an older release win it."""

    tags: dict[tuple[Ref, str], str] = field(default_factory=dict)
    """Of the image, by Deployment and hash of the template."""

    unpulled: set[tuple[str, str]] = field(default_factory=set)
    """Component and tag of images that are not there: pods of them do not become ready."""

    before: dict[Ref, str] = field(default_factory=dict)
    """The last other template of which a Deployment has pods: while it is held, it makes them again."""

    unled: set[str] = field(default_factory=set)
    """Tags of releases whose virt-controllers never take the Lease."""

    def daemon_set(
        self,
        live: OwnedObject | None,
        pods: Collection[PodObject],
        nodes: Collection[str],
        dead: Collection[str],
        broken: bool,
    ) -> dict[str, Any]:
        """Handlers come to rest on all nodes but the dead ones. Returns the DaemonSet's status."""
        left = [pod for pod in pods if not (live is None or pod.metadata.deletion_timestamp) or pod.node in dead]
        for pod in pods:
            if pod not in left:
                self._remove(pod.metadata.name)
        if live is None:
            return {}
        names = {pod.metadata.name: pod.node for pod in left}
        for node in sorted(set(nodes) - set(names.values()) - set(dead)):
            names[self._make(components.HANDLER, template_mark(live), tag_of(live), node)] = node
        self._ready((name for name, node in names.items() if node not in dead), not broken)
        ready = 0 if broken else sum(node not in dead for node in names.values())
        counts = {"desiredNumberScheduled": len(nodes), "numberReady": ready}
        return {"observedGeneration": live.metadata.generation, **counts}

    def deployment(self, ref: Ref, live: OwnedObject | None, pods: Iterable[PodObject], broken: bool) -> dict[str, Any]:
        """Replicas come to rest. Returns the Deployment's status."""
        there = {pod.metadata.name: pod.metadata.annotations.get(TEMPLATE_HASH, "") for pod in pods}
        if live is None:
            for name in there:
                self._remove(name)
            return {}
        spec, mark = live.content()["spec"], template_mark(live)
        self.tags.setdefault((ref, mark), tag_of(live))
        stuck = (ref.name, tag_of(live)) in self.unpulled
        wanted, held = spec.get("replicas", 1), bool(spec.get("minReadySeconds")) or stuck
        wanted = wanted if isinstance(wanted, int) else 1
        others = [found for found in there.values() if found != mark]
        self.before[ref] = others[0] if others else self.before.get(ref, mark)
        for _ in range(_MOST):
            step = _next(there, mark, wanted, self.before[ref] if held else mark, broken)
            if step is None:
                break
            if step in there:
                self._remove(step)
                del there[step]
            else:
                there[self._make(ref.name, step, self.tags[ref, step], "")] = step
        self._ready((name for name, found in there.items() if found != mark or not stuck), not broken)
        self._ready((name for name, found in there.items() if found == mark and stuck), False)
        new = [name for name, found in there.items() if found == mark]
        available = 0 if broken else len(there) - (len(new) if held and len(new) < len(there) else 0)
        counts = {"replicas": len(there), "updatedReplicas": len(new), "availableReplicas": available}
        return {"observedGeneration": live.metadata.generation, **counts}

    def elect(self, candidates: Iterable[PodObject]) -> None:
        """A pod of virt-controller takes the Lease, if its holder has gone."""
        pods = [pod for pod in candidates if not self.unled & set(_tags(pod)) and pod.ready]
        able = {pod.metadata.name: (min(_tags(pod)), pod.metadata.creation_timestamp) for pod in pods}
        if self.leader not in able:
            at_once = able.keys() & self.standbys
            if self.swift:
                found = min(able, key=lambda name: able[name], default="")
            else:
                found = min(at_once or able, key=lambda name: able[name][1], default="")
            if found != self.leader:
                self.vacancy = timedelta(0) if at_once or self.swift else _START
                self.leader, self.leads_since = found, self.clock() + self.vacancy
        self.standbys = set(able)

    def _make(self, component: str, mark: str, tag: str, node: str) -> str:
        """A pod of the workload's template that has this mark."""
        self.pods_made += 1
        name = f"{component}-{self.pods_made}"
        made = rfc3339(self.began + timedelta(seconds=self.pods_made))
        meta = {"name": name, "labels": {labels.APP: component}, "creationTimestamp": made}
        containers = [{"name": component, "image": f"{component}:{tag}"}]
        body: Body = {
            "metadata": {**meta, "annotations": {TEMPLATE_HASH: mark}},
            "spec": {"nodeName": node, "containers": containers},
        }
        self.server.put(PODS.path("kubevirt"), body)
        return name

    def _remove(self, name: str) -> None:
        self.server.remove(PODS.path("kubevirt", name))

    def _ready(self, names: Iterable[str], ready: bool) -> None:
        for name in names:
            path, status = PODS.path("kubevirt", name), str(ready)
            found = self.server.store.get(Place.parse(path)).get("status", {}).get("conditions") or [{}]
            if found[0].get("status") != status:
                condition = {"type": "Ready", "status": status, "lastTransitionTime": rfc3339(self.clock())}
                self.server.patch(path, {"status": {"conditions": [condition]}})


def _next(there: dict[str, str], mark: str, wanted: int, before: str, broken: bool) -> str | None:
    """The name of a pod to remove, or the mark of the template of one to make; None: it has come to rest. While the
    Deployment is held, `before` is the mark of its template before."""
    old = [name for name, found in there.items() if found != mark]
    new = [name for name, found in there.items() if found == mark]
    held = before != mark
    if held and new and len(there) < wanted + 1 and len(new) < wanted:
        return before  # what was taken from the old ones comes back
    if not old:
        if len(new) == wanted:
            return None
        return mark if len(new) < wanted else new[-1]
    if len(there) < wanted + 1 and len(new) < wanted:
        return mark
    available = 0 if broken else len(old) + (0 if held else len(new))
    return old[0] if available > wanted or len(new) == wanted else None


def template_mark(live: OwnedObject) -> str:
    """The hash of the workload's present template; "" if somebody has removed it."""
    meta = live.content()["spec"].get("template", {}).get("metadata", {})
    found: str = meta.get("annotations", {}).get(TEMPLATE_HASH, "")
    return found


def tag_of(live: OwnedObject) -> str:
    """Of the image in the workload's present template."""
    containers = live.content()["spec"].get("template", {}).get("spec", {}).get("containers") or [{}]
    return str(containers[0].get("image", "")).rpartition(":")[2]


def _tags(pod: PodObject) -> list[str]:
    return [str(container.get("image")).rpartition(":")[2] for container in pod.spec.get("containers") or ()]
