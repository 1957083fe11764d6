"""What stalls an upgrade is said on the KubeVirt object and by virtadm: step, object, reason and since when."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from virt_admin.doctor.examine import text
from virt_admin.doctor.suite import diagnose_suite
from virt_admin.screen.lines import lines
from virt_admin.suite.objects import Node
from virt_admin.suite.observed import Observed as Seen
from virt_admin.suite.summary import summarize
from virt_core.conventions.component_pod import TEMPLATE_HASH
from virt_core.kube.client import KubeClient
from virt_core.kube.resource import EVENTS, KUBEVIRTS, PODS, Resource
from virt_core.objects.event import Event
from virt_core.objects.kubevirt import KubeVirt
from virt_core.objects.meta import rfc3339
from virt_core.objects.upgrade_status import Upgrade
from virt_core.testing.api_server import FakeApiServer
from virt_core.testing.place import Place
from virt_core.testing.refused import Refused
from virt_operator.reconcile.refused_pods import AGAIN, RefusedPods
from virt_operator.strategy.ref import Body, Ref
from virt_operator.suite.observed import Observed
from virt_operator.suite.permissions import Held
from virt_operator.suite.refused_pods import refusal_in, short_of_pods, with_refusals

from .suites import HELD
from .world import World

NODES = ("a", "b", "c")
OLD, NEW = "v1.2.3", "v1.3.0"
HANDLER = Ref("DaemonSet", "kubevirt", "virt-handler")
SUITE = KUBEVIRTS.path("kubevirt", "kubevirt")
CANARY = "virt-handler-canary"
NO_ROOM = "0/3 nodes are available: 1 Insufficient memory"
QUOTA = 'pods "virt-handler-" is forbidden: exceeded quota: small, requested: pods=1, used: pods=9, limited: pods=9'
DENIED = 'admission webhook "policy.example.com" denied the request: not on a Monday'


@dataclass
class Stalled(World):
    """A cluster in which something does not go on."""

    prints: bool = True
    """Whether Jobs that print a strategy run."""

    refusals: dict[str, str] = field(default_factory=dict)
    """Why pods of a kind of object are not created."""

    held: Held = field(default_factory=lambda: HELD)

    def _print_strategies(self) -> None:
        if self.prints:
            super()._print_strategies()

    def observe(self) -> Observed:
        seen = replace(super().observe(), held=self.held)
        return with_refusals(seen, {ref: self.refusals.get(ref.kind, "") for ref in short_of_pods(seen)})

    @property
    def upgrade(self) -> Upgrade:
        assert self.suite is not None and self.suite.status.upgrade is not None
        return self.suite.status.upgrade

    async def begin(self) -> None:
        """NEW is requested, and everything is done up to the deletion of the canary's pod."""
        self.ask(imageTag=NEW)
        for _ in range(20):
            await self.run_pass()
            if self.suite is not None and (upgrade := self.suite.status.upgrade) and upgrade.wave:
                break
            self.act()
        await self.run_pass()
        assert self.upgrade.wave is not None and self.upgrade.wave.nodes == ["a"]
        for pod in self.handlers:
            if pod.metadata.deletion_timestamp is not None:
                self.server.remove(PODS.path("kubevirt", pod.metadata.name))

    def replace_canary(self, node: str = "a", **status: Any) -> None:
        """A pod of the new template comes, in this state. A pod for a node that has no room has no node."""
        live = self.owned[HANDLER]
        template: Body = live.content()["spec"]["template"]["metadata"]["annotations"]
        meta = {"name": CANARY, "labels": {"kubevirt.io": "virt-handler"}}
        meta |= {"annotations": {TEMPLATE_HASH: template[TEMPLATE_HASH]}}
        body = {"metadata": meta, "spec": {"nodeName": node} if node else {}, "status": {"conditions": [], **status}}
        self.server.put(PODS.path("kubevirt"), body)
        self.count(live.metadata.generation)

    def count(self, generation: int) -> None:
        """The DaemonSet's controller counts ready pods."""
        ready = sum(pod.ready for pod in self.handlers)
        self._status(
            HANDLER, {"observedGeneration": generation, "desiredNumberScheduled": len(NODES), "numberReady": ready}
        )

    @property
    def printer(self) -> str:
        """The Job that prints the strategy."""
        return next(ref.name for ref in self.owned if ref.kind == "Job" and "strategy" in ref.name)

    def print_pod(self, **status: Any) -> None:
        """The pod of the Job that prints the strategy, in this state."""
        meta = {"name": "printer", "labels": {"kubevirt.io": "virt-operator-strategy", "job-name": self.printer}}
        self.server.put(PODS.path("kubevirt"), {"metadata": meta, "spec": {}, "status": status})

    def wait_long(self) -> None:
        self.offset += timedelta(minutes=6)


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stalled]:
    """OLD is installed."""
    async with FakeApiServer.running() as server:
        monkeypatch.setenv("KUBECONFIG", str(server.write_kubeconfig(tmp_path / "kubeconfig")))
        async with KubeClient.connect("test") as client:
            made = Stalled(server, client, nodes=NODES, kinds=("Deployment", "DaemonSet"))
            made.create()
            for _ in range(20):
                await made.run_pass()
                made.act()
            assert made.suite is not None and made.suite.status.observed_kube_virt_version == OLD
            yield made


