"""KubeVirt's table of run strategies, cell by cell: what becomes of a guest when something happens to it."""

from __future__ import annotations

from typing import Any

import pytest
from virt_core.kube.client import KubeClient
from virt_core.kube.resource import VIRTUAL_MACHINES
from virt_core.testing.api_server import FakeApiServer
from virt_core.testing.place import Place

from tests.unit.controller.vm_world import VmWorld

VM = Place.parse(VIRTUAL_MACHINES.path("ns", "guest"))
NONE, SAME, ANOTHER = "no guest", "the same guest", "another guest"
COLUMNS = (
    "no guest",
    "guest shut down",
    "guest failed",
    "guest runs",
    "guest deleted by hand",
    "start requested, no guest",
    "start requested, guest shut down",
    "stop requested",
    "stop of an earlier guest requested",
)
ROWS = {
    "Always": (ANOTHER, ANOTHER, ANOTHER, SAME, ANOTHER, ANOTHER, ANOTHER, ANOTHER, SAME),
    "RerunOnFailure": (ANOTHER, NONE, ANOTHER, SAME, NONE, ANOTHER, NONE, NONE, SAME),
    "Manual": (NONE, SAME, SAME, SAME, NONE, ANOTHER, SAME, NONE, SAME),
    "Halted": (NONE, NONE, NONE, NONE, NONE, ANOTHER, NONE, NONE, NONE),
    "Once": (ANOTHER, SAME, SAME, SAME, ANOTHER, ANOTHER, SAME, SAME, SAME),
}
CELLS = [(strategy, column, ROWS[strategy][index]) for strategy in ROWS for index, column in enumerate(COLUMNS)]
START = {"action": "Start"}


def happen(world: VmWorld, column: str, uid: str) -> None:
    """What a column says."""
    if "shut down" in column:
        world.report("Succeeded")
    if column == "guest failed":
        world.report("Failed")
    if column == "guest deleted by hand":
        world.delete_vmi()
    requests: list[dict[str, Any]] = []
    if column == "start requested, no guest" and world.strategy == "Halted":
        requests = [{**START, "data": {"paused": "true"}}]  # virt-api writes Always for any other start
    elif column.startswith("start requested"):
        requests = [START]
    elif column == "stop requested":
        requests = [{"action": "Stop", "uid": uid}]
    elif column.startswith("stop of an earlier"):
        requests = [{"action": "Stop", "uid": "earlier"}]
    if requests:
        world.server.store.merge_patch(VM, {"status": {"stateChangeRequests": requests}})


async def comes_to_rest(world: VmWorld, client: KubeClient) -> None:
    for _ in range(2):
        await world.settle(client)
        if world.vmi is not None and world.vmi["metadata"].get("deletionTimestamp"):
            world.finish_deletion()
    await world.settle(client)


@pytest.mark.parametrize(("strategy", "column", "after"), CELLS)
async def test_a_cell_of_the_table(
    server: FakeApiServer, client: KubeClient, strategy: str, column: str, after: str
) -> None:
    has_guest = not column.endswith("no guest")
    world = VmWorld(server, "Always" if has_guest else strategy)
    uid = ""
    if has_guest:
        await world.settle(client)
        world.report("Running")
        uid = world.vmi["metadata"]["uid"]
        world.switch(strategy)
        if strategy != "Halted":
            await world.settle(client)  # the strategy was seen while the guest ran
    happen(world, column, uid)
    await comes_to_rest(world, client)
    found = NONE if world.vmi is None else SAME if world.vmi["metadata"]["uid"] == uid else ANOTHER
    assert found == after
    if found == ANOTHER:
        assert not world.status.get("stateChangeRequests")
        assert world.strategy == ("Always" if strategy == "Halted" else strategy)
