"""A migration between two nodes, whatever fails meanwhile: in the end the guest runs once and the object says where.

Both handlers' machinery runs here whole (queue, links, watches, plans, executors) against launchers that copy a guest
and an API server that fails. Handlers die between any two actions. The controller's part is a few lines.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from kubevirt.launcher.v1 import state_pb2 as pb
from virt_core.kube.client import KubeClient
from virt_core.kube.configuration import ConfigurationCache
from virt_core.kube.errors import Unavailable as ServerUnavailable
from virt_core.kube.errors import from_status
from virt_core.kube.events import EventRecorder
from virt_core.kube.queue import WorkQueue
from virt_core.kube.reflector import Key
from virt_core.kube.resource import VIRTUAL_MACHINE_INSTANCES, Resource
from virt_core.objects.kubevirt import Configuration
from virt_core.rpc.errors import Refused, Unavailable
from virt_core.testing.place import Place
from virt_core.testing.refused import Refused as ServerRefused
from virt_core.testing.store import Store
from virt_core.vmi.instance import VirtualMachineInstance
from virt_handler.machines.execute import Executor
from virt_handler.migration.execute import MigrationExecutor
from virt_handler.network.plan import PodNetwork
from virt_handler.own_vmis import VmiCache
from virt_handler.reconcile import Machines

from tests.support import virtual_time

from .fake_launcher import DirectConnections
from .fake_migration import MigratingLauncher, Network

pytestmark = pytest.mark.exhaustive

EXAMPLES = int(os.environ.get("EXAMPLES", "100"))
"""Histories; the same ones each time, unless another number is wanted."""

DEMO = Place.parse(VIRTUAL_MACHINE_INSTANCES.path("default", "demo"))
KEY = ("default", "demo")
PODS = {"source": ("pod-a", "node1", "10.244.1.7"), "target": ("pod-b", "node2", "10.244.2.9")}
QUIET = 120.0  # seconds; longer than any back-off


@dataclass
class Handler:
    """The handler of a node; what the watch has brought it."""

    world: World
    node: str
    seen: VirtualMachineInstance | None = None
    queue: WorkQueue[Key] = field(default_factory=lambda: WorkQueue[Key]("machines"))
    task: asyncio.Task[None] | None = None

    def look(self) -> None:
        self.wrote(self.world.stored)

    def wrote(self, answer: Any) -> None:
        self.seen = msgspec.json.decode(msgspec.json.encode(answer), type=VirtualMachineInstance)
        self.queue.add(KEY)

    def start(self) -> None:
        client = cast(KubeClient, self.world)
        self.queue = WorkQueue[Key]("machines")
        machines = Machines(
            self.node,
            queue=self.queue,
            vmis=cast(VmiCache, self),
            configuration=cast(ConfigurationCache, self),
            connect=self.world.connections.connect,
            executor=Executor(client, EventRecorder(client, "virt-handler", "virt-handler-x"), self.wrote),
            migrations=MigrationExecutor(client, self.wrote),
        )
        self.task = asyncio.create_task(machines.run(), name=f"machines of {self.node}")

    async def die(self) -> None:
        if self.task is not None:
            self.task.cancel()
            await asyncio.wait([self.task])

    # What the handler asks of its caches.

    @property
    def synced(self) -> asyncio.Event:
        filled = asyncio.Event()
        filled.set()
        return filled

    def get(self, key: Key) -> VirtualMachineInstance | None:
        return self.seen if key == KEY else None

    def __iter__(self) -> Iterator[VirtualMachineInstance]:
        return iter([self.seen] if self.seen is not None else [])

    current = Configuration()

    def machine_types(self, launcher: str) -> Mapping[str, str]:
        return {}


@dataclass
class World:
    """The API server's objects, two launchers, two handlers."""

    store: Store = field(default_factory=Store)
    connections: DirectConnections = field(default_factory=DirectConnections)
    launchers: dict[str, MigratingLauncher] = field(default_factory=dict)
    handlers: list[Handler] = field(default_factory=list)
    failing_writes: int = 0
    writes: int = 0
    events: list[str] = field(default_factory=list)
    twice: bool = False
    """Whether the guest ever ran at both sides."""

    @property
    def stored(self) -> dict[str, Any]:
        return self.store.get(DEMO)

    @property
    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = self.stored["status"]
        return status

    @property
    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = self.status.get("migrationState") or {}
        return state

    def look(self) -> None:
        for handler in self.handlers:
            handler.look()
        self.twice |= all(launcher.runs() for launcher in self.launchers.values())

    def write(self, status: dict[str, Any]) -> None:
        self.store.merge_patch(DEMO, {"status": status})
        self.look()

    async def json_patch(self, resource: Resource, namespace: str, name: str, operations: Any) -> Any:
        if self.failing_writes:
            self.failing_writes -= 1
            raise ServerUnavailable(503, "the API server is away")
        asyncio.get_running_loop().call_later(0.1, self.look)  # watches lag behind
        try:
            self.writes += 1
            return self.store.json_patch(Place.parse(resource.path(namespace, name)), list(operations))
        except ServerRefused as error:
            raise from_status(error.code, error.message, error.reason) from error

    async def create(self, resource: Resource, namespace: str, body: Any) -> Any:
        self.events.append(body["note"])
        return body


