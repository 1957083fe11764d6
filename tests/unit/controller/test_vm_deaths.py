"""virt-controller dies after each of its writes, whatever happens to a VirtualMachine: its successor starts as many
guests as the run strategy wants, no more and no fewer.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from virt_controller.caches import Caches
from virt_controller.vm.reconcile import VmReconciler
from virt_core.kube.client import KubeClient, Object
from virt_core.kube.errors import Conflict, KubeError
from virt_core.kube.events import EventRecorder
from virt_core.kube.resource import CONTROLLER_REVISIONS, KUBEVIRTS, VIRTUAL_MACHINE_INSTANCES
from virt_core.testing.api_server import FakeApiServer
from virt_core.testing.place import Place
from virt_core.testing.refused import Refused

from tests.support.patience import PATIENCE
from tests.unit.controller.vm_world import KEY, VmWorld

pytestmark = pytest.mark.exhaustive

_LONGEST = 20  # writes; no step of the table has as many


def edited_start(world: VmWorld) -> None:
    """A user."""
    world.edit("128Mi")
    world.request("start")


STEPS: dict[str, Callable[[VmWorld], None]] = {
    "start": lambda world: world.request("start"),
    "start again": lambda world: world.request("start"),
    "start after an edit": edited_start,
    "paused start": lambda world: world.request("start", paused=True),
    "stop": lambda world: world.request("stop"),
    "restart": lambda world: world.request("restart"),
    "shutdown": lambda world: world.report("Succeeded"),
    "crash": lambda world: world.report("Failed"),
    "delete its guest": lambda world: world.delete_vmi(),
}
# Strategy, what happens, and how many guests that starts. A start is of one that is stopped, all else of a running one.
TABLE = [
    ("Always", "shutdown", 1),
    ("Always", "crash", 1),
    ("Always", "restart", 1),
    ("Always", "stop", 0),
    ("Always", "delete its guest", 1),
    ("RerunOnFailure", "shutdown", 0),
    ("RerunOnFailure", "crash", 1),
    ("RerunOnFailure", "restart", 1),
    ("RerunOnFailure", "stop", 0),
    ("RerunOnFailure", "delete its guest", 0),
    ("RerunOnFailure", "start", 1),
    ("Manual", "shutdown", 0),
    ("Manual", "crash", 0),
    ("Manual", "restart", 1),
    ("Manual", "stop", 0),
    ("Manual", "delete its guest", 0),
    ("Manual", "start", 1),
    ("Once", "shutdown", 0),
    ("Once", "crash", 0),
    ("Once", "stop", 0),
    ("Once", "delete its guest", 1),
    ("Halted", "start", 1),
    ("Halted", "paused start", 1),
    ("Halted", "start again", 1),
    ("Halted", "start after an edit", 1),
    ("Manual", "start after an edit", 1),
]


class Starts:
    """Counts the VirtualMachineInstances that are created; a controller with `writes` left dies at the next one."""

    def __init__(self, server: FakeApiServer) -> None:
        self.count = 0
        self.writes: int | None = None
        server.admit, server.fault = self._admit, self._fault

    def _admit(self, place: Place, _: Object) -> None:
        self.count += place.plural == VIRTUAL_MACHINE_INSTANCES.plural

    def _fault(self, method: str, _: Place) -> None:
        if method == "GET" or self.writes is None:
            return
        if self.writes == 0:
            raise Refused(503, "ServiceUnavailable", "the controller is dead")
        self.writes -= 1


async def at_rest(world: VmWorld, client: KubeClient) -> None:
    """The controllers of both kinds work until nothing is left to do."""
    for _ in range(6):
        await world.settle(client)
        if world.vmi is None or "deletionTimestamp" not in world.vmi["metadata"]:
            return
        world.finish_deletion()
    raise AssertionError("a deleted guest does not go")


async def before(world: VmWorld, client: KubeClient, strategy: str, step: str) -> None:
    """A running guest; none if it is to be started."""
    await at_rest(world, client)
    if step in ("start", "paused start") and strategy in ("Manual", "Halted"):
        return
    if world.vmi is None:
        world.request("start")
        await at_rest(world, client)
    world.report("Running")
    await at_rest(world, client)
    if step.startswith("start"):
        world.request("stop")
        await at_rest(world, client)


async def dies(world: VmWorld, client: KubeClient) -> bool:
    """The controller works, and so does that of VirtualMachineInstances; whether it dies before it is at rest."""
    try:
        await at_rest(world, client)
    except KubeError:
        return True
    return False


def keeps_what_it_was_started_with(world: VmWorld) -> None:
    """The ControllerRevision of the guest is there, keeps what its VirtualMachine says, and is the only one."""
    known, vmi = world.status.get("startRevision", {}).get("name"), world.vmi
    assert len(world.revisions) <= 1 or vmi is None
    assert known is None or known in world.revisions
    if vmi is None:
        return
    name = vmi["status"]["virtualMachineRevisionName"]
    assert world.revision(name)["data"]["spec"]["template"] == world.vm["spec"]["template"]


async def worlds(
    strategy: str, step: str, folder: Path, patch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[VmWorld, Starts, KubeClient]]:
    """A world in which the controller has died after its first write in `step`, after its second and so on, until it
    does the whole step alive."""
    for writes in range(_LONGEST):
        async with FakeApiServer.running() as server:
            server.put(KUBEVIRTS.path("kubevirt"), {"metadata": {"name": "kubevirt"}, "spec": {}})
            patch.setenv("KUBECONFIG", str(server.write_kubeconfig(folder / "kubeconfig")))
            async with KubeClient.connect("test") as client:
                world, seen = VmWorld(server, strategy), Starts(server)
                await before(world, client, strategy, step)
                seen.count, seen.writes = 0, writes
                STEPS[step](world)
                died = await dies(world, client)
                seen.writes = None
                yield world, seen, client
        if not died:
            return
    raise AssertionError(f"{step} takes more than {_LONGEST} writes")


@pytest.mark.parametrize(("strategy", "step", "starts"), TABLE)
async def test_a_death_after_any_write_neither_repeats_nor_forgets_a_start(
    strategy: str, step: str, starts: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async for world, seen, client in worlds(strategy, step, tmp_path, monkeypatch):
        await at_rest(world, client)
        assert seen.count == starts
        assert "stateChangeRequests" not in world.status
        keeps_what_it_was_started_with(world)
        kept = step in ("shutdown", "crash") and strategy in ("Manual", "Once")
        assert (world.vmi is not None) is (starts > 0 or kept)


@pytest.mark.parametrize("strategy", ["RerunOnFailure", "Manual"])
@pytest.mark.parametrize("step", ["start", "restart"])
async def test_a_guest_that_shuts_down_while_no_controller_lives_was_started_all_the_same(
    strategy: str, step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async for world, seen, client in worlds(strategy, step, tmp_path, monkeypatch):
        if seen.count:
            world.report("Running")
            world.report("Succeeded")
        await at_rest(world, client)
        assert seen.count == 1
        assert "stateChangeRequests" not in world.status


@pytest.mark.parametrize("strategy", ["RerunOnFailure", "Manual"])
@pytest.mark.parametrize("step", ["start", "restart"])
async def test_a_guest_that_is_deleted_by_hand_while_no_controller_lives_is_not_started_again(
    strategy: str, step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async for world, seen, client in worlds(strategy, step, tmp_path, monkeypatch):
        if seen.count:
            world.report("Running")
            world.delete_vmi()
        await at_rest(world, client)
        assert seen.count == 1
        assert "stateChangeRequests" not in world.status


async def test_one_that_is_halted_by_hand_while_no_controller_lives_is_not_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async for world, seen, client in worlds("Halted", "paused start", tmp_path, monkeypatch):
        if seen.count:
            world.switch("Halted")
        await at_rest(world, client)
        assert seen.count == 1
        assert (world.vmi is None) is (world.strategy == "Halted")
        assert "stateChangeRequests" not in world.status


async def test_a_leader_that_is_frozen_between_its_read_and_its_creation_creates_nothing(
    server: FakeApiServer, client: KubeClient
) -> None:
    world, leads = VmWorld(server, "Always"), True

    def freeze(method: str, place: Place) -> None:
        """After the read, before the creation: another leads, and the machine is halted."""
        nonlocal leads
        if leads and (method, place.plural) == ("POST", CONTROLLER_REVISIONS.plural):
            leads = False
            world.switch("Halted")

    server.fault = freeze
    with pytest.raises(KubeError):
        await world.settle(client.only_while(lambda: leads))
    assert not leads
    assert world.vmi is None


@pytest.mark.parametrize("verb", ["stop", "restart"])
async def test_a_stop_is_not_forgotten_by_a_leader_that_does_not_know_the_guest_yet(
    verb: str, server: FakeApiServer, client: KubeClient
) -> None:
    world, caches = VmWorld(server, "Manual"), Caches(client, "kubevirt")
    await world.settle(client)
    running = asyncio.create_task(caches.run(), name="caches")
    async with asyncio.timeout(PATIENCE):
        await caches.wait()
    running.cancel()  # its watches are broken from now on, but the one of VirtualMachines comes back
    world.request("start")
    await world.settle(client)
    world.report("Running")
    world.request(verb)
    requested = world.status["stateChangeRequests"]
    caches.vms.wrote(world.vm)
    with pytest.raises(Conflict):
        await VmReconciler(client, caches, EventRecorder(client, "test", "test")).reconcile(KEY)
    assert world.status["stateChangeRequests"] == requested