def as_virtadm_sees(world: Stalled, nodes: tuple[Node, ...] = ()) -> Seen:
    body = world.server.store.get(Place.parse(SUITE))
    kubevirt = msgspec.json.decode(msgspec.json.encode(body), type=KubeVirt)
    return Seen(now=world.now, namespace="kubevirt", kubevirt=kubevirt, nodes=nodes)


def expect(world: Stalled, step: str, what: str, *words: str) -> None:
    """The KubeVirt object's conditions and status.upgrade, `virtadm watch` and `virtadm doctor` say it."""
    assert world.suite is not None
    upgrade = world.upgrade
    wait = next(wait for wait in upgrade.waiting_for if wait.object == what)
    assert upgrade.step == step and upgrade.waiting_for[0] == wait and wait.since
    conditions = {condition.type: condition.message for condition in world.suite.status.conditions}
    shown = lines(summarize(as_virtadm_sees(world)))
    line = next(line for line in shown if line.startswith(f"waiting for {what}: "))
    found = "\n".join(text(diagnose_suite(as_virtadm_sees(world))))
    for word in words:
        assert word in wait.reason and word in conditions["Degraded"] and word in line and word in found
    assert what in conditions["Degraded"] and line.endswith(f", since {wait.since}")
    assert f"step {step}, since {upgrade.since}" in shown
    assert any(f"steps now: {step};" in line for line in shown)


def waiting(reason: str, message: str) -> list[Body]:
    return [{"image": "r/virt-handler:v1.3.0", "state": {"waiting": {"reason": reason, "message": message}}}]


async def test_an_image_that_cannot_be_pulled_is_named_with_the_pod(world: Stalled) -> None:
    await world.begin()
    world.replace_canary(containerStatuses=waiting("ImagePullBackOff", "not found"))
    await world.run_pass()
    image = "ImagePullBackOff of image r/virt-handler:v1.3.0: not found"
    expect(world, "virt-handler", str(HANDLER), f"wave 1, node a: pod {CANARY} is not ready", image)


async def test_a_handler_for_which_its_node_has_no_room_is_named_also_when_it_has_stopped(world: Stalled) -> None:
    await world.begin()
    unscheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": NO_ROOM}
    world.replace_canary("", conditions=[unscheduled])
    await world.run_pass()
    expect(world, "virt-handler", str(HANDLER), "wave 1, node a", f"pod {CANARY}: Unschedulable: {NO_ROOM}")
    world.wait_long()
    await world.run_pass()
    stopped = world.upgrade.stopped
    assert stopped is not None and (stopped.object, stopped.probe) == ("node a", "Ready")
    assert f"Unschedulable: {NO_ROOM}" in stopped.message


async def test_a_node_that_is_not_ready_is_named_with_since_when(world: Stalled) -> None:
    await world.begin()
    world.replace_canary()
    world.dead = {"a"}
    for _ in range(3):
        await world.run_pass()
    assert world.suite is not None
    degraded = next(condition for condition in world.suite.status.conditions if condition.type == "Degraded")
    assert "DaemonSet kubevirt/virt-handler: the pod on node a does not count until the node is back" in (
        degraded.message
    )
    assert world.upgrade.wave is not None and world.upgrade.wave.nodes == ["b"]
    since = "2026-01-31T10:00:00Z"
    ready = {"type": "Ready", "status": "Unknown", "message": "its kubelet is silent", "lastTransitionTime": since}
    node = msgspec.convert({"metadata": {"name": "a"}, "status": {"conditions": [ready]}}, Node)
    shown = lines(summarize(as_virtadm_sees(world, (node,))))
    assert any(line.startswith(f"node a: not ready since {since} (its kubelet is silent)") for line in shown)


async def test_a_webhook_of_others_that_rejects_writes_is_named_with_the_object(world: Stalled) -> None:
    def reject(method: str, place: Place) -> None:
        if method == "PATCH" and place.plural == "daemonsets":
            raise Refused(403, "Forbidden", DENIED)

    world.ask(imageTag=NEW)
    world.server.fault = reject
    for _ in range(12):
        await world.run_pass()
        world.act()
    expect(world, "virt-handler", str(HANDLER), DENIED)
    since = world.upgrade.waiting_for[0].since
    world.wait_long()
    await world.run_pass()
    assert world.upgrade.waiting_for[0].since == since