def new_world() -> World:
    world, network = World(), Network()
    for side, (uid, node, address) in PODS.items():
        launcher = world.launchers[side] = MigratingLauncher(network)
        launcher.pod.network = PodNetwork(1500, (address,))
        world.connections.add(uid, launcher)
        world.handlers.append(Handler(world, node))
    spec = {"domain": {"devices": {}, "memory": {"guest": "128Mi"}}}
    status = {"phase": "Scheduling", "activePods": {"pod-a": "node1"}, "nodeName": "node1"}
    place = Place.parse(VIRTUAL_MACHINE_INSTANCES.path("default"))
    world.store.create(place, {"metadata": {"name": "demo"}, "spec": spec, "status": status})
    world.look()
    return world


def hand_off(world: World) -> None:
    """The controller's only patch before the end."""
    state = {
        "migrationUid": "m1",
        "sourceNode": "node1",
        "sourcePodUID": "pod-a",
        "targetNode": "node2",
        "targetPodUID": "pod-b",
        "migrationConfiguration": {"bandwidthPerMigration": "64Mi", "progressTimeout": 150},
    }
    pods = {uid: node for uid, node, _ in PODS.values()}
    world.write({"activePods": pods, "migrationState": state})


def pods_that_ended_are_removed(world: World) -> None:
    """The controller's part: the proof of death."""
    for side, (uid, _, _) in PODS.items():
        if world.launchers[side].exited and uid in world.status["activePods"]:
            world.store.merge_patch(DEMO, {"status": {"activePods": {uid: None}}})
            if side == "target" and not world.state.get("completed") and "startTimestamp" not in world.state:
                failed = {"failed": True, "completed": True, "failureReason": "Target pod is down"}
                world.store.merge_patch(DEMO, {"status": {"migrationState": failed}})
    world.look()


async def step(world: World, what: tuple[str, Any]) -> None:
    kind, argument = what
    match kind:
        case "copied":
            world.launchers["source"].copied()
        case "broken":
            world.launchers["source"].broken()
        case "abort":
            world.write({"migrationState": {"abortRequested": True}})
        case "handler dies":
            handler = world.handlers[argument]
            await handler.die()
            handler.start()
        case "launcher restarts":
            world.launchers[argument].restart()
        case "pod ends":
            world.launchers[argument].end()
        case "failing writes":
            world.failing_writes = argument
        case "launcher fails":
            world.launchers[argument].error = Unavailable("the hypervisor does not answer")
        case "network breaks":
            world.launchers[argument].pod.broken = True
        case "launcher refuses":
            world.launchers[argument].refusing = Refused("no such device", reason="UNSUPPORTED_BY_PEER")
    world.look()


SIDES = st.sampled_from(("source", "target"))
STEPS = st.one_of(
    st.tuples(st.sampled_from(("copied", "copied", "broken", "abort", "look")), st.none()),
    st.tuples(st.just("handler dies"), st.sampled_from((0, 1))),
    st.tuples(st.sampled_from(("launcher restarts", "launcher fails", "launcher refuses", "pod ends")), SIDES),
    st.tuples(st.just("failing writes"), st.integers(1, 3)),
)
HISTORY = st.lists(st.tuples(STEPS, st.sampled_from((0.0, 0.02, 0.15, 0.5, 20.0))), max_size=10)


@given(history=HISTORY)
@settings(max_examples=EXAMPLES, deadline=None, derandomize=EXAMPLES == 100)
def test_in_the_end_the_guest_runs_at_one_side_and_the_object_says_at_which(history: Any) -> None:
    ends: list[World] = []

    async def check() -> None:
        ends.append(await live(history))

    virtual_time.run(check())
    (world,) = ends
    state = world.state
    event(f"{world.status['nodeName']} {state.get('failureReason')} {state.get('abortStatus')} {world.status['phase']}")


