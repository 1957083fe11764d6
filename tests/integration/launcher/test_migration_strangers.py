"""Nobody but source and target takes part in a migration: strangers are refused, and the guest goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from kubevirt.launcher.v1 import migration_pb2 as pb
from kubevirt.launcher.v1 import state_pb2

from tests.integration.launcher.commands import run
from tests.integration.launcher.domain_events import running_times
from tests.integration.launcher.handlers import Handlers
from tests.integration.launcher.images import Images
from tests.integration.launcher.launcher_pair import MIGRATION, LauncherPair, Side, files_below
from tests.integration.launcher.migrating_disks import MIB, disks
from tests.integration.launcher.strangers import DISKS, LIBVIRT, MEMORY, answers, listening, opens
from tests.support.patience import PATIENCE

pytestmark = pytest.mark.slow
RUNNING = state_pb2.MACHINE_PHASE_RUNNING
COPYING, COMMITTED, ABORTED = pb.MIGRATION_PHASE_COPYING, pb.MIGRATION_PHASE_COMMITTED, pb.MIGRATION_PHASE_ABORTED


@pytest.fixture
async def third(pair: LauncherPair, images: Images) -> AsyncIterator[Side]:
    """A launcher that reaches the target, with the certificates of another migration, which trusts the target."""
    onward = pair.onward(images)
    side = onward.target
    try:
        await side.bring_up()
        await onward.join()
        run("ip", "-n", side.name, "route", "add", "10.99.0.2/32", "via", "10.98.0.1")
        pair.target.address = "10.99.0.2"
        yield side
    finally:
        for events in onward.events.values():
            await events.stop()
        await side.remove()


async def until_ports(side: Side, expected: set[int]) -> None:
    async with asyncio.timeout(PATIENCE):
        while listening(side) != expected:  # noqa: ASYNC110 - nobody reports a listener
            await asyncio.sleep(0.1)


async def ticks(side: Side) -> None:
    """The guest is unharmed."""
    for _ in range(3):
        await side.wait_for_console(b"tick ", b"boot=")


async def test_strangers_get_in_at_no_moment_of_a_migration(pair: LauncherPair, third: Side) -> None:
    source, target = pair.sides
    machine = source.machine(disks=disks(*pair.sides), memory_bytes=192 * MIB)
    await source.start_machine(machine)
    await source.wait_for_console(b"guest-demo login: ", b"ready")
    handlers = Handlers(MIGRATION, source, target, machine)
    prepared = await handlers.prepare()
    third.make_identity()
    third.trust(prepared.certificate_authority)  # so that only the target's refusal counts
    assert listening(source) == set()
    assert listening(target) == {LIBVIRT}
    table: dict[tuple[str, int | str, str], bool] = {}

    def try_all(moment: str, *ports: int) -> None:
        for port in ports:
            for way in ("plain", "none", "certificate"):
                table[moment, port, way] = answers(third, target.address, port, way)
        table[moment, "libvirt", "another migration's"] = opens(third, target.address)

    try_all("prepared", LIBVIRT)
    assert opens(source, target.address) is False, "the source trusts the target from the start of the copy on"
    await handlers.start(prepared, bandwidth_bytes_per_second=8 * MIB)
    await handlers.until(lambda state: state.phase == COPYING and state.processed_bytes > 0)
    assert {LIBVIRT, DISKS} <= listening(target)
    assert opens(source, target.address), "what is refused to others works"
    assert answers(source, target.address, LIBVIRT, "certificate") and answers(
        source, target.address, DISKS, "certificate"
    )
    try_all("copying", *sorted(listening(target)))
    await ticks(source)
    moved = await handlers.until_phase(COMMITTED, ABORTED)
    assert moved.phase == COMMITTED, moved
    await target.wait_for_phase(RUNNING)
    assert not listening(target) & {MEMORY, DISKS}
    try_all("handed over", LIBVIRT)
    print("\n".join(f"{' / '.join(map(str, key))}: {'in' if got_in else 'refused'}" for key, got_in in table.items()))
    assert not any(table.values()), table
    await ticks(target)
    ran = [running_times(pair.events[side.name].all) for side in pair.sides]
    assert [len(times) for times in ran] == [1, 1] and ran[0][0][1] < ran[1][0][0], ran


async def test_the_source_itself_gets_in_no_more_and_nothing_stays(pair: LauncherPair) -> None:
    source, target = pair.sides
    machine = source.machine(memory_bytes=192 * MIB)
    await source.start_machine(machine)
    await source.wait_for_console(b"guest-demo login: ", b"ready")
    handlers = Handlers(MIGRATION, source, target, machine)
    await handlers.start(await handlers.prepare())
    assert (await handlers.until_phase(COMMITTED, ABORTED)).phase == COMMITTED
    await target.wait_for_phase(RUNNING)
    kept = {path: (source.private / ".pki" / path).read_bytes() for path in files_below(source.private / ".pki")}
    assert kept, "the source still has its certificates"
    await until_ports(target, set())
    assert files_below(target.private / ".pki") == []
    assert not opens(source, target.address)
    for port in (LIBVIRT, MEMORY, DISKS):
        assert not answers(source, target.address, port, "certificate")
    # Not even where the target listens again for another migration.
    target.trust(target.make_identity())
    target.listen()
    assert listening(target) == {LIBVIRT}
    assert not opens(source, target.address)
    assert not answers(source, target.address, LIBVIRT, "certificate")
    await ticks(target)
