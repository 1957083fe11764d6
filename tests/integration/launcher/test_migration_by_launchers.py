"""A guest moves between two real launchers, with the calls of their handlers, whatever dies meanwhile."""

from __future__ import annotations

import pytest
from kubevirt.launcher.v1 import machine_pb2, state_pb2
from kubevirt.launcher.v1 import migration_pb2 as pb

from tests.integration.launcher.domain_events import running_times
from tests.integration.launcher.handlers import Handlers
from tests.integration.launcher.launcher_pair import LauncherPair

RUNNING = state_pb2.MACHINE_PHASE_RUNNING
COPYING, COMMITTED, ABORTED = pb.MIGRATION_PHASE_COPYING, pb.MIGRATION_PHASE_COMMITTED, pb.MIGRATION_PHASE_ABORTED
UID = "6d1c3f0a-0000-4000-8000-000000000001"
MIB = 1 << 20


def seeded(pair: LauncherPair) -> machine_pb2.Machine:
    """A guest with an empty disk and a seed."""
    machine = pair.source.machine(memory_bytes=192 * MIB)
    disk, virtio = machine_pb2.DISK_DEVICE_DISK, machine_pb2.DISK_BUS_VIRTIO
    scratch = machine.disks.add(name="scratch", device=disk, bus=virtio, serial="scratch")
    scratch.empty_disk.capacity_bytes = 8 * MIB
    seed = machine.disks.add(name="seed", device=disk, bus=virtio, serial="seed")
    seed.cloud_init.source = machine_pb2.CLOUD_INIT_SOURCE_NO_CLOUD
    seed.cloud_init.user_data = b"#cloud-config\n"
    return machine


async def running(pair: LauncherPair, machine: machine_pb2.Machine) -> Handlers:
    """The guest runs at the source."""
    state = await pair.source.start_machine(machine)
    assert state.phase == RUNNING, state
    await pair.source.wait_for_console(b"guest-demo login: ", b"ready")
    return Handlers(UID, pair.source, pair.target, machine)


def ran_on_one_side_at_a_time(pair: LauncherPair) -> None:
    source, target = (running_times(pair.events[side.name].all) for side in pair.sides)
    for _, end in source:
        for began, _ in target:
            assert end <= began, (source, target)


async def test_the_guest_moves_and_the_sources_launcher_ends(pair: LauncherPair) -> None:
    handlers = await running(pair, seeded(pair))
    prepared = await handlers.prepare()
    assert (await pair.target.wait_for_phase(state_pb2.MACHINE_PHASE_INCOMING)).machine_uid
    await handlers.start(prepared)
    state = await handlers.until_phase(COMMITTED, ABORTED)
    assert state.phase == COMMITTED, (state, pair.source.log[-4000:], pair.target.log[-4000:])
    assert (await pair.target.wait_for_phase(RUNNING)).machine_type
    await pair.target.type(b"\n")
    await pair.target.wait_for_console(b"#", b" ")
    await pair.source.wait_for_phase(state_pb2.MACHINE_PHASE_ENDED)
    await pair.source.acknowledge_end(state_pb2.MACHINE_END_MIGRATED)
    assert await pair.source.exit_status() == 0
    ran_on_one_side_at_a_time(pair)


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["source launcher", "target launcher", "source libvirtd", "target libvirtd"])
async def test_whatever_dies_during_the_copy_the_guest_runs_on_one_side(pair: LauncherPair, victim: str) -> None:
    handlers = await running(pair, seeded(pair))
    await handlers.start(await handlers.prepare(), bandwidth_bytes_per_second=8 * MIB)
    await handlers.until(lambda state: state.phase == COPYING and state.processed_bytes > 0)
    side, role = victim.split()
    await (pair.source if side == "source" else pair.target).kill(role)
    state = await handlers.until_phase(COMMITTED, ABORTED)
    assert state.phase == (COMMITTED if role == "launcher" else ABORTED), state
    if state.phase == ABORTED:
        await pair.source.wait_for_phase(RUNNING)
        await handlers.abort()
        assert await pair.target.exit_status() == 0
    else:
        await pair.target.wait_for_phase(RUNNING)
    ran_on_one_side_at_a_time(pair)