async def test_a_permission_that_the_target_needs_is_named_with_the_manifest_to_apply(world: Stalled) -> None:
    def without_nodes(rules: tuple[Body, ...]) -> tuple[Body, ...]:
        return tuple(rule for rule in rules if rule["resources"] != ["nodes"])

    world.held = {namespace: without_nodes(rules) for namespace, rules in HELD.items()}
    world.ask(imageTag=NEW)
    for _ in range(4):
        await world.run_pass()
        world.act()
    assert world.suite is not None and world.upgrade.step == "Permissions"
    (wait,) = world.upgrade.waiting_for
    assert (wait.object, bool(wait.since)) == ("permissions of virt-operator", True)
    synchronized = next(found for found in world.suite.status.conditions if found.type == "Synchronized")
    shown = lines(summarize(as_virtadm_sees(world)))
    for said in (wait.reason, synchronized.message, "\n".join(shown)):
        assert "nodes patch" in said and f"apply kubevirt-operator.yaml of release {NEW}" in said
    assert "next: apply kubevirt-operator.yaml of the requested release, or virtadm rollback" in shown


async def test_a_quota_that_keeps_a_handler_from_being_created_is_named_also_when_it_has_stopped(
    world: Stalled,
) -> None:
    await world.begin()
    world.refusals["DaemonSet"] = QUOTA
    world.count(world.owned[HANDLER].metadata.generation)
    await world.run_pass()
    expect(world, "virt-handler", str(HANDLER), "2 of 3 pods are ready", QUOTA)
    world.wait_long()
    await world.run_pass()
    assert world.upgrade.stopped is not None and QUOTA in world.upgrade.stopped.message


@pytest.mark.parametrize(
    ("stall", "words"),
    [
        (lambda world: world.refusals.update(Job=QUOTA), QUOTA),
        (lambda world: world.print_pod(containerStatuses=waiting("ErrImagePull", "no such tag")), "no such tag"),
        (
            lambda world: world.print_pod(
                conditions=[{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": NO_ROOM}]
            ),
            NO_ROOM,
        ),
    ],
)
async def test_a_job_that_cannot_print_the_strategy_is_named_with_the_reason(
    world: Stalled, stall: Callable[[Stalled], None], words: str
) -> None:
    world.prints = False
    world.ask(imageTag=NEW)
    await world.run_pass()
    stall(world)
    await world.run_pass()
    expect(world, "InstallStrategy", f"ConfigMap kubevirt/{world.printer}", "its Job has not written it yet", words)


async def test_a_probe_that_fails_is_named_with_node_and_answer(world: Stalled) -> None:
    world.probes.broken = {NEW}
    await world.begin()
    world.act()
    await world.run_pass()
    await world.run_pass()
    expect(world, "virt-handler", str(HANDLER), "wave 1, node a", "failed a probe: machines", "sees nothing")
    for _ in range(8):
        world.wait_long()
        await world.run_pass()
        world.act()
    shown = lines(summarize(as_virtadm_sees(world)))
    found = [line for line in shown if "node a failed the probe machines: " in line and "sees nothing" in line]
    assert any(line.startswith("stopped ") for line in found) and any(line.startswith("Degraded=") for line in found)


def event(reason: str, note: str, moment: str) -> Body:
    return {"type": "Warning", "reason": reason, "note": note, "deprecatedLastTimestamp": moment}


async def test_why_a_daemon_sets_pods_are_not_created_is_read_from_its_events(world: Stalled) -> None:
    await world.begin()
    observed = world.observe()
    assert HANDLER in short_of_pods(observed)
    uid, moment = observed.owned[HANDLER].metadata.uid, rfc3339(observed.now)
    body = event("FailedCreate", f"Error creating: {QUOTA}", moment) | {"regarding": {"uid": uid}}
    world.server.put(EVENTS.path("kubevirt"), {"metadata": {"name": "e"}, **body})
    found = await RefusedPods(world.client).added_to(observed)
    assert found.owned[HANDLER].condition("ReplicaFailure") == {
        "type": "ReplicaFailure",
        "status": "True",
        "message": QUOTA,
    }
    await world.server.down()
    assert await RefusedPods(world.client).added_to(observed) == observed


async def test_the_events_are_read_once_in_many_passes(world: Stalled, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Resource] = []

    async def listed(resource: Resource, *_: Any, **__: Any) -> list[Any]:
        asked.append(resource)
        return []

    await world.begin()
    observed, refused = world.observe(), RefusedPods(world.client)
    monkeypatch.setattr(world.client, "list", listed)
    for _ in range(3):
        await refused.added_to(observed)
    assert asked == [EVENTS] * len(short_of_pods(observed))
    await refused.added_to(replace(observed, now=observed.now + timedelta(seconds=AGAIN)))
    assert asked == [EVENTS] * 2 * len(short_of_pods(observed))


def test_the_newest_event_of_the_last_minutes_counts(world: Stalled) -> None:
    def seen(reason: str, minutes: int) -> Event:
        moment = rfc3339(world.now - timedelta(minutes=minutes))
        return msgspec.convert(event(reason, f"{minutes}", moment), Event)

    events = [seen("FailedCreate", 5), seen("FailedCreate", 2), seen("Other", 1), seen("FailedCreate", 25)]
    assert refusal_in(events, world.now) == "2"
    assert refusal_in(events[2:], world.now) == ""
