"""Whatever happens around a machine, in any order: in the end the object shows what its launcher reports.

The handler's own machinery runs here whole (queue, links, plan, executor) against a launcher and an API server that
fail, refuse, restart and are written to by others. Once they leave off, nothing is left to be done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec
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
from virt_handler.own_vmis import VmiCache
from virt_handler.reconcile import Machines

from tests.support import virtual_time
from tests.unit.handler.demo import NODE, POD_UID

from .fake_launcher import DirectConnections, FakeLauncher

DEMO = Place.parse(VIRTUAL_MACHINE_INSTANCES.path("default", "demo"))
KEY = ("default", "demo")
FINAL = ("Succeeded", "Failed")
QUIET = 120.0  # seconds; longer than any back-off


@dataclass
class World:
    """The API server's objects, what the handler's cache has seen of them, and one launcher."""

    store: Store = field(default_factory=Store)
    launcher: FakeLauncher = field(default_factory=FakeLauncher)
    failing_writes: int = 0
    racing_writes: int = 0
    """Of so many next writes another client is a moment ahead."""
    writes: int = 0
    seen: VirtualMachineInstance | None = None
    queue: WorkQueue[Key] = field(default_factory=lambda: WorkQueue[Key]("machines"))

    @property
    def status(self) -> dict[str, Any]:
        stored: dict[str, Any] = self.store.get(DEMO)["status"]
        return stored

    def condition(self, kind: str) -> dict[str, Any]:
        return next((condition for condition in self.status.get("conditions", []) if condition["type"] == kind), {})

    def look(self) -> None:
        """The watch brings the handler what is stored now."""
        self.seen = msgspec.json.decode(msgspec.json.encode(self.store.get(DEMO)), type=VirtualMachineInstance)
        self.queue.add(KEY)

    def others_write(self) -> None:
        """The controller adds to the conditions, as it does about the pod."""
        count = int(self.condition("PodScheduled").get("message", "0")) + 1
        others = [condition for condition in self.status.get("conditions", []) if condition["type"] != "PodScheduled"]
        pod = {"type": "PodScheduled", "status": "True", "message": str(count)}
        self.store.merge_patch(DEMO, {"status": {"conditions": [*others, pod]}})

    # What the handler asks of its client and of its caches.

    async def json_patch(self, resource: Resource, namespace: str, name: str, operations: Any) -> Any:
        if self.failing_writes:
            self.failing_writes -= 1
            raise ServerUnavailable(503, "the API server is away")
        if self.racing_writes:
            self.racing_writes -= 1
            self.others_write()
        asyncio.get_running_loop().call_later(0.1, self.look)  # watches lag behind
        try:
            self.writes += 1
            return self.store.json_patch(Place.parse(resource.path(namespace, name)), list(operations))
        except ServerRefused as error:
            raise from_status(error.code, error.message, error.reason) from error

    async def create(self, resource: Resource, namespace: str, body: Any) -> Any:
        return self.store.create(Place.parse(resource.path(namespace)), body)

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


RUNNING, PAUSED, ENDED = pb.MACHINE_PHASE_RUNNING, pb.MACHINE_PHASE_PAUSED, pb.MACHINE_PHASE_ENDED
ENDS = (pb.MACHINE_END_SHUTDOWN, pb.MACHINE_END_CRASHED, pb.MACHINE_END_DESTROYED)


def guest_goes(world: World, phase: Any, end: Any) -> None:
    """The guest changes its state, if it was started and has not ended."""
    if world.launcher.state.phase in (RUNNING, PAUSED):
        world.launcher.become(phase, end=end if phase == ENDED else pb.MACHINE_END_UNSPECIFIED)


def launcher_answers(world: World, answer: str) -> None:
    error = {"well": None, "refuses": Refused("no such device", reason="UNSUPPORTED_BY_PEER")}
    world.launcher.error = error.get(answer, Unavailable("the hypervisor does not answer"))


def is_deleted(world: World) -> None:
    world.store.merge_patch(DEMO, {"metadata": {"finalizers": ["kubevirt.io/vmi"]}})
    world.store.delete(DEMO)


def step(world: World, what: tuple[str, Any]) -> None:
    kind, argument = what
    match kind:
        case "guest":
            guest_goes(world, *argument)
        case "launcher":
            launcher_answers(world, argument)
        case "restart":
            world.launcher.restart()
        case "failing writes":
            world.failing_writes = argument
        case "racing writes":
            world.racing_writes = argument
        case "others":
            world.others_write()
        case "scheduled" if world.status["phase"] == "Scheduling":
            world.store.merge_patch(DEMO, {"status": {"phase": "Scheduled"}})
        case "deleted":
            is_deleted(world)


STEPS = st.one_of(
    st.tuples(st.just("guest"), st.tuples(st.sampled_from((RUNNING, PAUSED, ENDED)), st.sampled_from(ENDS))),
    st.tuples(st.just("launcher"), st.sampled_from(("well", "refuses", "fails"))),
    st.tuples(st.sampled_from(("failing writes", "racing writes")), st.integers(1, 3)),
    st.tuples(st.sampled_from(("restart", "others", "scheduled", "deleted", "look")), st.none()),
)
HISTORY = st.lists(st.tuples(STEPS, st.sampled_from((0.0, 0.02, 0.5, 20.0))), max_size=12)


@given(history=HISTORY)
@settings(max_examples=200, deadline=None)
def test_in_the_end_the_object_shows_what_the_launcher_reports_and_nothing_is_left_to_do(history: Any) -> None:
    virtual_time.run(live(history))


async def live(history: list[tuple[tuple[str, Any], float]]) -> None:
    world, connections = World(), DirectConnections()
    connections.add(POD_UID, world.launcher)
    spec = {"domain": {"devices": {}, "memory": {"guest": "128Mi"}}}
    status = {"phase": "Scheduling", "activePods": {POD_UID: NODE}, "nodeName": NODE}
    place = Place.parse(VIRTUAL_MACHINE_INSTANCES.path("default"))
    world.store.create(place, {"metadata": {"name": "demo"}, "spec": spec, "status": status})
    world.look()
    client = cast(KubeClient, world)
    machines = Machines(
        NODE,
        queue=world.queue,
        vmis=cast(VmiCache, world),
        configuration=cast(ConfigurationCache, world),
        connect=connections.connect,
        executor=Executor(client, EventRecorder(client, "virt-handler", "virt-handler-x"), lambda _: None),
        migrations=MigrationExecutor(client, lambda _: None),
    )
    running = asyncio.create_task(machines.run(), name="machines")
    try:
        for what, pause in history:
            step(world, what)
            await asyncio.sleep(pause)
            world.look()
        world.failing_writes = world.racing_writes = 0
        if isinstance(world.launcher.error, Unavailable):
            world.launcher.error = None
        await asyncio.sleep(QUIET)
        written = world.writes
        await asyncio.sleep(QUIET)
        assert world.writes == written, "writes never end"
    finally:
        running.cancel()
        await asyncio.wait([running])
    judge(world)


def judge(world: World) -> None:
    """The object against the launcher."""
    phase, launcher = world.status["phase"], world.launcher
    deleted = "deletionTimestamp" in world.store.get(DEMO)["metadata"]
    event(f"{phase}, {pb_name(launcher.state.phase)}{', deleted' if deleted else ''}")
    match launcher.state.phase:
        case pb.MACHINE_PHASE_ABSENT if not deleted:
            # This process of the launcher has refused it, so the start is not repeated.
            assert world.condition("Synchronized").get("message") == "no such device"
        case pb.MACHINE_PHASE_RUNNING:
            assert phase == "Running" and not world.condition("Paused")
            assert world.condition("Ready")["status"] == "True"
        case pb.MACHINE_PHASE_PAUSED:
            assert phase == "Running" and world.condition("Paused")["status"] == "True"
        case pb.MACHINE_PHASE_ENDED:
            if launcher.state.end == pb.MACHINE_END_DESTROYED and not deleted:
                assert phase not in FINAL  # the controller's
            else:
                assert phase == ("Succeeded" if launcher.state.end == pb.MACHINE_END_SHUTDOWN else "Failed")
                assert launcher.acknowledged or launcher.error is not None


def pb_name(phase: Any) -> str:
    return str(pb.MachinePhase.Name(phase)).removeprefix("MACHINE_PHASE_")