async def live(history: list[tuple[tuple[str, Any], float]]) -> World:
    world = new_world()
    for handler in world.handlers:
        handler.start()
    try:
        await asyncio.sleep(1.0)
        hand_off(world)
        for what, pause in history:
            await step(world, what)
            await asyncio.sleep(pause)
            world.look()
        world.failing_writes = 0
        for launcher in world.launchers.values():
            launcher.error = None
        for _ in range(4):
            await asyncio.sleep(QUIET)
            world.launchers["source"].copied()
            pods_that_ended_are_removed(world)
        await asyncio.sleep(QUIET)
        written = world.writes
        await asyncio.sleep(QUIET)
        assert world.writes == written, "writes never end"
    finally:
        for handler in world.handlers:
            await handler.die()
    judge(world)
    return world


def forwarding(launcher: MigratingLauncher) -> list[bool]:
    """Whether each network that the handler has set up in the source's pod passes on what arrives to the target's."""
    return [f"dnat to {PODS['target'][2]}" in plan.ruleset for plan in launcher.pod.prepared]


def judge(world: World) -> None:
    source, target = world.launchers["source"], world.launchers["target"]
    status, state = world.status, world.state
    assert not world.twice and not (source.runs() and target.runs())
    assert status["activePods"].keys() <= {"pod-a", "pod-b"}
    if target.runs():
        assert (status["nodeName"], status["phase"]) == ("node2", "Running")
        assert state["completed"] and not state.get("failed") and state["targetNodeDomainDetected"]
        assert source.exited, "the source's launcher waits for an acknowledgement"
        assert "The VirtualMachineInstance migrated to node node2." in world.events
    elif source.runs():
        assert (status["nodeName"], status["phase"]) == ("node1", "Running")
        assert state["completed"] and state["failed"] and state["failureReason"]
        assert target.exited, "the target's launcher waits for a guest that never comes"
        assert not any(forwarding(source)), "the guest's clients are sent away"
    else:
        assert source.exited or source.state.phase == pb.MACHINE_PHASE_MIGRATED
    if source.acknowledged and not source.pod.broken:
        assert forwarding(source)[-1], "the guest's clients find nobody until Services know it"
    if "abortStatus" in state:
        assert state["abortStatus"] == ("Succeeded" if state.get("failed") else "Failed")


async def migrated(*history: tuple[tuple[str, Any], float]) -> World:
    return await live(list(history))


def test_a_guest_migrates_with_four_writes_and_an_event_of_the_handlers() -> None:
    async def check() -> None:
        world = await migrated((("look", None), 5.0), (("copied", None), 5.0))
        assert world.status["nodeName"] == "node2"
        assert world.status["interfaces"][0]["ipAddress"] == "10.244.2.9"
        # Running, source's identity, target's address, start, hand-over
        assert world.writes == 5
        assert world.events.count("The VirtualMachineInstance migrated to node node2.") == 1
        prepared = world.launchers["target"].pod.prepared
        assert ["10.244.1.7" in plan.ruleset for plan in prepared] == [True, False]
        assert world.launchers["source"].acknowledged
        assert forwarding(world.launchers["source"]) == [False, True]

    virtual_time.run(check())


def test_a_pod_whose_network_cannot_be_changed_delays_no_hand_over() -> None:
    async def check() -> None:
        world = await migrated((("look", None), 5.0), (("network breaks", "source"), 0.0), (("copied", None), 5.0))
        assert world.status["nodeName"] == "node2"
        assert world.launchers["source"].acknowledged

    virtual_time.run(check())


def test_a_canceled_migration_leaves_the_guest_where_it_is() -> None:
    async def check() -> None:
        world = await migrated((("look", None), 5.0), (("abort", None), 5.0))
        assert world.status["nodeName"] == "node1"
        state = world.state
        assert (state["failed"], state["abortStatus"]) == (True, "Succeeded")
        assert state["failureReason"] == "Live migration aborted "

    virtual_time.run(check())


def test_a_migration_that_is_canceled_before_it_is_prepared_never_starts() -> None:
    async def check() -> None:
        world = await migrated((("abort", None), 5.0))
        assert (world.state["failed"], world.state["abortStatus"]) == (True, "Succeeded")
        assert "StartMigration" not in world.launchers["source"].calls

    virtual_time.run(check())


def test_a_target_that_refuses_the_machine_ends_the_migration_with_its_words() -> None:
    async def check() -> None:
        world = await migrated((("launcher refuses", "target"), 5.0))
        assert world.state["failureReason"] == "the target refuses: no such device"
        warning = "VirtualMachineInstance migration uid m1 failed. reason:the target refuses: no such device"
        assert warning in world.events

    virtual_time.run(check())


def test_a_guest_whose_target_dies_after_the_switch_has_failed() -> None:
    async def check() -> None:
        await migrated((("look", None), 5.0), (("copied", None), 0.0), (("pod ends", "target"), 5.0))

    virtual_time.run(check())
